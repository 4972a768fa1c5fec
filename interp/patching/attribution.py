"""Attribution patching: what patching each node would do, all at once, by the gradient.

    estimate = metric(base) + sum over the patched elements of  d metric / d element . (new - base)

The base run is the one that is patched, `new` what the other run has there. Two forwards and one
backward give every head, neuron or position of an activation, with each prompt's own gradient.

The line leaves the curve at two places, which AtP* mends:

    qk         A saturated softmax is flat, and its gradient says that no query and no key matters.
               So the softmax is computed with the patched queries or keys, and only what follows is
               taken for linear:  sum of  d metric / d pattern . (pattern(new) - pattern(base)).
    grad_drop  A direct and an indirect effect that almost cancel leave an estimate that is all
               error. So the gradient is taken again with the outputs of each layer l frozen, which
               bars the ways through it:  1 / (L - 1) sum over l of |effect_l|,  L layers. A node of
               layer l is frozen itself and has no effect_l: hence L - 1, and L for the stream.

Source: Nanda 2023, "Attribution Patching: Activation Patching At Industrial Scale"; Kramar et al.
2024 (arXiv 2403.00745), section 3. We differ in this. There the mean over prompts is of absolute
values, also without GradDrop; here estimates keep their sign, as exact effects do, and only the
GradDrop size is absolute. There a node is one query or one key; here those that are patched
together share one softmax, as in the patched run. There attention and MLP of a layer are parallel;
in GPT-2 the MLP reads the attention, and dropping the layer bars that way too.
"""

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
import xarray as xr
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from interp.model import HookedGPT2
from interp.patching.activation import Direction, OtherRun, require_alignment
from interp.runs.ablation import Ablation
from interp.runs.gradients import GRAPH, ExactReadout, Runs, differentiable, wide
from interp.runs.readout import MetricFunction
from interp.runs.selection import Grid, Position, grid
from interp.runs.sides import Progress, Prompts, positions_mask
from interp.runs.sweep import Swept, batches_within
from interp.tasks import Side, Task

Fix = Literal["qk", "grad_drop"]
"""What AtP* mends; see the module."""

_STREAM = ("embed", "resid_pre", "resid_mid", "resid_post")
"""The sites that no dropped layer freezes."""


def attribution_patch(
    model: HookedGPT2,
    task: Task,
    site: str,
    *,
    over: Sequence[str] | None = None,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    neurons: Sequence[int] | None = None,
    positions: Sequence[Position] | None = None,
    sources: Sequence[Position] | None = None,
    direction: Direction = "denoising",
    metric: str | MetricFunction = "logit_diff",
    fixes: Sequence[Fix] = (),
    ablation: Ablation | None = None,
    dtype: torch.dtype | None = None,
    progress: Progress = iter,
) -> xr.Dataset:
    """Estimate what `patch` would measure, to first order.

    Args:
        model: the model.
        task: clean prompts with corrupted partners.
        site: as in `patch`.
        over: as in `patch`; "layer" is among them unless one layer alone is patched.
        layers: as in `patch`.
        heads: as in `patch`.
        neurons: as in `patch`.
        positions: as in `patch`.
        sources: as in `patch`.
        direction: as in `patch`; the gradient is that of the run that is patched.
        metric: a name of `METRICS` but "accuracy" and "rank", or a function as in `patch` that can
            be differentiated.
        fixes: of AtP*, see the module: "qk" at site "q" or "k", "grad_drop" at any. The latter
            takes a backward more for each layer.
        ablation: what is knocked out of the model in every run.
        dtype: `torch.bfloat16` for matrix products in half precision, None for the model's own.
            Sums over the stream and the metric keep their own. It pays on devices with
            instructions for it, most GPUs; on a CPU without, it is many times slower.
        progress: wraps the batches of prompts, for a progress bar.

    Returns:
        As `patch` does: the estimated metric in the patched run, so that `effect` and `normalized`
        make effects of it, and `agreement` compares it. With "grad_drop" also
        `<metric>_grad_drop`, same dims and unit: the size of the effect, never negative, the mean
        of its absolute value over dropped layers.

    Raises:
        ValueError: as `patch` does; for several layers patched together, a metric without gradient,
            a fix that does not fit, another dtype, or a model made inside `torch.inference_mode`.

    Source: see the module, which says where we differ.
    """
    if direction not in get_args(Direction):
        raise ValueError(f"expected direction 'denoising' or 'noising', got {direction!r}")
    _require_fixes(model, site, fixes)
    base: Side = "corrupted" if direction == "denoising" else "clean"
    with differentiable(model):
        task = task.right_padded().to(model.device)
        parts = grid(
            model, task, site, over=over, layers=layers, heads=heads, neurons=neurons,
            positions=positions, sources=sources,
        )  # fmt: skip
        require_alignment(task, site, parts)
        readout = ExactReadout(model, task, metric)
        ((name, function),) = readout.chosen.items()
        _require_gradient(parts, name if function is None else "", direction, dtype, model.dtype)
        other = OtherRun(model, task, site, base, parts, readout, ablation)
        reduced = None if dtype == model.dtype else dtype
        runs = Runs(model, task, readout, other.ablation, reduced)
        held = (*GRAPH, "pattern") if site == "pattern" or "qk" in fixes else GRAPH
        graph = [(each, layer) for layer in range(model.config.n_layers) for each in held]
        by_length = batches_within(model, task, base, graph)
        swept = Swept.joined(
            [
                _Batch(runs, site, base, parts, other, fixes, prompts).estimate()
                for prompts in progress(by_length)
            ],
            by_length,
        )
    result = parts.dataset(
        swept, title=f"{direction.capitalize()} {site}, estimated", model=model, task=task
    )
    size = f"{name}_grad_drop"
    if swept.base.pop(size, None) is not None:
        title, unit = f"Size of the effect of {site}, GradDrop", result[name].attrs["unit"]
        result[size].attrs.update(title=title, unit=unit)
    return other.add_runs(result, swept).assign_attrs(
        site=site,
        direction=direction,
        method="attribution",
        fixes=" ".join(fixes),
        dtype=str(dtype or model.dtype).removeprefix("torch."),
    )


