"""Activation patching: put an activation of one run into the other, and measure what changes.

Denoising puts the clean activation into the corrupted run: what is sufficient to restore the
answer? Noising puts the corrupted activation into the clean run: what is necessary for the answer?

    site                                    parts that can be swept over
    embed                                   position or role
    resid_pre, resid_mid, resid_post,
    attn_out, mlp_in, mlp_out               layer, position or role
    z, q, k, v                              layer, head, position or role
    pattern                                 layer, head, position or role (the one that attends),
                                            source or source_role (the one attended to)
    mlp_post                                layer, neuron, position or role

Parts that are not swept over are patched together: at z, `Selection(over=["layer"])` patches all
heads of a layer at all positions at once.

Source: Vig et al. 2020 (arXiv 2004.12265); Meng et al. 2022 (arXiv 2202.05262); Heimersheim and
Nanda 2024 (arXiv 2404.15255) for the two directions and for what to conclude from them.
"""

import torch
import xarray as xr

from interp.metrics import Metrics
from interp.model import HookedGPT2
from interp.runs.ablation import Ablation
from interp.runs.grid import grid
from interp.runs.overlap import also_ablated
from interp.runs.pair import Direction, Pair, base_of, require_alignment
from interp.runs.question import question
from interp.runs.readout import Readout
from interp.runs.selection import Selection
from interp.runs.sides import Progress, ready_task
from interp.runs.sweep import sweep, with_runs
from interp.tasks import Task


@torch.inference_mode()
def patch(
    model: HookedGPT2,
    task: Task,
    site: str,
    selection: Selection = Selection(),
    *,
    direction: Direction = "denoising",
    metrics: Metrics | None = None,
    ablation: Ablation | None = None,
    progress: Progress = iter,
) -> xr.Dataset:
    """Patch an activation, part by part.

    Args:
        model: the model
        task: clean prompts with corrupted partners
        site: the activation; see the module
        selection: the parts to sweep over; by default every layer, with every head or neuron if the
            site has them, else with every position
        direction: "denoising" puts clean activations into the corrupted run, "noising" corrupted
            ones into the clean run
        metrics: a name from `METRICS`, a function of the logits at END [run d_vocab] and the
            prompts they belong to, several of these, or a mapping from names to functions; None for
            the task's own metric
        ablation: what is knocked out of the model in every run. Where a patch and the ablation
            replace the same activation at the same place, the patch takes precedence.
        progress: wraps the steps, for a progress bar

    Returns:
        For each metric, its value in the patched run, with the dims of the sweep and prompt, NaN
        where a prompt has no such position; and `<metric>_clean` and `<metric>_corrupted`, dims
        prompt. `effect` and `normalized` turn them into effects. The attrs hold the question;
        `also_ablated` names parts that the ablation replaces too.

    Raises:
        ValueError: a site, part, metric, layer, head, neuron, role or position is unknown; the task
            does not fit the model; the caller has hooks on the model; or clean and corrupted
            prompts are neither aligned nor patched by role
        TypeError: an argument is of another type
    """
    base = base_of(direction)
    task = ready_task(model, task, "patch")
    parts = grid(model, task, site, selection, base)
    require_alignment(task, site, parts.roles, parts.by_role)
    readout = Readout(model, task, metrics)
    keys = [(site, layer) for layer in parts.layers]
    pair = Pair.of(model, task, base, readout, keys, parts.roles, ablation)
    swept = sweep(pair, parts.cells, parts.places, [pair], chosen=parts.chosen, progress=progress)
    asked = question(
        "patch", site=site, selection=selection, task=task, ablation=ablation, direction=direction
    )
    title = f"{direction.capitalize()} {site}"
    result = parts.dataset(swept.values, title=title, model=model, task=task, question=asked)
    both = also_ablated(pair.ablation, parts.cells, parts.places)
    return with_runs(result, swept, base).assign_attrs(
        site=site, direction=direction, **({"also_ablated": both} if both else {})
    )
