"""What every head attends to in one prompt, and how much of it carries anything.

A head at position i writes the sum over j of pattern_ij f(x_j), with f(x) = (x W_V + b_V) W_O and x
after the layer norm. Much attention to a small f(x_j) moves little: idle heads rest on the first
token. The value-weighted pattern takes the size of what is read into account:

    weighted_ij = pattern_ij |f(x_j)| / max_j' |f(x_j')|

The largest vector of the prompt counts in full, a vector half as long counts half, so a weight is
never above the attention and a row that rests on small vectors stays pale. The lengths themselves
come along: `pattern * pattern.value_norm` is Kobayashi et al.'s |pattern_ij f(x_j)|.

Source: Kobayashi et al. 2020, "Attention is Not Only a Weight" (arXiv 2004.10102), section 3; the
scale of a head by its largest vector is ours.
"""

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from einops import einsum
from jaxtyping import Int
from torch import Tensor

from interp.model import HookedGPT2
from interp.patching import Ablation
from interp.results import labelled
from interp.runs.forward import HOOKS
from interp.tasks import Task


@torch.inference_mode()
def attention_patterns(
    model: HookedGPT2,
    prompt: str | Sequence[int] | Int[Tensor, "..."],
    *,
    ablation: Ablation | None = None,
) -> xr.DataArray:
    """Attention of every head from every token of a prompt to every other.

    Args:
        model: the model.
        prompt: a text, or the token ids of one ([pos] or [1 pos]).
        ablation: what is knocked out of the model; one that is not "zero" needs a reference, since
            a single prompt has no partner.

    Returns:
        Dims layer, head, query, key, as a probability; 0 where the key comes after the query, and
        each row sums to 1. Coords `query_token` and `key_token` are the tokens' texts,
        `value_norm` (layer, head, key) the length |f(x_j)| in units of the residual stream.

    Raises:
        ValueError: for an empty or too long prompt, ids outside the vocabulary, or an ablation
            without what it needs.

    Example:
        >>> import interp
        >>> pattern = attention_patterns(interp.load("mini"), "Mary gave John a book")
        >>> pattern.dims, "".join(pattern.key_token.values)
        (('layer', 'head', 'query', 'key'), 'Mary gave John a book')
    """
    ids = _ids(model, prompt)
    task = _one_prompt(ids.cpu(), prompt if isinstance(prompt, str) else "token ids")
    hooks = _hooks(model, task, ablation)
    layers = range(model.config.n_layers)
    names = {f"blocks.{i}.{HOOKS[site]}" for i in layers for site in ("pattern", "v")}
    with model.hooks(fwd_hooks=list(hooks)):
        _, cache = model.run_with_cache(
            ids[None],
            stop_at_layer=len(layers),
            names_filter=lambda name: name in names,
            remove_batch_dim=True,
        )
    pattern = torch.stack([cache["pattern", i] for i in layers])  # layer head query key
    norms = torch.stack([_value_norm(cache["v", i], model.blocks[i].attn.W_O) for i in layers])
    tokens = _texts(model, ids)
    return labelled(
        pattern,
        ("layer", "head", "query", "key"),
        name="attention",
        title="Attention",
        unit="probability",
        model=model,
        task=task,
        coords={
            "query_token": ("query", tokens),
            "key_token": ("key", tokens),
            "value_norm": (("layer", "head", "key"), norms.float().cpu().numpy()),
        },
    )


def value_weighted(patterns: xr.DataArray) -> xr.DataArray:
    """Attention times the length of what is read, on the scale of the head's longest vector.

    Args:
        patterns: of `attention_patterns`, all keys of it.

    Returns:
        The same dims, a fraction from 0 to the attention, without the coordinate `value_norm`; the
        module has the formula.

    Raises:
        ValueError: for an array without the coordinate `value_norm` along its keys.
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


def sharpest_heads(patterns: xr.DataArray, count: int = 1) -> list[tuple[int, int]]:
    """The heads that look most sharply at one earlier token, which is not the first.

    The score of a head is the mean over queries of their largest weight on a token between the
    first, on which idle heads rest, and the query itself.

    Args:
        patterns: of `attention_patterns`, at least 3 tokens.
        count: how many heads; fewer if there are not as many.

    Returns:
        (layer, head) pairs, the sharpest first.

    Raises:
        ValueError: for a prompt of fewer than 3 tokens, or a count below 1.
    """
    if patterns.sizes["key"] < 3 or count < 1:
        raise ValueError(
            f"expected at least 3 tokens and a count from 1, got {patterns.sizes['key']} tokens "
            f"and {count}"
        )
    between = patterns.where((patterns["key"] > 0) & (patterns["key"] < patterns["query"]), 0.0)
    score = between.isel(query=slice(2, None)).max("key").mean("query").transpose("layer", "head")
    order = np.argsort(-score.values, axis=None, kind="stable")[:count]
    layers, heads = np.unravel_index(order, score.shape)
    pairs = zip(score["layer"].values[layers], score["head"].values[heads], strict=True)
    return [(int(layer), int(head)) for layer, head in pairs]


def _value_norm(v: Tensor, W_O: Tensor) -> Tensor:
    """Length of what each head would write, were it to attend to one position alone."""
    return einsum(v, W_O, "p h k, h k d -> h p d").norm(dim=-1)  # h p


def _ids(model: HookedGPT2, prompt: str | Sequence[int] | Tensor) -> Int[Tensor, " pos"]:
    if isinstance(prompt, str):
        return model.to_tokens(prompt)[0]
    ids = torch.as_tensor(prompt, device=model.device)
    ids = ids[0] if ids.ndim == 2 and len(ids) == 1 else ids
    limit, n_ctx = model.config.d_vocab, model.config.n_ctx
    if ids.ndim != 1 or not 0 < len(ids) <= n_ctx or ids.is_floating_point():
        raise ValueError(
            f"expected a text or the 1 to {n_ctx} token ids of one prompt, got {ids.dtype} of "
            f"shape {tuple(ids.shape)}"
        )
    if not bool(((ids >= 0) & (ids < limit)).all()):
        raise ValueError(f"token ids must be from 0 to {limit - 1} (d_vocab - 1), got {prompt}")
    return ids.long()


def _texts(model: HookedGPT2, ids: Tensor) -> list[str]:
    """The tokens' texts; their ids for a model without a tokenizer."""
    return [str(i) for i in ids.tolist()] if model.tokenizer is None else model.to_str_tokens(ids)


def _one_prompt(ids: Int[Tensor, " pos"], text: str) -> Task:
    """The prompt as a task, whose answer nobody asks for."""
    row, last = ids[None], torch.tensor([len(ids) - 1])
    return Task(
        "one prompt",
        (text,),
        (text,),
        clean_tokens=row,
        corrupted_tokens=row,
        attention_mask=torch.ones_like(row, dtype=torch.bool),
        answer=torch.tensor([0]),
        foil=torch.tensor([1]),
        positions={"END": last},
        group=("",),
        template=("",),
        order=("",),
    )


def _hooks(model: HookedGPT2, task: Task, ablation: Ablation | None) -> Sequence:
    if ablation is None:
        return ()
    if ablation.value != "zero" and ablation.reference is None:
        raise ValueError(
            f"a single prompt has nothing to take a {ablation.value!r} value from; give the "
            "ablation a reference task, or ablate with value='zero'"
        )
    return ablation.prepare(model, task).hooks(slice(None))
