"""Screening: estimate every node cheaply, measure exactly only those that seem to matter.

Attribution patching, in half precision where that is faster, ranks all cells of a sweep by the
absolute value of their mean effect, or by their GradDrop size; the first `top` are then patched, in
the model's own precision. What the estimate misses is not found: see `agreement`, and the fixes of
AtP*.

Source: Kramar et al. 2024 (arXiv 2403.00745), where estimates set the order in which nodes are
verified by patching.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool
from torch import Tensor

from interp.model import HookedGPT2
from interp.patching.activation import Direction, OtherRun
from interp.patching.attribution import Fix, attribution_patch
from interp.patching.effects import effect
from interp.runs.ablation import Ablation
from interp.runs.readout import MetricFunction, Readout
from interp.runs.selection import Grid, Position, grid
from interp.runs.sides import Progress
from interp.runs.sweep import Places, Swept, sweep
from interp.tasks import Side, Task


def screen(
    model: HookedGPT2,
    task: Task,
    site: str,
    *,
    top: int = 20,
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
    """Estimate the effect of every cell of a sweep and patch the largest.

    Args:
        model: the model.
        task: clean prompts with corrupted partners.
        site: as in `patch`.
        top: how many cells to patch; all, if there are no more.
        over: as in `attribution_patch`.
        layers: as in `patch`.
        heads: as in `patch`.
        neurons: as in `patch`.
        positions: as in `patch`.
        sources: as in `patch`.
        direction: as in `patch`.
        metric: as in `attribution_patch`.
        fixes: as in `attribution_patch`; with "grad_drop", cells are chosen by its sizes.
        ablation: what is knocked out of the model in every run.
        dtype: of the estimates, as in `attribution_patch`; by default `torch.bfloat16`, but on a
            CPU the model's own.
        progress: wraps the batches of the estimates and then the steps of the patching.

    Returns:
        As `patch` does, NaN in the cells that were not patched; and `<metric>_estimate`, same dims
        and unit: the estimated effect of every cell, patched run minus the run that is patched.
        With "grad_drop" also `<metric>_grad_drop`, as `attribution_patch` does.

    Raises:
        ValueError: as `attribution_patch` does, or for fewer than one cell.

    Source: see the module.
    """
    if top < 1:
        raise ValueError(f"expected at least one cell to patch, got top={top}")
    swept_over: dict[str, Any] = {
        "over": over, "layers": layers, "heads": heads, "neurons": neurons,
        "positions": positions, "sources": sources,
    }  # fmt: skip
    estimated = attribution_patch(
        model,
        task,
        site,
        **swept_over,
        direction=direction,
        metric=metric,
        fixes=fixes,
        ablation=ablation,
        dtype=dtype or (model.dtype if model.device.type == "cpu" else torch.bfloat16),
        progress=progress,
    )
    name = str(next(iter(estimated.data_vars)))
    estimate, sizes = effect(estimated, name), f"{name}_grad_drop"
    by_size = sizes in estimated
    ranked_by = estimated[sizes].mean("prompt") if by_size else abs(estimate.mean("prompt"))
    task = task.right_padded().to(model.device)
    parts = grid(model, task, site, **swept_over)
    chosen = _largest(parts, ranked_by, top)
    result = _patch_chosen(model, task, site, parts, chosen, direction, metric, ablation, progress)
    result[f"{name}_estimate"] = estimate
    if by_size:
        result[sizes] = estimated[sizes]
    return result.assign_attrs(estimated.attrs | {"method": "screening"})


def _largest(parts: Grid, size: xr.DataArray, top: int) -> dict[int, list[int]]:
    """The cells of the largest sizes, by the place at which they are patched."""
    flat = size.transpose(*parts.in_order).values.reshape(len(parts.cells), -1)  # cell place
    order = np.argsort(-flat, axis=None, kind="stable")[:top]
    chosen: dict[int, list[int]] = {}
    for cell, place in zip(*np.unravel_index(order, flat.shape), strict=True):
        chosen.setdefault(int(place), []).append(int(cell))
    return chosen


@torch.inference_mode()
def _patch_chosen(
    model: HookedGPT2,
    task: Task,
    site: str,
    parts: Grid,
    chosen: Mapping[int, Sequence[int]],
    direction: Direction,
    metric: str | MetricFunction,
    ablation: Ablation | None,
    progress: Progress,
) -> xr.Dataset:
    """What `patch` measures, of some cells only: one sweep for each place."""
    base: Side = "corrupted" if direction == "denoising" else "clean"
    readout = Readout(model, task, metric)
    other = OtherRun(model, task, site, base, parts, readout, ablation)
    found: dict[int, Swept] = {
        place: sweep(
            model,
            task,
            "resid_pre" if site == "embed" else site,
            [parts.cells[cell] for cell in cells],
            _only(parts.places(base), place),
            other,
            readout,
            side=base,
            ablation=ablation,
        )
        for place, cells in progress(list(chosen.items()))
    }
    n_places = len(parts.where) * len(parts.sources or [None])
    base_values = next(iter(found.values())).base
    shape = (len(parts.cells), n_places, len(task))
    values = {name: torch.full(shape, torch.nan) for name in base_values}
    for place, swept in found.items():
        for name, value in swept.values.items():
            values[name][chosen[place], place] = value[:, 0].float()
    every = Swept(values, base_values)
    title = f"{direction.capitalize()} {site}, the largest by estimate"
    return other.add_runs(parts.dataset(every, title=title, model=model, task=task), every)


def _only(places: Places, place: int) -> Places:
    """One of the places."""

    def masks(
        task: Task,
    ) -> tuple[Bool[Tensor, "1 prompt pos"], Bool[Tensor, "1 prompt pos"] | None]:
        where, sources = places(task)
        return where[[place]], None if sources is None else sources[[place]]

    return masks
