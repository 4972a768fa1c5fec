"""Where every head looks on given tokens: previous token, duplicate token, induction, entropy.

With A the attention pattern, q a position that attends and k one that is attended to,

    previous_token    A[q, q - 1]
    duplicate_token   sum of A[q, k] over earlier k with the same token as q
    induction         sum of A[q, k] over the k right after such a duplicate
    first_token       A[q, 0], where heads look that have nothing to do
    current_token     A[q, q]
    entropy           - sum_k A[q, k] ln A[q, k]

each averaged over the q for which there is such a k; the first token, which can look only at
itself, counts for none. On random tokens repeated once nothing but the repetition tells a head
where to look, so a score of 1 means that the head does this and nothing else.

Source: Wang et al. 2022 (arXiv 2211.00593), section 3 and appendix (heads on repeated random
tokens); Olsson et al. 2022 (arXiv 2209.11895) for induction. TransformerLens's `head_detector`
divides by all q, ours by those that have a target.
"""

from collections.abc import Mapping

import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.model import HookedGPT2
from interp.model.masks import after_same_token, same_token_before
from interp.patching import Progress
from interp.results import labelled

_TITLES = {
    "previous_token": "Attention to the previous token",
    "duplicate_token": "Attention to earlier occurrences of the token",
    "induction": "Attention to what followed the token before",
    "first_token": "Attention to the first token",
    "current_token": "Attention to the token itself",
    "entropy": "Entropy of the attention pattern",
}
SCORES = tuple(_TITLES)
"""The names of the scores."""

_PATTERN_VALUES = 1 << 25  # entries of one layer's patterns held at once


def repeated_tokens(
    model: HookedGPT2,
    *,
    n: int = 10,
    length: int | None = None,
    seed: int = 0,
) -> Int[Tensor, "prompt pos"]:
    """Sequences of random tokens, each repeated once.

    Args:
        model: for its vocabulary and context length.
        n: number of sequences.
        length: different tokens in each; by default 100, as in the paper, or as many as fit.
        seed: of the tokens.

    Returns:
        Token ids, twice `length` of them in a row.

    Raises:
        ValueError: `length` is below 2, or does not fit the context or the vocabulary.
    """
    longest = min(model.config.n_ctx // 2, model.config.d_vocab)
    length = min(100, longest) if length is None else length
    if n < 1 or not 2 <= length <= longest:
        raise ValueError(
            f"expected at least one sequence of 2 to {longest} different tokens, the context and "
            f"the vocabulary of {model.name}; got n={n}, length={length}"
        )
    generator = torch.Generator().manual_seed(seed)
    halves = [torch.randperm(model.config.d_vocab, generator=generator)[:length] for _ in range(n)]
    return torch.stack(halves).repeat(1, 2).to(model.device)


@torch.inference_mode()
def attention_scores(
    model: HookedGPT2, tokens: Int[Tensor, "prompt pos"], *, progress: Progress = iter
) -> xr.Dataset:
    """Score the attention of every head on some tokens.

    Args:
        model: the model.
        tokens: prompts of one length, without padding, of two tokens or more; `repeated_tokens`
            for the scores of the literature.
        progress: wraps the batches, for a progress bar.

    Returns:
        The scores of `SCORES`, dims layer, head, prompt: probabilities, the entropy in nats. NaN
        where a prompt has no token with such a target (no token twice).

    Raises:
        ValueError: for prompts of one token.
    """
    if tokens.ndim != 2 or tokens.shape[1] < 2:
        raise ValueError(
            "expected tokens [prompt pos] of two positions or more, since the first can look only "
            f"at itself; got shape {tuple(tokens.shape)}"
        )
    tokens = tokens.to(model.device)
    per_prompt = model.config.n_heads * tokens.shape[1] ** 2
    step = max(1, _PATTERN_VALUES // per_prompt)
    starts = list(range(0, len(tokens), step))
    parts = [_batch(model, tokens[start : start + step]) for start in progress(starts)]
    return xr.Dataset(
        {
            name: labelled(
                torch.cat([part[name] for part in parts], -1),
                ("layer", "head", "prompt"),
                name=name,
                title=title,
                unit="nats" if name == "entropy" else "probability",
                model=model,
            )
            for name, title in _TITLES.items()
        }
    )


def _batch(
    model: HookedGPT2, tokens: Int[Tensor, "b p"]
) -> dict[str, Float[Tensor, "layer head b"]]:
    targets = _targets(tokens)
    scores: dict[str, list[Tensor]] = {name: [] for name in SCORES}

    def read(pattern: Tensor, hook: object) -> None:
        for name, target in targets.items():
            looks = (pattern * target[:, None]).sum((-2, -1))  # b h
            scores[name].append((looks / target.any(-1).sum(-1)[:, None]).T)
        scores["entropy"].append(torch.special.entr(pattern[:, :, 1:]).sum(-1).mean(-1).T)

    model.run_with_hooks(
        tokens,
        stop_at_layer=model.config.n_layers,
        fwd_hooks=[(lambda name: name.endswith("hook_pattern"), read)],
    )
    return {name: torch.stack(layers) for name, layers in scores.items()}


def _targets(tokens: Int[Tensor, "b p"]) -> Mapping[str, Bool[Tensor, "b q k"]]:
    """Score -> where a position that attends should look."""
    n = tokens.shape[1]
    q, k = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    q, k = q.to(tokens.device), k.to(tokens.device)
    duplicate = same_token_before(tokens)
    fixed = {
        "previous_token": k == q - 1,
        "first_token": (k == 0) & (q > 0),
        "current_token": (k == q) & (q > 0),
    }
    everywhere = {name: target.expand_as(duplicate) for name, target in fixed.items()}
    return {**everywhere, "duplicate_token": duplicate, "induction": after_same_token(tokens)}
