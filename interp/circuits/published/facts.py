"""What others published about the real GPT-2 small, as claims with their measurements.

Each list of claims has a function that measures all of them, by key, from as little as it needs:
activations of three prompts, attention weights alone, or no model at all. So stored activations, or
a checkpoint that holds only the attention weights, can be checked as a model can.

Source: `interp/circuits/published/data/LICENSES.md` for the files; Wang et al. 2022 (arXiv
2211.00593) for the circuit. Sections of both are named in the claims.
"""

from collections.abc import Mapping

import numpy as np

from interp.circuits.circuit import Circuit
from interp.circuits.published.activations import (
    PromptActivations,
    logits_of,
    position_score,
    stored_activations,
)
from interp.circuits.published.benchmark import benchmark_scores, edge_auc, head_auc
from interp.circuits.published.circuits import published_circuit
from interp.circuits.published.claims import Answer, Claim, Value
from interp.heads import composition_scores, strongest_senders
from interp.model.attention_only import AttentionWeights
from interp.parts import Head, as_head

_PAGE = "poloclub/transformer-explainer, example files"
_MIB = "hannamw/MIB-circuit-track, EAP-IG on IOI"
_PAGE_CAVEAT = (
    "the page uses the exact GELU where GPT-2 has the tanh form, and may have quantized the model"
)
_PREVIOUS = (Head(4, 11), Head(2, 2), Head(3, 2), Head(3, 7))
_RESTING = (Head(5, 1), Head(7, 2), Head(6, 9), Head(7, 10))
_INDUCTION = ("5.1", "5.5", "6.9", "7.2", "7.10")
_TOP = 10

ACTIVATION_CLAIMS: tuple[Claim, ...] = tuple(
    Claim(key, "Activations of three prompts", what, published, _PAGE, tolerance, why, how, *ends)
    for key, what, published, tolerance, why, how, ends in (
        (
            "tokens", "Token ids of the prompts", "6, 6 and 6 ids", "the same ids",
            "tokens are exact", "the model's tokenizer", (),
        ),
        (
            "pattern_mean", "Attention patterns: mean difference", "0", "at most 0.01",
            _PAGE_CAVEAT, "mean over heads, queries and keys, largest of the prompts", (0.0, 0.01),
        ),
        (
            "pattern_largest", "Attention patterns: largest difference", "0", "at most 0.1",
            f"{_PAGE_CAVEAT}; patterns agree to about 0.01, single entries to less",
            "largest over prompts, heads, queries and keys", (0.0, 0.1),
        ),
        (
            "logits_largest", "Logits of the 20 highest tokens: largest difference", "0",
            "at most 0.5 logits", f"{_PAGE_CAVEAT}; logits are good to a few tenths",
            "each less the mean logit, largest over prompts", (0.0, 0.5),
        ),
        (
            "logits_rank", f"Stored {_TOP} highest tokens that are among our {_TOP}",
            f"{_TOP} of {_TOP}", f"{_TOP - 2} or more", "neighbors may change places",
            "fewest of the prompts", (_TOP - 2.0, float(_TOP)),
        ),
    )
)  # fmt: skip

_LOOKS = (  # where to, offset, head, and its mean over five prompts of the page
    *(("previous", 1, head, five) for head, five in zip(
        _PREVIOUS, (1.000, 0.546, 0.452, 0.425), strict=True)),
    *(("first", None, head, five) for head, five in zip(
        _RESTING, (0.998, 0.993, 0.992, 0.986), strict=True)),
)  # fmt: skip


def _look(to: str, offset: int | None, head: Head, five: float) -> Claim:
    """The claim that a head attends as it does in the stored activations."""
    stored = float(position_score(stored_activations(), offset)[head.layer, head.head])
    return Claim(
        f"{to}_token_{head}", "Where named heads look", f"Attention of {head} to the {to} token",
        f"{stored:.3f}", f"{_PAGE} (over five of them: {five:.3f})", "within 0.03", _PAGE_CAVEAT,
        "mean over the tokens after the first, then over the three prompts",
        stored - 0.03, stored + 0.03,
    )  # fmt: skip


HEAD_CLAIMS: tuple[Claim, ...] = (
    *(_look(*one) for one in _LOOKS),
    Claim(
        "previous_token_strongest", "Where named heads look",
        "The head that attends to the previous token most", "4.11", _PAGE, "the same head",
        "it is far ahead of the next one", "mean over tokens and the three prompts",
    ),
)  # fmt: skip

