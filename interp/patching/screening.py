"""Screening: estimate every node cheaply, and measure exactly only those that seem to matter.

Attribution patching, in half precision where that is faster, ranks all cells of a sweep by the
absolute value of their mean effect, or by their GradDrop size; the first `top` cells are then
patched in the model's own precision. Cells that the estimate misses are not found: see `agreement`
and the fixes of AtP*.

Source: Kramar et al. 2024 (arXiv 2403.00745), where estimates set the order in which nodes are
verified by patching.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import xarray as xr

from interp.metrics import Metrics
from interp.model import HookedGPT2
from interp.patching.activation import patch
from interp.patching.attribution import Fix, attribution_patch
from interp.patching.effects import effect
from interp.results import Question
from interp.runs.ablation import Ablation
from interp.runs.pair import Direction
from interp.runs.question import question
from interp.runs.selection import Selection
from interp.runs.sides import Progress, ready_task
from interp.tasks import Task


def screen(
    model: HookedGPT2,
    task: Task,
    site: str,
    selection: Selection = Selection(),
    *,
    top: int = 20,
    direction: Direction = "denoising",
    metric: Metrics | None = None,
    fixes: Sequence[Fix] = (),
    ablation: Ablation | None = None,
    dtype: torch.dtype | None = None,
    progress: Progress = iter,
) -> xr.Dataset:
    """Estimate the effect of every cell of a sweep, and patch the cells with the largest.

    Args:
        model: the model
        task: clean prompts with corrupted partners
        site: as in `patch`
        selection: as in `attribution_patch`
        top: number of cells to patch; all, if there are fewer
        direction: as in `patch`
        metric: as in `attribution_patch`
        fixes: as in `attribution_patch`; with "grad_drop", cells are chosen by their GradDrop size
        ablation: what is knocked out of the model in every run
        dtype: dtype of the estimates, as in `attribution_patch`; by default `torch.bfloat16`,
            except on a CPU, where it is the model's own
        progress: wraps the batches of the estimates and then the steps of the patching

    Returns:
        As for `patch`, but NaN in cells that were not patched; and `<metric>_estimate`, with the
        same dims and unit: the estimated effect of every cell, the patched run minus the run that
        is patched. With "grad_drop" also `<metric>_grad_drop`, as for `attribution_patch`.

    Raises:
        ValueError: as for `attribution_patch`, or `top` is below 1
        TypeError: an argument is of another type

    Source: see the module.
    """
    if isinstance(top, bool) or not isinstance(top, int) or top < 1:
        raise ValueError(f"expected at least one cell to patch, got top={top}")
    ready_task(model, task, "screen")
    own = model.dtype if model.device.type == "cpu" else torch.bfloat16
    estimated = attribution_patch(
        model,
        task,
        site,
        selection,
        direction=direction,
        metric=metric,
        fixes=fixes,
        ablation=ablation,
        dtype=dtype or own,
        progress=progress,
    )
    name = str(next(iter(estimated.data_vars)))
    estimate, sizes = effect(estimated, name), f"{name}_grad_drop"
    by_size = sizes in estimated
    ranked_by = estimated[sizes].mean("prompt") if by_size else abs(estimate.mean("prompt"))
    chosen = replace(selection, only=_largest(ranked_by, top))
    result = patch(
        model,
        task,
        site,
        chosen,
        direction=direction,
        metrics=metric,
        ablation=ablation,
        progress=progress,
    )
    result[f"{name}_estimate"] = estimate
    if by_size:
        result[sizes] = estimated[sizes]
    how = {"fixes": " ".join(fixes), "dtype": estimated.attrs["dtype"]}
    asked = question(
        "screen", site=site, selection=selection, task=task, ablation=ablation,
        direction=direction, top=top, **how,
    )  # fmt: skip
    told = {name: told for name, told in result.attrs.items() if name not in asked}
    result.attrs = told | Question.make(**asked).attrs() | {"method": "screening"} | how
    return result


def _largest(size: xr.DataArray, top: int) -> xr.DataArray:
    """Mark the cells with the largest sizes, the first among equals; never NaN."""
    flat = size.values.reshape(-1)
    order = np.argsort(-np.nan_to_num(flat, nan=-np.inf), kind="stable")[:top]
    chosen = np.zeros(flat.shape, dtype=bool)
    chosen[order] = True
    return xr.DataArray((chosen & np.isfinite(flat)).reshape(size.shape), dims=size.dims)
