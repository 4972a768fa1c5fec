"""Many interventions of one kind on one task: what every patch and every ablation runs on.

A *cell* is a set of layers and, in each, of units (heads or neurons) whose activation is replaced;
a *place* says at which positions. Each cell is measured at each place on each prompt, one job of
the engine for each. A job whose replacement is equal to what is there changes nothing, exactly, and
is not run; the others start at the first position that does change.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.model import HookedGPT2
from interp.runs.ablation import Ablation, Prepared
from interp.runs.forward import (
    EVERYWHERE,
    UNITS,
    Edits,
    Jobs,
    Rows,
    chunks,
    in_order,
    merged,
    resume,
)
from interp.runs.readout import Readout
from interp.runs.sides import Progress, Prompts, run_side
from interp.tasks import Side, Task

ROWS = 1024
"""Rows in one run: enough for the matrix products to be fast."""

MEMORY = 1 << 29
"""Bytes of activations kept of the runs of one batch of prompts; sets how many prompts that is."""

_CELLS = 1024  # cells whose jobs are listed at once

Cell = Mapping[int, Sequence[int] | None]
"""Layer -> its heads or neurons; None for sites that have neither."""

Source = Callable[[Prompts, int], Mapping[tuple[str, int], Tensor]]
"""(prompts, positions) -> replacements by (site, layer), each broadcastable to the activation."""

Places = Callable[[Task], tuple[Bool[Tensor, "place prompt pos"], Bool[Tensor, "_ _ pos"] | None]]
"""Some prompts -> which positions are replaced and, for patterns, which sources."""

_NEEDS = {
    **{site: ("q", "k", "v", "resid_pre") for site in ("resid_pre", "q", "k", "v")},
    **{site: ("resid_pre",) for site in ("pattern", "z", "attn_out")},
    **{site: ("resid_mid",) for site in ("mlp_in", "mlp_post", "mlp_out")},
}
"""What has to be known of the base run in the layer that is entered at a site, besides k and v."""


@dataclass(frozen=True)
class Swept:
    """What a sweep measured.

    Args:
        values: metric -> its value with each replacement.
        base: metric -> its value without any.
    """

    values: dict[str, Float[Tensor, "cell place prompt"]]
    base: dict[str, Float[Tensor, " prompt"]]

    @staticmethod
    def unchanged(
        base: Mapping[str, Tensor], where: Bool[Tensor, "place prompt pos"], n_cells: int
    ) -> "Swept":
        """The base run's values for all; NaN where a prompt has no such place."""
        exists = where.any(-1)  # place prompt
        values = {
            name: torch.where(exists, value, torch.nan).cpu().repeat(n_cells, 1, 1)
            for name, value in base.items()
        }
        return Swept(values, {name: value.cpu() for name, value in base.items()})

    def put(
        self, cell: Tensor, place: Tensor, prompt: Tensor, measured: Mapping[str, Tensor]
    ) -> None:
        """Write down what jobs measured."""
        at = cell.cpu(), place.cpu(), prompt.cpu()
        for name, value in measured.items():
            self.values[name][at] = value.cpu()

    @staticmethod
    def joined(parts: Sequence["Swept"], prompts: Sequence[Tensor]) -> "Swept":
        """The values of several batches, in the order of the task."""
        back = torch.cat(list(prompts)).argsort().cpu()
        names = parts[0].values
        return Swept(
            {
                name: torch.cat([part.values[name] for part in parts], -1)[..., back]
                for name in names
            },
            {name: torch.cat([part.base[name] for part in parts])[back] for name in names},
        )


@torch.inference_mode()
def sweep(
    model: HookedGPT2,
    task: Task,
    site: str,
    cells: Sequence[Cell],
    places: Places,
    stand_in: Source,
    readout: Readout,
    *,
    side: Side,
    ablation: Ablation | None = None,
    progress: Progress = iter,
) -> Swept:
    """Measure what every replacement does.

    Args:
        model: the model.
        task: prompts, padded on the right and on the model's device.
        site: one of `SITES`.
        cells: what to replace, at least one layer each.
        places: where.
        stand_in: by what.
        readout: what to measure.
        side: the text of each pair whose run is changed.
        ablation: what is knocked out in all runs.
        progress: wraps the steps, batches times sets of layers, for a progress bar.

    Returns:
        The metrics with and without each replacement.
    """
    prepared = ablation.prepare(model, task) if ablation else None
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, cell in enumerate(cells):
        groups[tuple(sorted(cell))].append(index)
    keys = _keys_needed(site, groups, model.config.n_layers)
    batch: _Batch | None = None
    found: list[Swept] = []
    by_length = batches_within(model, task, side, keys)
    for rows, layers in progress([(rows, layers) for rows in by_length for layers in groups]):
        if batch is None or batch.prompts is not rows:
            batch = None  # let go of its activations
            batch = _Batch(model, task, site, rows, side, keys, readout, prepared)
            found.append(batch.prepare(len(cells), places, stand_in))
        members = groups[layers]
        for first in range(0, len(members), _CELLS):
            some = members[first : first + _CELLS]
            batch.measure(found[-1], some, [cells[i] for i in some], layers)
    return Swept.joined(found, by_length)