def _require_gradient(
    parts: Grid, name: str, direction: Direction, dtype: torch.dtype | None, own: torch.dtype
) -> None:
    """Refuse what no gradient can be taken of, or only zero."""
    if any(len(cell) > 1 for cell in parts.cells):
        raise ValueError(
            "estimates are of one layer at a time, since what is patched in one changes what there "
            "is to patch in the next; sweep over 'layer', choose one, or use `patch`"
        )
    if name in ("accuracy", "rank"):
        raise ValueError(
            f"metric {name!r} jumps and has no gradient to estimate with; expected 'logit_diff', "
            "'probability', 'probability_diff', 'kl_divergence' or a differentiable function, or "
            "use `patch`"
        )
    if name == "kl_divergence" and direction == "noising":
        raise ValueError(
            "the divergence from the clean run is least at the clean run, so its gradient there, "
            "and with it every estimate, is zero; use direction='denoising', another metric, or "
            "`patch`"
        )
    if dtype not in (None, own, torch.bfloat16):
        raise ValueError(f"expected dtype torch.bfloat16 or the model's own, {own}, got {dtype}")


def _require_fixes(model: HookedGPT2, site: str, fixes: Sequence[Fix]) -> None:
    """Refuse fixes that there are not, or that do nothing here."""
    unknown = [fix for fix in fixes if fix not in get_args(Fix)]
    if unknown:
        raise ValueError(f"expected fixes among {list(get_args(Fix))}, got {unknown[0]!r}")
    if "qk" in fixes and site not in ("q", "k"):
        raise ValueError(
            f"the fix 'qk' is for queries and keys, which enter the softmax; at {site!r} leave it "
            "out"
        )
    if "grad_drop" in fixes and model.config.n_layers < 2:
        raise ValueError("the fix 'grad_drop' needs a model of two layers, one to drop at a time")


