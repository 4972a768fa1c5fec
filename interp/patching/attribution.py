"""Attribution patching: estimate from the gradient, all at once, what patching each node would do.

    estimate = metric(base) + sum over the patched elements of  d metric / d element . (new - base)

The base run is the one that is patched, and `new` is the other run's value. Two forward passes and
one backward pass give every head, neuron or position of an activation, with each prompt's own
gradient. The linear approximation fails in two situations, for which AtP* has fixes:

    qk         A saturated softmax is flat, so its gradient says that no query and no key matters.
               With this fix, the softmax is computed with the patched queries or keys, and only
               what follows is linearized:
               sum of  d metric / d pattern . (pattern(new) - pattern(base)).
    grad_drop  If a direct and an indirect effect almost cancel, the estimate is mostly error. With
               this fix, the gradient is taken again with the outputs of each layer l frozen, which
               blocks the paths through it:  1 / (L - 1) sum over l of |effect_l|,  with L layers.
               A node in layer l is itself frozen and has no effect_l: hence L - 1, and L for the
               stream.

Source: Nanda 2023, "Attribution Patching: Activation Patching At Industrial Scale"; Kramar et al.
2024 (arXiv 2403.00745), section 3. We differ from the latter in three points. They average absolute
values over prompts, even without GradDrop; our estimates keep their sign, as exact effects do, and
only the GradDrop size is absolute. Their nodes are single queries or keys; ours, if patched
together, share one softmax, as in the patched run. Their models compute attention and MLP of a
layer in parallel; in GPT-2 the MLP reads the attention output, and dropping the layer blocks that
path too.
"""

from collections.abc import Sequence
from typing import Any, get_args

import torch
import xarray as xr

from interp.metrics import Metrics
from interp.model import HookedGPT2
from interp.runs.ablation import Ablation
from interp.runs.estimates import Estimates, Fix
from interp.runs.gradients import GRAPH, ExactReadout, GradientRuns, differentiable
from interp.runs.grid import Grid, grid
from interp.runs.overlap import also_ablated
from interp.runs.pair import Direction, Pair, base_of, require_alignment
from interp.runs.question import question
from interp.runs.readout import Readout
from interp.runs.selection import Selection
from interp.runs.sides import Progress, batches_within, ready_task
from interp.runs.sweep import Swept, with_runs
from interp.tasks import Task


def attribution_patch(
    model: HookedGPT2,
    task: Task,
    site: str,
    selection: Selection = Selection(),
    *,
    direction: Direction = "denoising",
    metric: Metrics | None = None,
    fixes: Sequence[Fix] = (),
    ablation: Ablation | None = None,
    dtype: torch.dtype | None = None,
    progress: Progress = iter,
) -> xr.Dataset:
    """Estimate what `patch` would measure, to first order.

    Args:
        model: the model
        task: clean prompts with corrupted partners
        site: as in `patch`
        selection: as in `patch`; "layer" must be swept over unless only one layer is patched
        direction: as in `patch`; the gradient is taken in the run that is patched
        metric: a differentiable metric, as in `patch` (not "accuracy" or "rank"); None for the
            task's own
        fixes: fixes of AtP*, see the module: "qk" at site "q" or "k", "grad_drop" at any site. The
            latter needs one more backward pass per layer.
        ablation: what is knocked out of the model in every run
        dtype: `torch.bfloat16` for matrix products in half precision; None for the model's own.
            Sums over the stream and the metric keep the model's precision. Half precision is faster
            on devices that support it, such as most GPUs; on a CPU without support it is many times
            slower.
        progress: wraps the batches of prompts, for a progress bar

    Returns:
        As for `patch`, but with the estimated metric of the patched run: `effect` and `normalized`
        turn it into effects, and `agreement` compares it with exact ones. With "grad_drop" also
        `<metric>_grad_drop`, with the same dims and unit: the size of the effect, averaged in
        absolute value over the dropped layers, so never negative.

    Raises:
        ValueError: as for `patch`; or several layers are patched together, the metric has no
            gradient, a fix does not fit, the dtype is another, or the model was made inside
            `torch.inference_mode`
        TypeError: an argument is of another type

    Source: see the module, which states where we differ.
    """
    base = base_of(direction)
    task = ready_task(model, task, "attribution_patch")
    _require_fixes(model, site, fixes)
    with differentiable(model):
        parts = grid(model, task, site, selection, base)
        require_alignment(task, site, parts.roles, parts.by_role)
        readout = ExactReadout(model, task, metric)
        name = _the_metric(readout)
        _require_gradient(parts, readout, direction, dtype, model.dtype)
        keys = [(site, layer) for layer in parts.layers]
        pair = Pair.of(model, task, base, readout, keys, parts.roles, ablation)
        runs = GradientRuns(pair, None if dtype == model.dtype else dtype)
        held = (*GRAPH, "pattern") if site == "pattern" or "qk" in fixes else GRAPH
        graph = [(each, layer) for layer in range(model.config.n_layers) for each in held]
        by_length = batches_within(model, task, base, graph)
        swept = Swept.joined(
            [
                Estimates(pair, runs, site, parts, fixes, prompts).estimate()
                for prompts in progress(by_length)
            ],
            by_length,
        )
    how: dict[str, Any] = {
        "fixes": " ".join(fixes),
        "dtype": str(dtype or model.dtype).removeprefix("torch."),
    }
    asked = question(
        "attribution_patch", site=site, selection=selection, task=task, ablation=ablation,
        direction=direction, **how,
    )  # fmt: skip
    result = parts.dataset(
        swept.values,
        title=f"{direction.capitalize()} {site}, estimated",
        model=model,
        task=task,
        question=asked,
    )
    size = f"{name}_grad_drop"
    if swept.base.pop(size, None) is not None:
        title, unit = f"Size of the effect of {site}, GradDrop", result[name].attrs["unit"]
        result[size].attrs.update(title=title, unit=unit)
    both = also_ablated(pair.ablation, parts.cells, parts.places)
    return with_runs(result, swept, base).assign_attrs(
        site=site,
        direction=direction,
        method="attribution",
        **how,
        **({"also_ablated": both} if both else {}),
    )


def _the_metric(readout: Readout) -> str:
    """The name of the one metric."""
    if len(readout.chosen) > 1:
        raise ValueError(
            f"estimates are of one metric at a time, got {list(readout.chosen)}; each takes a "
            "backward of its own"
        )
    return next(iter(readout.chosen))


def _require_gradient(
    parts: Grid,
    readout: Readout,
    direction: Direction,
    dtype: torch.dtype | None,
    own: torch.dtype,
) -> None:
    """Refuse questions whose gradient does not exist or is always zero."""
    name = next(iter(readout.built_in), "")
    if "layer" not in parts.dims and len(parts.layers) > 1:
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
    """Refuse fixes that do not exist or have no effect here."""
    if isinstance(fixes, str):
        raise TypeError(f"fixes are a list, such as ['qk']; got {fixes!r}")
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
