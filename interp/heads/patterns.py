"""What every head attends to in one prompt or several, and how much that attention carries.

A head at position i writes the sum over j of pattern_ij f(x_j), with f(x) = (x W_V + b_V) W_O and x
taken after the layer norm. Much attention to a small f(x_j) moves little: idle heads rest on the
first token. The value-weighted pattern takes the size of what is read into account:

    weighted_ij = pattern_ij |f(x_j)| / max_j' |f(x_j')|

The longest vector of the prompt counts in full and a vector half as long counts half, so no weight
exceeds the attention, and a row that rests on short vectors stays pale. The lengths are returned
too: `pattern * pattern.value_norm` is Kobayashi et al.'s |pattern_ij f(x_j)|.

Source: Kobayashi et al. 2020, "Attention is Not Only a Weight" (arXiv 2004.10102), section 3; the
scaling by a head's longest vector is ours.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import xarray as xr
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from interp.model import HookedGPT2
from interp.parts import Head
from interp.results import labeled
from interp.runs.ablation import Ablation
from interp.runs.arguments import count, require_finite, token_texts, wide
from interp.runs.question import question
from interp.runs.sides import Progress, batches, run_side
from interp.runs.texts import Prompt, Texts, read_prompts, require_reference


@torch.inference_mode()
def attention_patterns(
    model: HookedGPT2,
    prompt: Prompt,
    *,
    ablation: Ablation | None = None,
    progress: Progress = iter,
) -> xr.DataArray:
    """The attention of every head from every token of a prompt to every other token.

    Args:
        model: the model
        prompt: a text or its token ids, several texts, or a task, whose clean prompts are run
        ablation: what is knocked out of the model; for texts, any value except "zero" needs a
            reference, because texts have no partners
        progress: wraps the batches of prompts, for a progress bar

    Returns:
        The attention probability, dims layer, head, query, key and, unless there is only one text,
        prompt; 0 where the key comes after the query, and each row sums to 1. Positions count from
        each prompt's first token; NaN beyond its last. The coords `query_token` and `key_token` are
        the texts of the tokens; `value_norm` (layer, head, key) is the length |f(x_j)|, in units of
        the residual stream.

    Raises:
        ValueError: a prompt is empty or too long, an id is outside the vocabulary, the ablation
            lacks a reference, or the model gives numbers that are not finite
        TypeError: `prompt` is of another type

    Example:
        >>> import interp
        >>> pattern = attention_patterns(interp.load("mini"), "Mary gave John a book")
        >>> pattern.dims, "".join(pattern.key_token.values)
        (('layer', 'head', 'query', 'key'), 'Mary gave John a book')
    """
    texts = read_prompts(model, prompt, "attention_patterns", obeys_hooks=ablation is None)
    require_reference(texts, ablation)
    task = texts.task
    prepared = ablation.prepare(model, task) if ablation else None
    layers, width = range(model.config.n_layers), task.clean_tokens.shape[1]
    patterns, norms = [], []
    for rows in batches(task, progress):
        hooks = prepared.hooks(rows) if prepared else ()
        keys = [(site, i) for i in layers for site in ("pattern", "v")]
        _, kept = run_side(model, task, rows, "clean", keys, hooks=hooks)
        some = torch.stack([kept["pattern", i] for i in layers])  # layer b q h k
        lengths = torch.stack(
            [_value_norm(kept["v", i], model.blocks[i].attn.W_O) for i in layers]
        )  # layer b h k
        real = task.attention_mask[rows, : some.shape[-1]]  # b pos
        require_finite(model, lengths.transpose(1, 2)[..., real])
        missing = width - some.shape[-1]
        pair = real[:, :, None] & real[:, None, :]  # b q k
        some = some.transpose(2, 3).masked_fill(~pair[:, None], torch.nan)  # layer b h q k
        lengths = lengths.masked_fill(~real[:, None], torch.nan)
        patterns.append(F.pad(wide(some), (0, missing, 0, missing), value=torch.nan))
        norms.append(F.pad(wide(lengths), (0, missing), value=torch.nan))
    pattern = torch.cat(patterns, 1).movedim(1, -1)  # layer head query key prompt
    norm = torch.cat(norms, 1).movedim(1, -1)  # layer head key prompt
    dims: tuple[str, ...] = ("layer", "head", "query", "key", "prompt")
    if texts.is_one:
        pattern, norm, dims = pattern[..., 0], norm[..., 0], dims[:-1]
    return labeled(
        pattern,
        dims,
        name="attention",
        title="Attention",
        unit="probability",
        model=model,
        task=task,
        coords=_tokens(model, texts)
        | {"value_norm": (("layer", "head", *dims[3:]), norm.cpu().numpy())},
        question=question("attention_patterns", task=task, ablation=ablation, site="pattern"),
    )


def value_weighted(patterns: xr.DataArray) -> xr.DataArray:
    """Weight attention by the length of what is read, relative to the head's longest vector.

    Args:
        patterns: what `attention_patterns` returns, with all keys

    Returns:
        The weights, fractions from 0 to the attention, with the same dims but without the
        coordinate `value_norm`; see the module for the formula.

    Raises:
        ValueError: the array has no coordinate `value_norm` along its keys
    """
    if "value_norm" not in patterns.coords or "key" not in patterns.value_norm.dims:
        raise ValueError(
            "value weighting needs the coordinate value_norm along key, which "
            f"attention_patterns gives; this array has {[str(name) for name in patterns.coords]}"
        )
    norms = patterns.value_norm
    largest = norms.max("key")
    share = (norms / largest).where(largest > 0, 0.0)
    weighted = (patterns * share).transpose(*patterns.dims).rename("value_weighted")
    weighted = weighted.drop_vars("value_norm")  # no second weighting
    return weighted.assign_attrs(
        patterns.attrs | {"title": "Value-weighted attention", "unit": "fraction"}
    )


def sharpest_heads(patterns: xr.DataArray, n: int = 1) -> list[Head]:
    """The heads that look most sharply at one earlier token other than the first.

    The score of a head is the mean over queries (and prompts) of the largest weight on a token
    between the first, on which idle heads rest, and the query itself. With fewer than three tokens
    there is no such token; then all heads score the same and are returned in the order of the
    model.

    Args:
        patterns: what `attention_patterns` returns
        n: number of heads; all, if the model has fewer

    Returns:
        The heads, the sharpest first.

    Raises:
        ValueError: the dims are others, or n is below 1
        TypeError: n is not an integer
    """
    n = count(n, "n", 1)
    needed = {"layer", "head", "query", "key"}
    if not needed <= set(patterns.dims) <= needed | {"prompt"}:
        raise ValueError(
            f"expected the dims layer, head, query, key, got {patterns.dims}; attention_patterns "
            "returns such an array"
        )
    earlier = (patterns["key"] > 0) & (patterns["key"] < patterns["query"])
    sharpest = patterns.where(earlier, 0.0).max("key").where(patterns.notnull().any("key"))
    score = sharpest.where(patterns["query"] >= 2).mean("query")
    score = score.mean("prompt") if "prompt" in score.dims else score
    score = score.fillna(0.0).transpose("layer", "head")
    order = np.argsort(-score.values, axis=None, kind="stable")[:n]
    layers, heads = np.unravel_index(order, score.shape)
    pairs = zip(score["layer"].values[layers], score["head"].values[heads], strict=True)
    return [Head(int(layer), int(head)) for layer, head in pairs]


def _value_norm(v: Float[Tensor, "b p h k"], W_O: Float[Tensor, "h k d"]) -> Float[Tensor, "b h p"]:
    """Length of what each head would write if it attended to one position alone."""
    return einsum(v, W_O, "b p h k, h k d -> b h p d").norm(dim=-1)  # b h p


def _tokens(model: HookedGPT2, texts: Texts) -> dict[str, Any]:
    """The text of each query's and key's token; "" beyond the end of a prompt."""
    task = texts.task
    ids = task.clean_tokens  # prompt pos
    words = np.array(token_texts(model, ids.flatten().tolist()), dtype=object)
    words = np.where(task.attention_mask.cpu().numpy(), words.reshape(ids.shape), "").astype(str)
    if texts.is_one:
        return {f"{side}_token": (side, words[0]) for side in ("query", "key")}
    return {f"{side}_token": ((side, "prompt"), words.T) for side in ("query", "key")}
