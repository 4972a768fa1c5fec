"""Sweeps: many interventions of one kind on one task, which all patches and ablations run on.

Each cell (what is replaced) is measured at each place (where) on each prompt, with one job of the
resumed forward pass for each. A job whose replacement equals the present value changes nothing and
is not run; the others start at the first position that changes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.results import Question, as_numpy
from interp.runs.cells import Cells
from interp.runs.edits import over
from interp.runs.forward import resume
from interp.runs.pair import BaseRun, Setting, other_side
from interp.runs.places import Places
from interp.runs.rows import Jobs, Rows, chunks, jobs_of
from interp.runs.sides import Progress, Prompts, batches_within
from interp.runs.sites import SITES, Key
from interp.tasks.sides import Side

ROWS_PER_RUN = 1024
"""Number of rows in one run: enough for fast matrix products."""

_CELLS = 1024  # number of cells whose jobs are listed at once


@runtime_checkable
class Source(Protocol):
    """The source of replacements: another run, or stand-ins."""

    def run(
        self, prompts: Prompts, length: int
    ) -> tuple[Mapping[Key, Tensor], Mapping[str, Tensor]]:
        """The replacements on some prompts, each broadcastable to its activation, and the metrics
        of the run that they are from, if there is one.
        """


@dataclass(frozen=True)
class Swept:
    """The measurements of a sweep.

    Args:
        values: metric -> its value with each replacement
        base: metric -> its value without any replacement
        other: metric -> its value in the run that the replacements come from
    """

    values: dict[str, Float[Tensor, "cell place prompt"]]
    base: dict[str, Float[Tensor, " prompt"]]
    other: dict[str, Float[Tensor, " prompt"]]

    @staticmethod
    def unchanged(
        base: Mapping[str, Tensor],
        other: Mapping[str, Tensor],
        exists: Bool[Tensor, "_ place prompt"],
        n_cells: int,
    ) -> "Swept":
        """Start with the base run's values for all cells; NaN where a prompt lacks a place.

        Args:
            base: metrics of the base run
            other: metrics of the run that the replacements come from
            exists: True where there is something to replace, for all cells or for each cell
            n_cells: number of cells

        Returns:
            The values, to be overwritten by `put`.
        """
        shape = (n_cells, *exists.shape[1:])
        values = {
            name: torch.where(exists.cpu(), value.cpu(), torch.nan).expand(shape).clone()
            for name, value in base.items()
        }
        return Swept(values, _on_cpu(base), _on_cpu(other))

    def put(
        self, cell: Tensor, place: Tensor, prompt: Tensor, measured: Mapping[str, Tensor]
    ) -> None:
        """Store the measurements of jobs."""
        at = cell.cpu(), place.cpu(), prompt.cpu()
        for name, value in measured.items():
            self.values[name][at] = value.cpu()

    @staticmethod
    def joined(parts: Sequence["Swept"], prompts: Sequence[Tensor]) -> "Swept":
        """Join the values of several batches, in the order of the task."""
        back = torch.cat(list(prompts)).argsort().cpu()

        def join(each: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
            return {name: torch.cat([one[name] for one in each], -1)[..., back] for name in each[0]}

        return Swept(
            join([part.values for part in parts]),
            join([part.base for part in parts]),
            join([part.other for part in parts]),
        )


@torch.inference_mode()
def sweep(
    setting: Setting,
    cells: Cells,
    places: Places,
    sources: Sequence[Source],
    *,
    chosen: Bool[Tensor, "cell place"] | None = None,
    progress: Progress = iter,
) -> Swept:
    """Measure the result of every replacement.

    Args:
        setting: the run that is changed
        cells: what is replaced
        places: where
        sources: the sources of replacements
        chosen: which cells to measure at which places, the others being NaN; None for all
        progress: wraps the steps (batches times entries), for a progress bar

    Returns:
        The metrics with and without each replacement.
    """
    model, task = setting.model, setting.task
    groups = cells.by_entry()
    keys = _keys_needed(cells, list(groups), model.config.n_layers)
    by_length = batches_within(model, task, setting.side, keys)
    steps = [(rows, entry) for rows in by_length for entry in groups or [None]]
    batch: _Batch | None = None
    found: list[Swept] = []
    for rows, entry in progress(steps):
        if batch is None or batch.run.prompts is not rows:
            batch = None  # release its activations
            batch = _Batch(setting.base(rows, keys), cells, places, sources, chosen)
            found.append(batch.unchanged())
        for first in range(0, len(groups.get(entry, ())), _CELLS):
            batch.measure(found[-1], entry, groups[entry][first : first + _CELLS])
    return Swept.joined(found, by_length)


def _keys_needed(cells: Cells, entries: Sequence[Key], n_layers: int) -> list[Key]:
    """The activations that a base run has to keep."""
    first = min((layer for _, layer in entries), default=n_layers)
    keys: list[Key] = [(kv, layer) for layer in range(first, n_layers) for kv in ("k", "v")]
    keys += [(needed, layer) for site, layer in entries for needed in SITES[site].needs]
    keys += list(cells.members)
    return list(dict.fromkeys(keys))


class _Batch:
    """Some prompts in a sweep: their base run, and where and by what activations are replaced."""

    def __init__(
        self,
        run: BaseRun,
        cells: Cells,
        places: Places,
        sources: Sequence[Source],
        chosen: Bool[Tensor, "cell place"] | None,
    ) -> None:
        self.run, self.cells, self.chosen = run, cells, chosen
        mine = places.of(run.prompts, run.length)
        self.exists = mine.where.any(1).any(-1)  # place prompt
        self.where, self.sources = mine.where & run.up_to_end, mine.sources
        new = [source.run(run.prompts, run.length) for source in sources]
        self.other = new[0][1]
        self.new = {
            key: torch.stack([one[key].expand_as(run.kept[key]) for one, _ in new])
            if len(new) > 1
            else new[0][0][key].expand_as(run.kept[key])[None]
            for key in cells.members
        }  # source prompt pos ...

    def unchanged(self) -> Swept:
        """The values before anything is replaced."""
        exists = self.exists[None]
        if self.chosen is not None:
            exists = exists & self.chosen[..., None]
        return Swept.unchanged(self.run.values, self.other, exists, self.cells.n)

    def measure(self, found: Swept, entry: Key, indices: Sequence[int]) -> None:
        """Run the jobs of cells that enter at an activation.

        Args:
            found: where to store the measurements
            entry: the first activation that each of the cells touches
            indices: the cells
        """
        run, keys = self.run, self.cells.keys_of(indices)
        here = torch.tensor(indices, device=run.end.device)  # cell
        by_key = torch.stack([self._active(key, here) for key in keys])
        active = by_key.any(0)  # cell place prompt pos
        if self.chosen is not None:
            active &= self.chosen[here][..., None, None]
        cell, place, prompt, start = jobs_of(active, run.end)
        site, layer = entry
        for chunk in chunks(start, run.end[prompt], ROWS_PER_RUN):
            jobs = Jobs(prompt[chunk], start[chunk], run.end[prompt[chunk]], run.length)
            edits = {
                key: partial(self._replace, key, here[cell[chunk]], place[chunk]) for key in keys
            }
            rows = jobs.rows_of(site, layer, run.n_layers)
            now = rows.of(run.kept[entry])
            new = edits[entry](rows, now)
            changed = (new != now).any(-1) if site == "resid_pre" else None
            stream = resume(
                run.model, run.kept, jobs, layer, {site: new}, over(run.edits, edits),
                changed=changed,
            )  # fmt: skip
            measured = run.readout(stream, run.prompts[jobs.prompt])
            found.put(here[cell[chunk]], place[chunk], jobs.prompt, measured)

    def _active(
        self, key: Key, cells: Int[Tensor, " cell"]
    ) -> Bool[Tensor, "cell place prompt pos"]:
        """Where cells change an activation that matters."""
        run, (site, layer) = self.run, key
        where = self.where  # place slot prompt pos
        if layer == run.n_layers - 1 and not SITES[site].everywhere:
            where = where & run.at_end
        members = self.cells.members[key][cells].float()  # cell unit slot
        by_source: list[Tensor] = []
        for new in self.new[key]:
            changed = new != run.kept[key]  # prompt pos ...
            if self.sources is not None:
                changed = changed & self.sources[:, :, None, None, :]  # place prompt pos h s
            if site != "mlp_post":
                changed = changed.any(-1)
            if not SITES[site].unit:
                changed = changed[..., None]
            found = torch.zeros((), dtype=torch.bool, device=where.device)
            for slot in range(where.shape[1]):
                units = changed.float() @ members[:, :, slot].T > 0  # [place] prompt pos cell
                units = units.movedim(-1, 0)  # cell [place] prompt pos
                if units.ndim == 3:
                    units = units[:, None]  # cell 1 prompt pos
                found = found | (units & where[:, slot])  # cell place prompt pos
            by_source.append(found)
        if len(by_source) == 1:
            return by_source[0]
        return torch.stack(by_source)[self.cells.source[cells], torch.arange(len(cells))]

    def _replace(
        self,
        key: Key,
        cell: Int[Tensor, " job"],
        place: Int[Tensor, " job"],
        rows: Rows,
        value: Float[Tensor, "row ..."],
    ) -> Float[Tensor, "row ..."]:
        """The new activation where each row's cell and place say so, else the old value."""
        where = self.where[place[rows.job], :, rows.prompt, rows.pos]  # row slot
        units = self.cells.members[key][cell[rows.job]]  # row unit slot
        mask = (units & where[:, None]).any(-1)  # row unit
        if value.ndim == 3:
            mask = mask[..., None]  # row unit 1
        if self.sources is not None:
            mask = mask & self.sources[place[rows.job], rows.prompt, None]  # row unit source
        if len(self.new[key]) == 1:
            new = rows.of(self.new[key][0])
        else:
            new = self.new[key][self.cells.source[cell[rows.job]], rows.prompt, rows.pos]
        return torch.where(mask, new, value)


def _on_cpu(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu() for name, value in values.items()}


def with_runs(result: xr.Dataset, swept: Swept, side: Side) -> xr.Dataset:
    """Add the metrics of the unchanged runs.

    Args:
        result: the metrics with replacements
        swept: the measurements
        side: the side that was changed

    Returns:
        The result with `<metric>_clean` and, if replacements come from another run,
        `<metric>_corrupted`, dims prompt; the attrs have the question that the arrays share.
    """
    result = result.assign_attrs(Question.of(result).attrs())
    for values, of in ((swept.base, side), (swept.other, other_side(side))):
        for name, value in values.items():
            result[f"{name}_{of}"] = ("prompt", as_numpy(value))
    return result
