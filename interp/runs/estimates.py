"""Estimates of what patching each node would do, from one run of some prompts and its gradient.

`interp.patching.attribution` has the equations.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from interp.runs.gradients import GradientRuns, wide
from interp.runs.grid import Grid
from interp.runs.pair import Pair
from interp.runs.sides import Prompts
from interp.runs.sweep import Swept

Fix = Literal["qk", "grad_drop"]
"""The fixes of AtP*; see `interp.patching.attribution`."""

_STREAM = ("embed", "resid_pre", "resid_mid", "resid_post")
"""The sites that no dropped layer freezes."""


class Estimates:
    """Some prompts: their base run with its graph, and the replacements of its activations.

    Args:
        pair: how the runs are made
        runs: how runs with gradients are made
        site: the activation
        parts: the parts that are patched
        fixes: fixes of AtP*
        prompts: which prompts
    """

    def __init__(
        self,
        pair: Pair,
        runs: GradientRuns,
        site: str,
        parts: Grid,
        fixes: Sequence[Fix],
        prompts: Prompts,
    ) -> None:
        self.n_layers, self.parts = pair.model.config.n_layers, parts
        self.site = "resid_pre" if site == "embed" else site
        self.exact_softmax, self.drops = "qk" in fixes, "grad_drop" in fixes
        self.n_left = self.n_layers if site in _STREAM else self.n_layers - 1
        length = int(pair.task.mask(pair.side)[prompts].sum(-1).max())
        exact = torch.promote_types(pair.model.dtype, torch.float32)
        places = parts.places.of(prompts, length)
        self.places = places.where[:, 0]  # place prompt pos
        # places enumerate the positions and, for each, the sources
        n_sources = 1 if places.sources is None else _n_sources(parts)
        self.where = self.places[::n_sources].to(exact)  # where prompt pos
        self.sources = torch.ones(1, len(prompts), length, dtype=exact, device=prompts.device)
        if places.sources is not None:
            self.sources = places.sources[:n_sources].to(exact)  # source prompt pos
        with torch.no_grad(), runs.precision():
            found, self.other = pair.run(prompts, length)
        self.new = {layer: wide(_as_hooked(key, new)) for (key, layer), new in found.items()}
        read = ("q", "k", "pattern") if self.exact_softmax else (self.site,)
        keys = [(each, layer) for layer in self.new for each in read]
        self.graph = runs.graph(prompts, length, keys, drops=self.drops)
        (self.metric,) = pair.readout.chosen

    def estimate(self) -> Swept:
        """Estimate every cell at every place."""
        value = self.graph.metric.detach()
        base, change = {self.metric: value}, {self.metric: self._effect()}
        if self.drops:
            sizes = [self._effect(dropped=layer).abs() for layer in range(self.n_layers)]
            size = f"{self.metric}_grad_drop"
            base[size], change[size] = torch.zeros_like(value), sum(sizes) / self.n_left
        exists = self.places.any(-1)[None]
        if self.parts.chosen is not None:
            exists = exists & self.parts.chosen[..., None]
        swept = Swept.unchanged(base, self.other, exists, self.parts.cells.n)
        for name, by in change.items():
            swept.values[name] += by.cpu()
        return swept

    def _effect(self, *, dropped: int | None = None) -> Float[Tensor, "cell place prompt"]:
        """The change by each cell at each place, along a gradient."""
        site = "pattern" if self.exact_softmax else self.site
        gradients = self.graph.gradients([(site, layer) for layer in self.new], dropped=dropped)
        found: Tensor | None = None
        for layer, gradient in zip(self.new, gradients, strict=True):
            change = self._change(layer, gradient).flatten(1, 2)  # unit place prompt
            units = self.parts.cells.members[self.site, layer][..., 0]  # cell unit
            by_cell = einsum(units.to(change.dtype), change, "c u, u w b -> c w b")  # c w b
            found = by_cell if found is None else found + by_cell
        assert found is not None
        return found

    def _change(
        self, layer: int, gradient: Float[Tensor, "prompt ..."]
    ) -> Float[Tensor, "unit where source prompt"]:
        """The change by each unit of a layer at each place."""
        if self.exact_softmax:
            return self._through_softmax(layer, gradient)[:, :, None]  # u w 1 b
        products = gradient * (self.new[layer] - self.graph.activation((self.site, layer)))
        if self.site == "pattern":
            return einsum(self.where, products, self.sources, "w b p, b u p f, s b f -> u w s b")
        if self.site != "mlp_post":
            products = products.sum(-1)
        products = products.view(*products.shape[:2], -1)  # b p u
        return einsum(self.where, products, "w b p, b p u -> u w b")[:, :, None]  # u w 1 b

    def _through_softmax(
        self, layer: int, gradient: Float[Tensor, "prompt head pos source"]
    ) -> Float[Tensor, "head where prompt"]:
        """The change through the pattern, which is computed with new queries or keys."""
        q, k = (self.graph.activation((site, layer)) for site in ("q", "k"))
        scores = _scores(q, k)
        pattern = scores.softmax(-1)
        if self.site == "q":  # each query has its own softmax
            effect = (gradient * (_scores(self.new[layer], k).softmax(-1) - pattern)).sum(-1)
            return einsum(self.where, effect, "w b p, b h p -> h w b")  # h w b
        new, found = _scores(q, self.new[layer]), []
        for at in self.where.bool():  # keys patched together share each query's softmax
            mixed = torch.where(at[:, None, None], new, scores).softmax(-1)
            found.append((gradient * (mixed - pattern)).sum((2, 3)))  # b h
        return torch.stack(found).permute(2, 0, 1)  # h w b


def _scores(
    q: Float[Tensor, "prompt pos head k"], k: Float[Tensor, "prompt source head k"]
) -> Float[Tensor, "prompt head pos source"]:
    """Attention scores, -inf at later sources."""
    scores = einsum(q, k, "b p h k, b s h k -> b h p s") / math.sqrt(q.shape[-1])
    later = torch.ones(scores.shape[2:], dtype=torch.bool, device=scores.device).triu(1)
    return scores.masked_fill(later, -math.inf)


def _as_hooked(site: str, value: Tensor) -> Tensor:
    """Patterns with the head first, as at the hook point."""
    return value.transpose(1, 2) if site == "pattern" else value  # b h p s


def _n_sources(parts: Grid) -> int:
    """The number of sources that places enumerate."""
    return next((len(parts.coords[d]) for d in ("source", "source_role") if d in parts.dims), 1)
