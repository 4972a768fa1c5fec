"""Knock-out of nodes: heads at single positions, each set of them with positions of its own.

A node is a head's output at one role, (layer, head, role): what a circuit is made of. `ablate_sets`
takes heads out at the same positions; here a set may hold 9.9 at END and 5.5 at S2. With an
`ablation` under which only a circuit is left, the sets are knocked out of the circuit:

    F(M without K)   ablate_nodes(model, task, {"K": K})
    F(C without K)   the same with ablation=Ablation(heads="all", keep=C, value="group mean")

Source: Wang et al. 2022 (arXiv 2211.00593), section 4.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial

import torch
import xarray as xr
from jaxtyping import Bool, Int
from torch import Tensor

from interp.model import HookedGPT2
from interp.patching.knockout import of_sets
from interp.runs.ablation import Ablation, Keep, StandIn, Value, kept_outputs, stand_ins
from interp.runs.forward import Jobs, Rows, chunks, merged, resume
from interp.runs.readout import Metrics, Readout
from interp.runs.sides import Key, Progress, Prompts, run_side
from interp.runs.sweep import ROWS, BaseRun, Swept, batches_within, jobs_of
from interp.tasks import Task


@torch.inference_mode()
def ablate_nodes(
    model: HookedGPT2,
    task: Task,
    sets: Mapping[str, Sequence[Keep]],
    *,
    value: Value = "group mean",
    reference: Task | Mapping[str, Task] | None = None,
    metrics: Metrics = "logit_diff",
    ablation: Ablation | None = None,
    progress: Progress = iter,
) -> xr.Dataset:
    """Ablate each of several sets of nodes, all of a set at once.

    Args:
        model: the model.
        task: the prompts, by their clean texts.
        sets: name -> (layer, head, role) of each node; an empty one changes nothing.
        value: what stands in: "zero", "mean", "group mean" or "resample".
        reference: prompts, by their corrupted texts, for means and resampling, or those of each
            set by its name; by default the task's own. To resample, the roles may stand elsewhere
            in them: a node takes what the head says at its role there.
        metrics: as in `patch`.
        ablation: what is knocked out already, for instance all that is outside a circuit.
        progress: wraps the steps, for a progress bar.

    Returns:
        For each metric its value in the ablated run, dims set, prompt, and `<metric>_clean`, dims
        prompt, without the sets' ablation. `effect` makes effects of them.

    Raises:
        ValueError: for no sets, a head or role that there is not, or a reference that does not fit.
    """
    if not sets:
        raise ValueError("no sets were given; expected a name and its (layer, head, role) for each")
    if isinstance(reference, Mapping) and (
        lost := [name for name in sets if name not in reference]
    ):
        raise ValueError(
            f"there is no reference for the sets {lost}; give one for each, or one task"
        )
    task = task.right_padded().to(model.device)
    kept_outputs(model, task, [node for nodes in sets.values() for node in nodes])  # for its errors
    last = model.config.n_layers - 1
    groups: dict[int, list[int]] = defaultdict(list)  # first layer -> its sets
    for index, nodes in enumerate(sets.values()):
        if nodes:
            groups[min(layer for layer, _, _ in nodes)].append(index)
    layers = sorted({layer for nodes in sets.values() for layer, _, _ in nodes})
    z: list[Key] = [("z", i) for i in layers]
    given = [reference[name] if isinstance(reference, Mapping) else reference for name in sets]
    each = {  # every reference once, however many sets have it
        key: _source(model, task, z, value, one)
        for key, one in {id(one): one for one in given}.items()
    }
    own = [list(each).index(id(one)) for one in given]
    readout = Readout(model, task, metrics)
    prepared = ablation.prepare(model, task) if ablation else None
    keys: list[Key] = [("z", layer) for layer in layers]
    keys += [("resid_pre", layer) for layer in groups]
    keys += [(kv, i) for i in range(min(groups, default=last), last + 1) for kv in ("k", "v")]
    by_length = batches_within(model, task, "clean", keys)
    steps = [(rows, first) for rows in by_length for first in groups or [0]]
    found: list[Swept] = []
    batch: _Nodes | None = None
    for rows, first in progress(steps):
        if batch is None or batch.prompts is not rows:
            batch = None  # let go of its activations
            batch = _Nodes(model, task, rows, "clean", keys, readout, prepared)
            new = [values(rows, batch.length) for values in each.values()]
            found.append(batch.begin(list(sets.values()), new, own))
        batch.measure(found[-1], first, groups[first] if groups else [])
    swept = Swept.joined(found, by_length)
    title = f"{value} ablation of sets of nodes"
    result = of_sets(swept, list(sets), title=title, model=model, task=task)
    return result.assign_attrs(value=value)


class _Nodes(BaseRun):
    """Some prompts: their base run, and the sets of nodes that are replaced in it."""

    def begin(
        self,
        sets: Sequence[Sequence[Keep]],
        new: Sequence[Mapping[Key, Tensor]],
        own: Sequence[int],
    ) -> Swept:
        """Work out where each set replaces what by which of the stand-ins; nothing is yet.

        Args:
            sets: of `ablate_nodes`.
            new: the stand-ins from each reference.
            own: index of each set's.
        """
        roles = sorted({role for nodes in sets for _, _, role in nodes})
        self.at = torch.stack(
            [self.pos == self.task.positions[role][:, None] for role in roles or ["END"]], -1
        )  # prompt pos role
        n_heads = self.model.config.n_heads
        self.members: dict[int, Bool[Tensor, "set head role"]] = {
            layer: torch.zeros(
                len(sets), n_heads, len(roles), dtype=torch.bool, device=self.end.device
            )
            for _, layer in new[0]
        }
        for index, nodes in enumerate(sets):
            for layer, head, role in nodes:
                self.members[layer][index, head, roles.index(role)] = True
        self.own = torch.tensor(own, device=self.end.device)
        self.new = {
            layer: torch.stack([one["z", layer].expand_as(self.kept["z", layer]) for one in new])
            for layer in self.members
        }  # reference prompt pos head d_head
        everywhere = self.up_to_end[None]
        return Swept.unchanged(self.values, everywhere, len(sets))

    def measure(self, found: Swept, first: int, indices: Sequence[int]) -> None:
        """Run the sets that begin in a layer."""
        if not indices:
            return
        chosen = torch.tensor(indices, device=self.end.device)
        active = torch.zeros(len(indices), *self.up_to_end.shape, dtype=torch.bool)
        active = active.to(self.end.device)  # set prompt pos
        for layer, members in self.members.items():
            roles = members[chosen].any(1)  # set role
            here = (self.at & roles[:, None, None]).any(-1)
            active |= here & self.at_end if layer == self.n_layers - 1 else here
        cell, place, prompt, start = jobs_of(active[:, None], self.end)
        for chunk in chunks(start, self.end[prompt], ROWS):
            jobs = Jobs(prompt[chunk], start[chunk], self.end[prompt[chunk]], self.length)
            change = {i: partial(self._replace, chosen[cell[chunk]], i) for i in self.members}
            rows = jobs.rows_of("z", first, self.n_layers)
            given = {"z": change[first](rows, rows.of(self.kept["z", first]))}
            edits = {("z", i): change[i] for i in self.members if i > first}
            stream = resume(self.model, self.kept, jobs, first, given, merged(edits, self.edits))
            measured = self.readout(stream, self.prompts[jobs.prompt])
            found.put(chosen[cell[chunk]], place[chunk], jobs.prompt, measured)

    def _replace(
        self, chosen: Int[Tensor, " job"], layer: int, rows: Rows, value: Tensor
    ) -> Tensor:
        """The stand-in at the nodes of each row's set, else the value."""
        here = self.members[layer][chosen[rows.job]] & rows.of(self.at)[:, None]  # row head role
        new = self.new[layer][self.own[chosen[rows.job]], rows.prompt, rows.pos]
        return torch.where(here.any(-1)[..., None], new, value)


