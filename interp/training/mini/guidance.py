"""Guide a few heads to induction while training begins: a loss on where they look, soon at 0.

An induction head finds what followed the last time the present token stood there. It needs two
layers: a previous-token head writes at each position which token stands before it, and a later head
matches that with the present token (Elhage et al. 2021, "A Mathematical Framework for Transformer
Circuits"; Olsson et al. 2022). Each is of no use without the other, so next-token loss finds them
late. Here both get, on rows of random tokens and for the first steps only, a loss of their own on
what they attend to,

    L = -mean log sum_{source in right places} A[destination, source]

where the right place of a previous-token head is the position before, and those of an induction
head are all that follow an earlier occurrence of the token at the destination. What they write is
left to the next-token loss, and so is where they look in texts, and afterwards.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.model import HookedGPT2
from interp.model.masks import after_same_token
from interp.training.batches import Batches
from interp.training.train import next_token_loss


@dataclass(frozen=True)
class Guidance:
    """Which heads are guided, and how long.

    Args:
        previous: previous-token head, as (layer, head).
        induction: induction heads, as (layer, head), all in one later layer.
        steps: steps over which the weight of the loss on attention falls to 0.
        weight: its weight at step 0; the next-token loss has 1.

    Raises:
        ValueError: induction heads in several layers, or not after the previous-token head.
    """

    previous: tuple[int, int] = (0, 0)
    induction: tuple[tuple[int, int], ...] = ((1, 0), (1, 1))
    steps: int = 1000
    weight: float = 0.5

    def __post_init__(self) -> None:
        layers = {layer for layer, _ in self.induction}
        if len(layers) != 1 or min(layers) <= self.previous[0]:
            raise ValueError(
                "expected induction heads of one layer after that of the previous-token head "
                f"{self.previous}, got {list(self.induction)}"
            )

    def weight_at(self, step: int) -> float:
        """The weight of the loss on attention at a step."""
        return self.weight * max(0.0, 1 - step / self.steps) if self.steps else 0.0


def guided_loss(
    model: HookedGPT2,
    guidance: Guidance,
    batches: Batches,
    step: int,
    tokens: Int[Tensor, "row pos"],
) -> Float[Tensor, ""]:
    """The next-token loss and, at first, that of the guided heads on rows of random tokens.

    Args:
        model: the model.
        guidance: which heads are guided, and how long.
        batches: what the tokens are from; it knows which rows are random.
        step: step of the training.
        tokens: the batch of that step.

    Returns:
        The weighted sum, in nats.
    """
    weight, n_random = guidance.weight_at(step), batches.n_random(step)
    counts = batches.weights(step).to(tokens.device)
    if not weight or not n_random:
        return next_token_loss(model, tokens, counts)
    first, later = guidance.previous[0], guidance.induction[0][0]
    with _patterns(model, first, later) as patterns:
        nats = next_token_loss(model, tokens, counts)
    random = {layer: pattern[:n_random] for layer, pattern in patterns.items()}
    return nats + weight * misdirection(random, tokens[:n_random], guidance)


@contextmanager
def _patterns(model: HookedGPT2, *layers: int) -> Iterator[dict[int, Tensor]]:
    """The attention patterns of layers, once the model has been run."""
    found: dict[int, Tensor] = {}

    def keep(layer: int, pattern: Tensor, hook: object) -> None:
        found[layer] = pattern

    hooks = [(f"blocks.{layer}.attn.hook_pattern", partial(keep, layer)) for layer in layers]
    with model.hooks(fwd_hooks=hooks):
        yield found


def misdirection(
    patterns: dict[int, Float[Tensor, "row head destination source"]],
    tokens: Int[Tensor, "row pos"],
    guidance: Guidance,
) -> Float[Tensor, ""]:
    """How far the guided heads' attention is from the right places.

    Args:
        patterns: attention patterns by layer.
        tokens: tokens, some of which come back.
        guidance: which heads are guided.

    Returns:
        The previous-token head's loss plus the mean of the induction heads', in nats.
    """
    layer, head = guidance.previous
    before = patterns[layer][:, head].diagonal(-1, -2, -1)  # row pos-1
    right = after_same_token(tokens)  # row destination source
    heads = [head for _, head in guidance.induction]
    later = patterns[guidance.induction[0][0]][:, heads]
    found = (later * right[:, None]).sum(-1)  # row head destination
    found = found.transpose(1, 2)[right.any(-1)]  # place head
    tiny = torch.finfo(found.dtype).tiny
    return -before.clamp_min(tiny).log().mean() - found.clamp_min(tiny).log().mean()
