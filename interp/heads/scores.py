"""Where every head looks in given tokens: previous token, duplicate token, induction, entropy.

With A the attention pattern, q a position that attends and k one that is attended to,

    previous_token    A[q, q - 1]
    duplicate_token   sum of A[q, k] over earlier k with the same token as q
    induction         sum of A[q, k] over the k right after such a duplicate
    first_token       A[q, 0], where heads with nothing to do look
    current_token     A[q, q]
    entropy           - sum_k A[q, k] ln A[q, k]

each averaged over the q for which there is such a k; the first token, which can only look at
itself, does not count. In random tokens repeated once, nothing but the repetition tells a head
where to look, so a score of 1 means that the head does this and nothing else.

Source: Wang et al. 2022 (arXiv 2211.00593), section 3 and appendix (heads on repeated random
tokens); Olsson et al. 2022 (arXiv 2209.11895) for induction. TransformerLens's `head_detector`
divides by the number of all q; ours divides by that of the q that have a target.
"""

from collections.abc import Mapping

import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.model import HookedGPT2
from interp.model.masks import after_same_token, same_token_before
from interp.results import labeled
from interp.runs.arguments import count, require_finite, wide
from interp.runs.question import question
from interp.runs.sides import Progress
from interp.runs.texts import Prompt, read_prompts

_TITLES = {
    "previous_token": "Attention to the previous token",
    "duplicate_token": "Attention to earlier occurrences of the token",
    "induction": "Attention to what followed the token before",
    "first_token": "Attention to the first token",
    "current_token": "Attention to the token itself",
    "entropy": "Entropy of the attention pattern",
}
_PATTERN_VALUES = 1 << 25  # entries of one layer's patterns held at once


def repeated_random_tokens(
    model: HookedGPT2,
    *,
    n: int = 10,
    length: int | None = None,
    seed: int = 0,
) -> Int[Tensor, "prompt pos"]:
    """Draw sequences of random tokens, each repeated once.

    Args:
        model: the model, for its vocabulary and context length
        n: number of sequences
        length: number of different tokens in each; by default 100, as in the paper, or as many as
            fit
        seed: seed of the tokens

    Returns:
        Token ids, 2 * length per sequence.

    Raises:
        ValueError: `n` is below 1, or `length` is below 2 or does not fit the context or the
            vocabulary
        TypeError: `n` or `length` is not an integer
    """
    longest = min(model.config.n_ctx // 2, model.config.d_vocab)
    length = min(100, longest) if length is None else count(length, "length", 0)
    if count(n, "n", 0) < 1 or not 2 <= length <= longest:
        raise ValueError(
            f"expected at least one sequence of 2 to {longest} different tokens, the context and "
            f"the vocabulary of {model.name}; got n={n}, length={length}"
        )
    generator = torch.Generator().manual_seed(seed)
    halves = [torch.randperm(model.config.d_vocab, generator=generator)[:length] for _ in range(n)]
    return torch.stack(halves).repeat(1, 2).to(model.device)


@torch.inference_mode()
def attention_scores(model: HookedGPT2, tokens: Prompt, *, progress: Progress = iter) -> xr.Dataset:
    """Score the attention of every head on some tokens.

    Args:
        model: the model
        tokens: token ids, texts, or a task, whose clean prompts are run, each with at least two
            tokens; pass `repeated_random_tokens` for the scores in the literature
        progress: wraps the batches, for a progress bar

    Returns:
        The scores that the module lists, dims layer, head, prompt: means over the real tokens of
        each prompt, probabilities except for the entropy, in nats. NaN where a prompt has no token
        with such a target (because no token occurs twice).

    Raises:
        ValueError: a prompt has one token, a prompt does not fit the model, or the model gives
            numbers that are not finite
        TypeError: no prompts
    """
    task = read_prompts(model, tokens, "attention_scores").task
    if int(task.lengths.min()) < 2:
        raise ValueError(
            "expected two tokens or more in each prompt, since the first can look only at itself; "
            f"prompt {int(task.lengths.argmin())} has one"
        )
    ids, real = task.clean_tokens, task.attention_mask  # prompt pos
    step = max(1, _PATTERN_VALUES // (model.config.n_heads * ids.shape[1] ** 2))
    starts = list(range(0, len(ids), step))
    parts = []
    for start in progress(starts):
        rows = slice(start, start + step)
        parts.append(_batch(model, ids[rows], real[rows]))
    return xr.Dataset(
        {
            name: labeled(
                torch.cat([part[name] for part in parts], -1),
                ("layer", "head", "prompt"),
                name=name,
                title=title,
                unit="nats" if name == "entropy" else "probability",
                model=model,
                task=task,
                question=question("attention_scores", site="pattern"),
            )
            for name, title in _TITLES.items()
        }
    )


def _batch(
    model: HookedGPT2, tokens: Int[Tensor, "b p"], real: Bool[Tensor, "b p"]
) -> dict[str, Float[Tensor, "layer head b"]]:
    """The scores of some prompts, padded on the right."""
    looking = real.clone()
    looking[:, 0] = False  # the first token can only look at itself
    targets = {name: each & looking[:, :, None] for name, each in _targets(tokens).items()}  # b q k
    scores: dict[str, list[Tensor]] = {name: [] for name in _TITLES}

    def read(pattern: Tensor, hook: object) -> None:
        pattern = wide(pattern)  # b h q k
        require_finite(model, pattern)
        for name, target in targets.items():
            looks = (pattern * target[:, None]).sum((-2, -1))  # b h
            scores[name].append((looks / target.any(-1).sum(-1)[:, None]).T)
        entropy = torch.special.entr(pattern).sum(-1) * looking[:, None]  # b h q
        scores["entropy"].append((entropy.sum(-1) / looking.sum(-1)[:, None]).T)

    model.run_with_hooks(
        tokens,
        stop_at_layer=model.config.n_layers,
        fwd_hooks=[(lambda name: name.endswith("hook_pattern"), read)],
    )
    return {name: torch.stack(layers) for name, layers in scores.items()}


def _targets(tokens: Int[Tensor, "b p"]) -> Mapping[str, Bool[Tensor, "b q k"]]:
    """Score -> the keys that each query should look at."""
    pos = torch.arange(tokens.shape[1], device=tokens.device)
    q, k = torch.meshgrid(pos, pos, indexing="ij")
    duplicate = same_token_before(tokens)
    fixed = {"previous_token": k == q - 1, "first_token": k == 0, "current_token": k == q}
    everywhere = {name: target.expand_as(duplicate) for name, target in fixed.items()}
    return {**everywhere, "duplicate_token": duplicate, "induction": after_same_token(tokens)}
