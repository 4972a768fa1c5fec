"""Guide heads to induction: train what they attend to, by name, before the next-token loss sees it.

An induction head finds what followed the last time the present token stood there. It needs two
layers: a previous-token head writes at each position which token stands before it, and a later head
matches that with the present token (Elhage et al. 2021, "A Mathematical Framework for Transformer
Circuits"; Olsson et al. 2022). Each is of no use without the other, so next-token loss finds them
late, and a small model that completes repeats by position does not look for them at all. Here both
get a loss of their own on what they attend to,

    L = -mean log sum_{source in right places} A[destination, source]

where the right place of a previous-token head is the position before, and those of an induction
head are all that follow an earlier occurrence of the token at the destination. What they write, and
all other weights, stay to be learned from the next-token loss afterwards, beside which the loss on
attention goes on (`guided_loss`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.model import HookedGPT2
from interp.model.masks import after_same_token
from interp.training.train import next_token_loss


def guide_induction(
    model: HookedGPT2,
    previous: tuple[int, int],
    induction: Sequence[tuple[int, int]],
    batches: Callable[[int], Tensor],
    *,
    steps: int,
    learning_rate: float = 1e-2,
    seed: int = 0,
    on_step: Callable[[int, float], None] | None = None,
) -> float:
    """Make one head attend to the previous token and others to what followed the same token.

    The heads start from new random queries and keys, the previous-token head from a new value and
    output too; nothing else in the model moves. Adam, with a learning rate that falls linearly.

    Args:
        model: changed in place.
        previous: (layer, head) of the previous-token head.
        induction: (layer, head) of the induction heads, all in one later layer.
        batches: step -> tokens [row pos] in which random tokens come back.
        steps: how many.
        learning_rate: the first.
        seed: seed of the new weights.
        on_step: called after each step with the steps done and its loss, for a progress bar.

    Returns:
        The last loss, in nats: the previous-token head's plus the mean of the induction heads'.

    Raises:
        ValueError: induction heads in several layers, or not after the previous-token head.
    """
    layers = {layer for layer, _ in induction}
    if len(layers) != 1 or min(layers) <= previous[0]:
        raise ValueError(
            "expected induction heads of one layer after that of the previous-token head "
            f"{previous}, got {list(induction)}"
        )
    (later,) = layers
    first, second = (model.blocks[layer].attn for layer in (previous[0], later))
    heads = [head for _, head in induction]
    of_first = _columns(model, [previous[1]], "QKV")
    of_second = _columns(model, heads, "QK")
    output = torch.zeros(model.config.n_heads, dtype=torch.bool)
    output[previous[1]] = True
    free = [
        (first.W_QKV, of_first.expand_as(first.W_QKV)),
        (first.b_QKV, of_first),
        (first.W_O, output[:, None, None].expand_as(first.W_O)),
        (second.W_QKV, of_second.expand_as(second.W_QKV)),
        (second.b_QKV, of_second),
    ]
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights, chosen in free:
            if weights.ndim > 1:
                new = torch.randn(weights.shape, generator=generator) * weights.shape[-2] ** -0.5
                weights.copy_(torch.where(chosen, new, weights.cpu()))
    optimizer = torch.optim.Adam([weights for weights, _ in free], lr=learning_rate)
    loss = float("nan")
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = learning_rate * (1 - step / steps)
        nats = _attention_loss(model, batches(step).to(model.device), previous, later, heads)
        gradients = torch.autograd.grad(nats, [weights for weights, _ in free])
        for (weights, chosen), gradient in zip(free, gradients, strict=True):
            weights.grad = gradient * chosen.to(gradient.device)
        optimizer.step()
        loss = nats.item()
        if on_step is not None:
            on_step(step + 1, loss)
    optimizer.zero_grad()
    return loss


def _columns(model: HookedGPT2, heads: Sequence[int], parts: str) -> Bool[Tensor, "columns"]:
    """Which columns of the fused W_QKV are queries, keys or values of these heads."""
    config = model.config
    columns = torch.zeros(3, config.n_heads, config.d_head, dtype=torch.bool)
    for part in parts:
        columns["QKV".index(part), list(heads)] = True
    return columns.flatten()


def guided_loss(
    model: HookedGPT2,
    tokens: Int[Tensor, "row pos"],
    previous: tuple[int, int],
    induction: Sequence[tuple[int, int]],
    *,
    weight: float = 0.5,
) -> Float[Tensor, ""]:
    """The next-token loss and, added to it, the guided heads' loss on what they attend to.

    Heads that have been guided do not yet write what they find, and next-token loss alone may turn
    them to something else before they do.

    Args:
        model: the model.
        tokens: random tokens that come back.
        previous: previous-token head, as (layer, head).
        induction: induction heads, as (layer, head).
        weight: weight of the loss on attention.

    Returns:
        The sum, in nats.
    """
    later, heads = induction[0][0], [head for _, head in induction]
    with _patterns(model, previous[0], later) as patterns:
        nats = next_token_loss(model, tokens)
    return nats + weight * _misdirection(patterns, tokens, previous, later, heads)


@contextmanager
def _patterns(model: HookedGPT2, *layers: int) -> Iterator[dict[int, Tensor]]:
    """The attention patterns of layers, once the model has been run."""
    found: dict[int, Tensor] = {}

    def keep(layer: int, pattern: Tensor, hook: object) -> None:
        found[layer] = pattern

    hooks = [(f"blocks.{layer}.attn.hook_pattern", partial(keep, layer)) for layer in layers]
    with model.hooks(fwd_hooks=hooks):
        yield found


def _attention_loss(
    model: HookedGPT2,
    tokens: Int[Tensor, "row pos"],
    previous: tuple[int, int],
    later: int,
    heads: Sequence[int],
) -> Float[Tensor, ""]:
    with _patterns(model, previous[0], later) as patterns:
        model(tokens, stop_at_layer=later + 1)
    return _misdirection(patterns, tokens, previous, later, heads)


def _misdirection(
    patterns: Mapping[int, Float[Tensor, "row head destination source"]],
    tokens: Int[Tensor, "row pos"],
    previous: tuple[int, int],
    later: int,
    heads: Sequence[int],
) -> Float[Tensor, ""]:
    """How far attention is from the right places, in nats."""
    before = patterns[previous[0]][:, previous[1]].diagonal(-1, -2, -1)  # row pos-1
    right = after_same_token(tokens)  # row destination source
    found = (patterns[later][:, heads] * right[:, None]).sum(-1)  # row head destination
    found = found.transpose(1, 2)[right.any(-1)]  # place head
    tiny = torch.finfo(found.dtype).tiny
    return -before.clamp_min(tiny).log().mean() - found.clamp_min(tiny).log().mean()