class _Batch:
    """Some prompts: their base run with its graph, and what would replace its activations."""

    def __init__(
        self,
        runs: Runs,
        site: str,
        base: Side,
        parts: Grid,
        other: OtherRun,
        fixes: Sequence[Fix],
        prompts: Prompts,
    ) -> None:
        self.n_layers, self.cells = runs.model.config.n_layers, parts.cells
        self.site = "resid_pre" if site == "embed" else site
        self.exact_softmax, self.drops = "qk" in fixes, "grad_drop" in fixes
        self.n_left = self.n_layers if site in _STREAM else self.n_layers - 1
        task = runs.task.subset(prompts.tolist())
        length = int(task.mask(base).sum(-1).max())

        def masks(chosen: Sequence[Sequence[Position] | None]) -> Float[Tensor, "set prompt pos"]:
            every = [positions_mask(runs.task, at, base)[prompts, :length] for at in chosen]
            return torch.stack(every).to(torch.promote_types(runs.model.dtype, torch.float32))

        self.where, self.sources = masks(parts.where), masks(parts.sources or [None])
        with torch.no_grad(), runs.precision():
            if "kl_divergence" in runs.readout.chosen:
                width = int(task.mask("clean").sum(-1).max())
                runs.readout.clean[prompts] = runs.stream(prompts, "clean", width)
            found = other(prompts, length)
        self.new = {layer: wide(_as_hooked(key, new)) for (key, layer), new in found.items()}
        read = ("q", "k", "pattern") if self.exact_softmax else (self.site,)
        keys = [(each, layer) for layer in self.new for each in read]
        self.graph = runs.graph(prompts, base, length, keys, drops=self.drops)
        (self.metric,) = runs.readout.chosen

    def estimate(self) -> Swept:
        """The estimates of every cell at every place."""
        value = self.graph.metric.detach()
        base, change = {self.metric: value}, {self.metric: self._effect()}
        if self.drops:
            sizes = [self._effect(dropped=layer).abs() for layer in range(self.n_layers)]
            size = f"{self.metric}_grad_drop"
            base[size], change[size] = torch.zeros_like(value), sum(sizes) / self.n_left
        places = self.where.bool().repeat_interleave(len(self.sources), 0)
        swept = Swept.unchanged(base, places, len(self.cells))
        for name, by in change.items():
            swept.values[name] += by.cpu()
        return swept

    def _effect(self, *, dropped: int | None = None) -> Float[Tensor, "cell place prompt"]:
        """What each cell changes at each place, along a gradient."""
        site = "pattern" if self.exact_softmax else self.site
        gradients = self.graph.gradients([(site, layer) for layer in self.new], dropped=dropped)
        found: list[Tensor] = [torch.empty(0)] * len(self.cells)
        for layer, gradient in zip(self.new, gradients, strict=True):
            change = self._change(layer, gradient).flatten(1, 2)  # unit place prompt
            members = [i for i, cell in enumerate(self.cells) if layer in cell]
            units = torch.tensor([self.cells[i][layer] or [0] for i in members])  # cell unit
            for i, by in zip(members, change[units].sum(1), strict=True):
                found[i] = by
        return torch.stack(found)

    def _change(
        self, layer: int, gradient: Float[Tensor, "prompt ..."]
    ) -> Float[Tensor, "unit where source prompt"]:
        """What each unit of a layer changes at each place."""
        if self.exact_softmax:
            return self._through_softmax(layer, gradient)[:, :, None]
        products = gradient * (self.new[layer] - self.graph.activation((self.site, layer)))
        if self.site == "pattern":
            return einsum(self.where, products, self.sources, "w b p, b u p f, s b f -> u w s b")
        if self.site != "mlp_post":
            products = products.sum(-1)
        products = products.view(*products.shape[:2], -1)  # b p u
        return einsum(self.where, products, "w b p, b p u -> u w b")[:, :, None]

    def _through_softmax(
        self, layer: int, gradient: Float[Tensor, "prompt head pos source"]
    ) -> Float[Tensor, "head where prompt"]:
        """What new queries or keys change by way of the pattern, which is computed with them."""
        q, k = (self.graph.activation((site, layer)) for site in ("q", "k"))
        scores = _scores(q, k)
        pattern = scores.softmax(-1)
        if self.site == "q":  # each query has a softmax of its own
            effect = (gradient * (_scores(self.new[layer], k).softmax(-1) - pattern)).sum(-1)
            return einsum(self.where, effect, "w b p, b h p -> h w b")
        new, found = _scores(q, self.new[layer]), []
        for at in self.where.bool():  # keys patched together share each query's softmax
            mixed = torch.where(at[:, None, None], new, scores).softmax(-1)
            found.append((gradient * (mixed - pattern)).sum((2, 3)))  # b h
        return torch.stack(found).permute(2, 0, 1)


def _scores(
    q: Float[Tensor, "prompt pos head k"], k: Float[Tensor, "prompt source head k"]
) -> Float[Tensor, "prompt head pos source"]:
    """Attention scores, -inf at later sources."""
    scores = einsum(q, k, "b p h k, b s h k -> b h p s") / math.sqrt(q.shape[-1])
    later = torch.ones(scores.shape[2:], dtype=torch.bool, device=scores.device).triu(1)
    return scores.masked_fill(later, -math.inf)


def _as_hooked(site: str, value: Tensor) -> Tensor:
    """Patterns with the head first, as at their hook point."""
    return value.transpose(1, 2) if site == "pattern" else value