def _source(
    model: HookedGPT2, task: Task, keys: Sequence[Key], value: Value, reference: Task | None
) -> StandIn:
    """What stands in for nodes, from a reference whose roles may stand elsewhere."""
    if reference is None or value != "resample" or _same_places(task, reference):
        return stand_ins(model, task, keys, value, reference=reference)
    return _by_role(model, task, keys, reference.right_padded().to(model.device))


def _same_places(task: Task, reference: Task) -> bool:
    """Whether the roles of the reference's corrupted texts stand where those of the task do."""
    there = reference.right_padded().roles("corrupted")
    if len(reference) != len(task) or set(there) != set(task.positions):
        return True  # which `stand_ins` has errors for
    return all(torch.equal(at.cpu(), there[role].cpu()) for role, at in task.positions.items())


def _by_role(model: HookedGPT2, task: Task, keys: Sequence[Key], reference: Task) -> StandIn:
    """What heads say at the roles of the reference's corrupted texts, put at those of the task."""

    def values(rows: slice | Prompts, length: int) -> dict[Key, Tensor]:
        _, there = run_side(model, reference, rows, "corrupted", keys)
        found = {}
        for key, value in there.items():
            prompt = torch.arange(len(value), device=model.device)
            found[key] = value.new_zeros(len(value), length, *value.shape[2:])
            for role, at in task.positions.items():
                said = value[prompt, reference.roles("corrupted")[role][rows]]
                found[key][prompt, at[rows]] = said
        return found

    return values
