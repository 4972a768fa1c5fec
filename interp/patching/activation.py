"""Activation patching: an activation of one run put into the other, and what that does.

Denoising puts the clean activation into the corrupted run: what suffices to restore the answer?
Noising puts the corrupted one into the clean run: what is the answer lost without?

    site                                    parts that can be swept over
    embed                                   position or role
    resid_pre, resid_mid, resid_post,
    attn_out, mlp_out                       layer, position or role
    z, q, k, v                              layer, head, position or role
    pattern                                 layer, head, position or role (the one that attends),
                                            source or source_role (the one attended to)
    mlp_post                                layer, neuron, position or role

Parts that are not swept over are patched together: `over=("layer",)` at z patches all heads of a
layer at all positions at once.

Source: Vig et al. 2020 (arXiv 2004.12265); Meng et al. 2022 (arXiv 2202.05262); Heimersheim and
Nanda 2024 (arXiv 2404.15255) for the two directions and for what to conclude from them.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Literal, get_args

import torch
import xarray as xr
from torch import Tensor

from interp.model import HookedGPT2
from interp.runs.ablation import Ablation
from interp.runs.readout import Metrics, Readout
from interp.runs.selection import Grid, grid
from interp.runs.sides import Key, Progress, Prompts, run_side
from interp.runs.sweep import Swept, sweep
from interp.tasks import SIDES, Side, Task

Direction = Literal["denoising", "noising"]


@torch.inference_mode()
def patch(
    model: HookedGPT2,
    task: Task,
    site: str,
    *,
    over: Sequence[str] | None = None,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    neurons: Sequence[int] | None = None,
    positions: Sequence[str | int] | None = None,
    sources: Sequence[str | int] | None = None,
    direction: Direction = "denoising",
    metrics: Metrics = "logit_diff",
    ablation: Ablation | None = None,
    progress: Progress = iter,
) -> xr.Dataset:
    """Patch an activation, swept over its parts.

    Args:
        model: the model.
        task: clean prompts with corrupted partners.
        site: which activation; see the module.
        over: the parts to sweep over, in the order of the result: "layer", "head", "neuron",
            "position" or "role", "source" or "source_role". By default layer, head and neuron, and
            position where there is neither head nor neuron.
        layers: the layers to patch; by default all.
        heads: the heads to patch, in every layer; by default all.
        neurons: the neurons to patch, in every layer; by default all.
        positions: roles or indices (from 0, of each prompt's own tokens) to patch at; by default
            all.
        sources: for "pattern", roles or indices of the tokens attended to; by default all.
        direction: "denoising" puts clean activations into the corrupted run, "noising" corrupted
            ones into the clean run.
        metrics: a name of `METRICS`, a function of the logits at END [run d_vocab] and the task's
            prompts they belong to, or several of these.
        ablation: what is knocked out of the model in every run.
        progress: wraps the steps, for a progress bar.

    Returns:
        For each metric, its value in the patched run, dims those of `over` and prompt, NaN where a
        prompt has no such position; and `<metric>_clean` and `<metric>_corrupted`, dims prompt.
        `effect` and `normalized` make effects of them.

    Raises:
        ValueError: for an unknown site, part, metric, layer, head, neuron, role or position; or if
            clean and corrupted prompts differ in length and are not patched by role.
    """
    if direction not in get_args(Direction):
        raise ValueError(f"expected direction 'denoising' or 'noising', got {direction!r}")
    base: Side = "corrupted" if direction == "denoising" else "clean"
    task = task.right_padded().to(model.device)
    parts = grid(
        model, task, site, over=over, layers=layers, heads=heads, neurons=neurons,
        positions=positions, sources=sources,
    )  # fmt: skip
    require_alignment(task, site, parts)
    readout = Readout(model, task, metrics)
    other = OtherRun(model, task, site, base, parts, readout, ablation)
    swept = sweep(
        model,
        task,
        "resid_pre" if site == "embed" else site,
        parts.cells,
        parts.places(base),
        other,
        readout,
        side=base,
        ablation=ablation,
        progress=progress,
    )
    result = parts.dataset(swept, title=f"{direction.capitalize()} {site}", model=model, task=task)
    return other.add_runs(result, swept).assign_attrs(site=site, direction=direction)


class OtherRun:
    """The run that is patched from: its activations, where the changed text has the same roles."""

    def __init__(
        self,
        model: HookedGPT2,
        task: Task,
        site: str,
        base: Side,
        parts: Grid,
        readout: Readout,
        ablation: Ablation | None,
    ) -> None:
        self.model, self.task, self.site, self.base = model, task, site, base
        self.side: Side = "clean" if base == "corrupted" else "corrupted"
        self.ablation = ablation.prepare(model, task) if ablation else None
        self.readout = readout
        self.keys = [(site, layer) for layer in sorted({i for cell in parts.cells for i in cell})]
        self.roles = {str(role) for at in parts.where for role in at or ()}
        self.values = {name: torch.zeros(len(task)) for name in self.readout.chosen}

    def __call__(self, rows: Prompts, length: int) -> dict[Key, Tensor]:
        own = int(self.task.mask(self.side)[rows].sum(-1).max())
        hooks = self.ablation.hooks(rows, own) if self.ablation else ()
        stream, kept = run_side(
            self.model, self.task, rows, self.side, self.keys, length=own, hooks=hooks
        )
        for name, value in self.readout(stream, rows).items():
            self.values[name][rows.cpu()] = value.float().cpu()
        if not self.task.aligned:
            kept = {key: self._by_role(value, rows, length) for key, value in kept.items()}
        if self.site == "embed":  # enters as the stream that it and the position embedding make
            pos_embed = self.model.pos_embed.W_pos[:length]
            kept = {("resid_pre", 0): kept["embed", 0] + pos_embed}
        return kept

    def add_runs(self, result: xr.Dataset, swept: Swept) -> xr.Dataset:
        """Add the metrics of the clean and the corrupted run to those of the patched ones."""
        for name, values in swept.base.items():
            result[f"{name}_{self.base}"] = ("prompt", values.float().numpy())
            result[f"{name}_{self.side}"] = ("prompt", self.values[name].numpy())
        return result

    def _by_role(self, value: Tensor, rows: Prompts, length: int) -> Tensor:
        """The activation, each role's at the position that the role has in the changed text."""
        here, there = self.task.roles(self.base), self.task.roles(self.side)
        moved = value.new_zeros(len(value), length, *value.shape[2:])
        prompt = torch.arange(len(value), device=value.device)
        for role in self.roles:
            moved[prompt, here[role][rows]] = value[prompt, there[role][rows]]
        return moved


def require_alignment(task: Task, site: str, parts: Grid) -> None:
    """Refuse to compare positions that do not mean the same."""
    if task.aligned:
        return
    by_role = all(at and all(isinstance(one, str) for one in at) for at in parts.where)
    if site == "pattern" or not by_role:
        raise ValueError(
            "clean and corrupted prompts do not have the same length, or not their roles at the "
            "same positions, so that a position does not mean the same in both; patch by role "
            "(positions=[...] with roles, or over=('layer', 'role')), and not at 'pattern'"
        )
    roles = sorted({str(role) for at in parts.where for role in at or ()})
    for one, two in combinations(roles, 2):
        same, there = (task.roles(side)[one] == task.roles(side)[two] for side in SIDES)
        if bool((same != there).any()):
            raise ValueError(
                f"roles {one!r} and {two!r} are one token in one text of a pair and two "
                "in the other, so they cannot be patched in one call; patch one at a time"
            )
