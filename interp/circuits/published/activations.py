"""Activations of the real GPT-2 small on three short prompts, to compare a model with.

For each prompt there are its token ids, the attention pattern of every head and the highest logits
at the last position, less the mean logit. They come from a web page that runs GPT-2 small with the
exact GELU where GPT-2 has the tanh form, and that may have quantized it: token ids are exact,
patterns good to about 0.01, logits in rank and to a few tenths.

Source: poloclub/transformer-explainer (MIT); Cho et al. 2024 (arXiv 2408.04619).
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from interp.circuits.published.data import read
from interp.model import HookedGPT2


@dataclass(frozen=True, eq=False)
class PromptActivations:
    """What a GPT-2 computes on one prompt.

    Args:
        prompt: the text
        tokens: its token ids
        pattern: attention pattern of every head, probabilities
        best: ids of the tokens with the highest logits at the last position, the highest first
        logits: their logits less the mean logit of the vocabulary
    """

    prompt: str
    tokens: tuple[int, ...]
    pattern: Float[np.ndarray, "layer head query key"]
    best: tuple[int, ...]
    logits: Float[np.ndarray, " best"]


def stored_activations() -> tuple[PromptActivations, ...]:
    """Read the activations of the real GPT-2 small.

    Returns:
        One entry for each prompt; `best` has 20 tokens.
    """
    return tuple(
        PromptActivations(
            one["prompt"],
            tuple(one["tokens"]),
            _patterns(one["pattern"], len(one["tokens"])),
            tuple(one["best"]),
            np.array(one["logits"]),
        )
        for one in read("gpt2_activations.json")["prompts"]
    )


@torch.inference_mode()
def run_activations(
    model: HookedGPT2, stored: tuple[PromptActivations, ...]
) -> tuple[PromptActivations, ...]:
    """Run a model on the same prompts.

    Args:
        model: the model
        stored: what to compare it with; the model runs on these token ids, while `tokens` of the
            result are those of its own tokenizer

    Returns:
        One entry for each prompt; `best` has all tokens of the vocabulary.

    Raises:
        ValueError: the model has no tokenizer, or its vocabulary lacks one of the tokens
    """
    if model.tokenizer is None:
        raise ValueError(f"{model.name} has no tokenizer, so the prompts cannot be compared")
    found = []
    for one in stored:
        if max(one.tokens) >= model.config.d_vocab:
            raise ValueError(
                f"{model.name} has {model.config.d_vocab} tokens, and the prompt {one.prompt!r} "
                f"needs token {max(one.tokens)}"
            )
        logits, cache = model.run_with_cache(
            torch.tensor([one.tokens], device=model.device),
            names_filter=lambda name: name.endswith("hook_pattern"),
        )
        last = logits[0, -1].float().cpu().numpy()
        best = np.argsort(-last, kind="stable")
        layers = range(model.config.n_layers)
        pattern = torch.stack([cache["pattern", layer][0] for layer in layers])  # l h q k
        found.append(
            PromptActivations(
                one.prompt,
                tuple(model.tokenizer(one.prompt)["input_ids"]),
                pattern.float().cpu().numpy(),
                tuple(best.tolist()),
                last[best] - last.mean(),
            )
        )
    return tuple(found)


def position_score(
    activations: tuple[PromptActivations, ...], offset: int | None
) -> Float[np.ndarray, "layer head"]:
    """Mean attention to the token some places back, or to the first token.

    Args:
        activations: prompts and their patterns
        offset: how many places back; None for the first token

    Returns:
        The mean over all tokens after the first of each prompt, then over prompts, a probability;
        as `interp.heads.attention_scores` defines it.
    """
    means = []
    for one in activations:
        queries = range(1 if offset is None else offset, len(one.tokens))
        keys = [0 if offset is None else q - offset for q in queries]
        means.append(one.pattern[:, :, list(queries), keys].mean(-1))
    return np.mean(means, 0)


def _patterns(rows: list[str], n: int) -> Float[np.ndarray, "layer head query key"]:
    """Patterns from their entries left of the diagonal, in thousandths; each row sums to one."""
    below = np.array([row.split() for row in rows], dtype=float) / 1000
    pattern = np.zeros((len(rows), n, n))
    rows_at, keys_at = np.tril_indices(n, -1)
    pattern[:, rows_at, keys_at] = below
    diagonal = np.arange(n)
    pattern[:, diagonal, diagonal] = 1 - pattern.sum(-1)
    return pattern.reshape(12, -1, n, n)


def logits_of(
    activations: PromptActivations, tokens: tuple[int, ...]
) -> Float[np.ndarray, " token"]:
    """The logits of some tokens, in their order; NaN for a token that is not among `best`."""
    known = dict(zip(activations.best, activations.logits.tolist(), strict=True))
    return np.array([known.get(token, np.nan) for token in tokens])