CIRCUIT_CLAIMS: tuple[Claim, ...] = (
    *(
        Claim(
            key, "The paper's circuit against MIB's", what, f"{value}", _MIB,
            f"within {room}", why, how, value - room, value + room,
        )
        for key, what, value, room, why, how in (
            (
                "auc_heads", "AUC of the paper's 26 heads among 144", 0.953, 0.001,
                "the value is rounded", "by the largest score of an edge of the head; no model",
            ),
            (
                "auc_heads_outgoing", "AUC of the paper's 26 heads, by outgoing edges", 0.916,
                0.001, "the value is rounded", "by the sum of the scores of edges; no model",
            ),
            (
                "auc_edges", "AUC of the paper's 137 edges among 28,656", 0.918, 0.002,
                "the value is rounded, and scores are kept in steps of 27 %",
                "edges between heads and to the logits; no model",
            ),
        )
    ),
    Claim(
        "heads_missing", "The paper's circuit against MIB's",
        "Heads of the paper that MIB's circuit of 756 edges lacks", "4.11 9.0 11.9", _MIB,
        "the same heads", "this is a fact of the file", "heads of the two circuits; no model",
    ),
)  # fmt: skip

WEIGHT_CLAIMS: tuple[Claim, ...] = tuple(
    Claim(
        f"composition_{head}", "Weights alone", f"The head that the keys of {head} read most",
        "4.11", "published facts on GPT-2 small: K-composition, layer norm folded",
        "the same head", "weights are exact", "composition_scores of the attention weights",
    )
    for head in _INDUCTION
)  # fmt: skip


def measure_activations(
    measured: tuple[PromptActivations, ...],
    stored: tuple[PromptActivations, ...] | None = None,
) -> Mapping[str, Value]:
    """Measure `ACTIVATION_CLAIMS`.

    Args:
        measured: what a model computes on the prompts
        stored: what to compare it with; None for the activations of the real GPT-2 small

    Returns:
        Key of each claim -> its measurement.
    """
    stored = stored_activations() if stored is None else stored
    pairs = list(zip(measured, stored, strict=True))
    apart = [np.abs(ours.pattern - theirs.pattern) for ours, theirs in pairs]
    same = [ours.tokens == theirs.tokens for ours, theirs in pairs]
    logits = [np.abs(logits_of(ours, theirs.best) - theirs.logits).max() for ours, theirs in pairs]
    shared = [len({*ours.best[:_TOP]} & {*theirs.best[:_TOP]}) for ours, theirs in pairs]
    return {
        "tokens": Answer(f"the same ids for {sum(same)} of {len(same)} prompts", all(same)),
        "pattern_mean": max(float(_below(one).mean()) for one in apart),
        "pattern_largest": max(float(one.max()) for one in apart),
        "logits_largest": float(max(logits)),
        "logits_rank": float(min(shared)),
    }


def measure_heads(measured: tuple[PromptActivations, ...]) -> Mapping[str, Value]:
    """Measure `HEAD_CLAIMS`.

    Args:
        measured: what a model computes on the prompts

    Returns:
        Key of each claim -> its measurement.
    """
    previous, first = (position_score(measured, offset) for offset in (1, None))
    found: dict[str, Value] = {
        f"{kind}_{head}": float(score[head.layer, head.head])
        for kind, score, heads in (
            ("previous_token", previous, _PREVIOUS),
            ("first_token", first, _RESTING),
        )
        for head in heads
    }
    layer, head = divmod(int(previous.argmax()), previous.shape[1])
    strongest = Head(layer, head)
    text = f"{strongest} ({previous.max():.3f})"
    found["previous_token_strongest"] = Answer(text, strongest == Head(4, 11))
    return found


def measure_circuit(circuit: Circuit | None = None) -> Mapping[str, Value]:
    """Measure `CIRCUIT_CLAIMS`.

    Args:
        circuit: a circuit of GPT-2 small for IOI; None for the paper's

    Returns:
        Key of each claim -> its measurement.
    """
    circuit = published_circuit("ioi", "gpt2") if circuit is None else circuit
    scores = benchmark_scores()
    lacking = sorted({as_head(one.part) for one in circuit.heads} - scores.kept)
    text = " ".join(map(str, lacking))
    return {
        "auc_heads": head_auc(circuit, scores.largest),
        "auc_heads_outgoing": head_auc(circuit, scores.outgoing),
        "auc_edges": edge_auc(circuit, scores.edges),
        "heads_missing": Answer(text or "none", text == "4.11 9.0 11.9"),
    }


def measure_weights(weights: AttentionWeights) -> Mapping[str, Value]:
    """Measure `WEIGHT_CLAIMS`.

    Args:
        weights: the attention weights of a model

    Returns:
        Key of each claim -> its measurement.

    Raises:
        ValueError: the weights have fewer layers or heads than GPT-2 small
    """
    if weights.n_layers < 8 or weights.n_heads < 12:
        raise ValueError(
            f"the claims are about heads up to 7.10; {weights.name} has {weights.n_layers} layers "
            f"of {weights.n_heads} heads"
        )
    table = strongest_senders(composition_scores(weights, kinds=["k"])).set_index("receiver")
    senders = {head: str(table["sender"][head]) for head in _INDUCTION}
    return {
        f"composition_{head}": Answer(sender, sender == "4.11") for head, sender in senders.items()
    }


def _below(values: np.ndarray) -> np.ndarray:
    """The entries of square matrices on and below the diagonal."""
    rows, columns = np.tril_indices(values.shape[-1])
    return values[..., rows, columns]