def batches_within(
    model: HookedGPT2, task: Task, side: Side, keys: Sequence[tuple[str, int]]
) -> list[Prompts]:
    """Prompts by length, as many in a batch as leave no more activations than `MEMORY`.

    Args:
        model: the model.
        task: the prompts.
        side: which text of each pair.
        keys: the activations to be kept, counted twice, since another run leaves as many.

    Returns:
        Indices of the prompts of each batch, one prompt at least.
    """
    lengths = task.mask(side).sum(-1)
    order = lengths.argsort(stable=True)
    c, longest = model.config, int(lengths.max())
    width = {"mlp_post": c.d_mlp, "pattern": c.n_heads * longest}
    per_token = 2 * sum(width.get(site, c.d_model) for site, _ in keys)
    n_tokens = MEMORY // (per_token * model.embed.W_E.element_size())
    batches, first = [], 0
    for i, length in enumerate(lengths[order].tolist()):
        if i > first and length * (i + 1 - first) > n_tokens:
            batches.append(order[first:i])
            first = i
    return [*batches, order[first:]]


def jobs_of(
    active: Bool[Tensor, "cell place prompt pos"], end: Int[Tensor, " prompt"]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Cell, place, prompt and first position of every job, those of the same positions together."""
    cell, place, prompt = active.any(-1).nonzero(as_tuple=True)
    start = active[cell, place, prompt].int().argmax(-1)
    order = in_order(start, end[prompt])
    return cell[order], place[order], prompt[order], start[order]


def _keys_needed(
    site: str, groups: Mapping[tuple[int, ...], list[int]], n_layers: int
) -> list[tuple[str, int]]:
    """The activations that a base run has to leave."""
    entered = {layers[0] for layers in groups}
    replaced = {layer for layers in groups for layer in layers}
    keys = [(kv, layer) for layer in range(min(entered), n_layers) for kv in ("k", "v")]
    keys += [(needed, layer) for layer in entered for needed in _NEEDS.get(site, ())]
    keys += [(site, layer) for layer in replaced]
    return list(dict.fromkeys(keys))


class BaseRun:
    """The run of some prompts that is changed, and what is kept of it.

    Args:
        model: the model.
        task: the prompts, of `Task.right_padded`.
        prompts: which of them.
        side: which text of each pair.
        keys: the activations to keep.
        readout: what to measure.
        ablation: what is knocked out.
    """

    def __init__(
        self,
        model: HookedGPT2,
        task: Task,
        prompts: Prompts,
        side: Side,
        keys: Sequence[tuple[str, int]],
        readout: Readout,
        ablation: Prepared | None,
    ) -> None:
        self.model, self.prompts, self.readout = model, prompts, readout
        self.task, self.n_layers = task.subset(prompts.tolist()), model.config.n_layers
        self.end = self.task.roles(side)["END"]
        self.length = int(self.end.max()) + 1
        self.pos = torch.arange(self.length, device=self.end.device)
        hooks = ablation.hooks(prompts, self.length) if ablation else ()
        stream, self.kept = run_side(
            model, task, prompts, side, keys, length=self.length, hooks=hooks
        )
        if "kl_divergence" in readout.chosen:
            if side == "corrupted":
                width = int(self.task.mask("clean").sum(-1).max())
                hooks = ablation.hooks(prompts, width) if ablation else ()
                clean, _ = run_side(model, task, prompts, "clean", length=width, hooks=hooks)
            readout.clean[prompts] = stream if side == "clean" else clean
        self.values = readout(stream, prompts)
        self.edits: Edits = ablation.edits(prompts, self.length) if ablation else {}

    @property
    def at_end(self) -> Bool[Tensor, "prompt pos"]:
        """True at END."""
        return self.pos == self.end[:, None]

    @property
    def up_to_end(self) -> Bool[Tensor, "prompt pos"]:
        """True at the real tokens."""
        return self.pos <= self.end[:, None]


class _Batch(BaseRun):
    """Some prompts in a sweep: their base run, and what replaces its activations."""

    def __init__(
        self,
        model: HookedGPT2,
        task: Task,
        site: str,
        prompts: Prompts,
        side: Side,
        keys: Sequence[tuple[str, int]],
        readout: Readout,
        ablation: Prepared | None,
    ) -> None:
        super().__init__(model, task, prompts, side, keys, readout, ablation)
        self.site = site

    def prepare(self, n_cells: int, places: Places, stand_in: Source) -> Swept:
        """Work out where and by what activations are replaced; nothing is yet."""
        where, self.sources = places(self.task)
        where = where[:, :, : self.length]
        self.where = where & self.up_to_end
        replaced = {layer for site, layer in self.kept if site == self.site}
        new = stand_in(self.prompts, self.length)
        self.new = {
            layer: new[self.site, layer].expand_as(self.kept[self.site, layer])
            for layer in replaced
        }
        return Swept.unchanged(self.values, where, n_cells)

    def measure(
        self, found: Swept, indices: Sequence[int], cells: Sequence[Cell], layers: Sequence[int]
    ) -> None:
        """Run the jobs of cells that replace something in the same layers."""
        units = {layer: self._units([cell[layer] for cell in cells], layer) for layer in layers}
        active = torch.stack([self._active(layer, units[layer]) for layer in layers]).any(0)
        cell, place, prompt, start = jobs_of(active, self.end)
        for chunk in chunks(start, self.end[prompt], ROWS):
            jobs = Jobs(prompt[chunk], start[chunk], self.end[prompt[chunk]], self.length)
            replace = partial(self._replace, cell[chunk], place[chunk])
            entry, *later = layers
            rows = jobs.rows_of(self.site, entry, self.n_layers)
            now = rows.of(self.kept[self.site, entry])
            new = replace(entry, units[entry], rows, now)
            changed = (new != now).any(-1) if self.site == "resid_pre" else None
            edits = {(self.site, layer): partial(replace, layer, units[layer]) for layer in later}
            stream = resume(
                self.model, self.kept, jobs, entry, {self.site: new}, merged(edits, self.edits),
                changed=changed,
            )  # fmt: skip
            measured = self.readout(stream, self.prompts[jobs.prompt])
            found.put(torch.tensor(indices)[cell[chunk].cpu()], place[chunk], jobs.prompt, measured)

    def _units(
        self, chosen: Sequence[Sequence[int] | None], layer: int
    ) -> Bool[Tensor, "cell unit"] | None:
        """Which heads or neurons each cell replaces."""
        if self.site not in UNITS:
            return None
        width = self.new[layer].shape[2]
        mask = torch.zeros(len(chosen), width, dtype=torch.bool, device=self.end.device)
        for row, units in zip(mask, chosen, strict=True):
            row[list(range(width) if units is None else units)] = True
        return mask

    def _active(
        self, layer: int, units: Bool[Tensor, "cell unit"] | None
    ) -> Bool[Tensor, "cell place prompt pos"]:
        """Where a cell at a place changes a prompt's activation to another one that matters."""
        changed = self.new[layer] != self.kept[self.site, layer]  # prompt pos ...
        if self.sources is not None:
            changed = (
                changed & self.sources[:, :, None, None, : self.length]
            )  # place prompt pos h s
        if self.site != "mlp_post":
            changed = changed.any(-1)
        where = self.where
        if layer == self.n_layers - 1 and self.site not in EVERYWHERE:
            where = where & self.at_end
        if units is None:
            return (where & changed)[None]
        by_cell = changed.float() @ units.T.float() > 0  # [place] prompt pos cell
        return by_cell.movedim(-1, 0).view(len(units), -1, *where.shape[1:]) & where

    def _replace(
        self,
        cell: Int[Tensor, " job"],
        place: Int[Tensor, " job"],
        layer: int,
        units: Bool[Tensor, "cell unit"] | None,
        rows: Rows,
        value: Float[Tensor, "row ..."],
    ) -> Float[Tensor, "row ..."]:
        """The new activation where the cell and the place of each row say, else the value."""
        mask = self.where[place[rows.job], rows.prompt, rows.pos][:, None]  # row 1
        if units is not None:
            mask = mask & units[cell[rows.job]]  # row unit
        if value.ndim == 3:
            mask = mask[..., None]  # row unit 1
        if self.sources is not None:
            mask = mask & self.sources[place[rows.job], rows.prompt, None, : self.length]
        return torch.where(mask, rows.of(self.new[layer]), value)
