"""Activation patching of every head at every role: what is lost without what the head knew there.

The output z of one head, at one role's position, is replaced in the clean run by its value on the
corrupted prompt (noising), and everything after it is recomputed. The run resumes at the head's
layer from the clean residual stream.

Source: Vig et al. 2020 (arXiv 2004.12265); Heimersheim and Nanda 2024 (arXiv 2404.15255) for
noising and denoising.
"""

from collections.abc import Sequence

import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor

from interp.model import HookedGPT2
from interp.patching.runs import Progress, at, batches, inputs, logit_diff_of
from interp.results import labelled
from interp.tasks import Task


@torch.inference_mode()
def head_effects(
    model: HookedGPT2,
    task: Task,
    *,
    roles: Sequence[str] | None = None,
    progress: Progress = iter,
) -> xr.DataArray:
    """Total effect of every head's output at every role on the logit difference.

    Args:
        model: the model.
        task: clean prompts with corrupted partners.
        roles: positions to patch, by name; by default all that the task has.
        progress: wraps the batches, for a progress bar.

    Returns:
        Dims layer, head, position, prompt, in logits: the logit difference with the head's z at
        that position taken from the corrupted run, minus the clean one. Negative: what the head
        carries there helps the answer.

    Raises:
        ValueError: for a role that the task does not have.
    """
    roles = list(task.positions) if roles is None else list(roles)
    unknown = [role for role in roles if role not in task.positions]
    if unknown:
        raise ValueError(f"the task has no role {unknown}; it has {list(task.positions)}")
    per_batch = []
    for rows in batches(task, progress):
        where = torch.stack([task.positions[role][rows] for role in roles]).to(model.device)
        per_batch.append(_effects(model, task, rows, where))
    return labelled(
        torch.cat(per_batch, -1),
        ("layer", "head", "position", "prompt"),
        name="head_effect",
        title="Effect of a head's output at one position on the logit difference",
        unit="logits",
        model=model,
        task=task,
        coords={"position": roles},
    )


def _effects(
    model: HookedGPT2, task: Task, rows: slice, where: Int[Tensor, "role batch"]
) -> Float[Tensor, "layer head role batch"]:
    n_layers, n_heads = model.config.n_layers, model.config.n_heads
    n_roles, n_rows = where.shape
    tokens, mask = inputs(model, task, rows, "clean")
    keep = ("attn.hook_z", "hook_resid_pre")
    resid, clean = model.run_with_cache(
        tokens, mask, stop_at_layer=n_layers, names_filter=lambda name: name.endswith(keep)
    )
    _, corrupted = model.run_with_cache(
        *inputs(model, task, rows, "corrupted"),
        stop_at_layer=n_layers,
        names_filter=lambda name: name.endswith("attn.hook_z"),
    )
    end, answer, foil = task.positions["END"][rows], task.answer[rows], task.foil[rows]
    base = logit_diff_of(model, at(resid, end), answer, foil)
    # One run patches one head at all roles: the batch is repeated once a role.
    stacked_mask, stacked_end = mask.repeat(n_roles, 1), end.repeat(n_roles)
    row, position = torch.arange(n_roles * n_rows, device=model.device), where.flatten()
    effects = base.new_empty(n_layers, n_heads, n_roles, n_rows)
    for layer in range(n_layers):
        resid_pre = clean["resid_pre", layer].repeat(n_roles, 1, 1)
        replacement = corrupted["z", layer].repeat(n_roles, 1, 1, 1)[row, position]  # row h k
        for head in range(n_heads):

            def patch(
                z: Tensor, hook: object, head: int = head, new: Tensor = replacement
            ) -> Tensor:
                z = z.clone()
                z[row, position, head] = new[:, head]
                return z

            with model.hooks(fwd_hooks=[(f"blocks.{layer}.attn.hook_z", patch)]):
                out = model(resid_pre, stacked_mask, start_at_layer=layer, stop_at_layer=n_layers)
            patched = logit_diff_of(
                model, at(out, stacked_end), answer.repeat(n_roles), foil.repeat(n_roles)
            )
            effects[layer, head] = patched.view(n_roles, n_rows) - base
    return effects
