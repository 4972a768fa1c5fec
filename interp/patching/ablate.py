"""Ablation: what the model loses without a head, an MLP, a neuron, or a set of them.

`ablate` sweeps over single parts, as `patch` does, or ablates whole sets: the heads of a class,
every pair of some heads (`pairs`), or nodes, each at its own role. `interp.runs.stand_ins` lists
the values that can stand in. With `ablation=`, parts are ablated in a model in which something is
knocked out already: parts that matter only then are backups, and under an ablation that leaves only
a circuit, nodes are knocked out of the circuit:

    F(M without K)   ablate(model, task, {"K": K}, value="group mean")
    F(C without K)   the same with ablation=Ablation("heads", value="group mean", keep=C)

Source: Wang et al. 2022 (arXiv 2211.00593), sections 2.2, 3.4 (backup name movers) and 4.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import torch
import xarray as xr

from interp.metrics import METRICS, Metrics
from interp.model import HookedGPT2
from interp.parts import EVERYWHERE, Head, Node, NodeLike, as_heads, require_in_model, unit_of
from interp.results import labeled
from interp.runs.ablation import (
    Ablation,
    as_ablated,
    prepared,
)
from interp.runs.cells import Cells
from interp.runs.grid import grid
from interp.runs.overlap import also_ablated
from interp.runs.pair import Setting
from interp.runs.places import Places, Position, positions_mask
from interp.runs.question import question
from interp.runs.readout import Readout
from interp.runs.selection import Selection
from interp.runs.sides import Progress, ready_task
from interp.runs.sites import Key, n_units, site_of
from interp.runs.stand_ins import Reference, Value, reference_task, require_value, stand_ins
from interp.runs.sweep import Swept, sweep, with_runs
from interp.tasks import Task

Sets = Mapping[str, Sequence[NodeLike]]
"""Name -> the parts that are ablated together."""

_EVERYWHERE = ""  # the slot of parts without a role


@torch.inference_mode()
def ablate(
    model: HookedGPT2,
    task: Task,
    what: str | Sets = "z",
    selection: Selection = Selection(),
    *,
    value: Value = "mean",
    reference: Reference | Mapping[str, Task] = None,
    metrics: Metrics | None = None,
    ablation: Ablation | None = None,
    progress: Progress = iter,
) -> xr.Dataset:
    """Ablate parts in the clean run: the parts of an activation, one by one, or sets of parts.

    Args:
        model: the model
        task: the prompts; their clean texts are run
        what: an activation ("z" for heads, "mlp_out", "mlp_post" for neurons, or any other site of
            `patch` except patterns), swept over the selection; or a mapping from names to sets of
            heads, MLPs and neurons. Parts with a role ("9.9@END") are ablated there, parts without
            one at the positions of the selection. An empty set changes nothing.
        selection: the parts to sweep over; for sets, only the positions
        value: what stands in: "zero", "mean", "group mean" or "resample"
        reference: prompts whose corrupted texts are used for means and resampling, or a mapping
            from the name of each set to its prompts; by default as in
            `Ablation`. If their roles
            stand elsewhere, activations are matched by role.
        metrics: as in `patch`
        ablation: what is knocked out already. Where both replace the same activation at the same
            place, what is asked for here takes precedence.
        progress: wraps the steps, for a progress bar

    Returns:
        For each metric, its value in the ablated run, with the dims of the sweep (or set) and
        prompt, and `<metric>_clean`, dims prompt, its value without ablating the parts. `effect`
        turns them into effects.

    Raises:
        ValueError: as for `patch`, or there are no sets, or a reference does not fit
        TypeError: an argument is of another type

    Example:
        >>> import interp
        >>> model = interp.load("mini")
        >>> task = interp.tasks.ioi(model.tokenizer, n=4, seed=0)
        >>> ablate(model, task, {"both": ["4.0", "4.1@END"]}).logit_diff.dims
        ('set', 'prompt')
    """
    require_value(value)
    if not isinstance(what, str | Mapping):
        raise TypeError(
            "ablate takes a site, such as 'z', or sets by name, such as {'movers': ['9.9', "
            f"'9.6']}}; got {what!r}"
        )
    task = ready_task(model, task, "ablate")
    readout = Readout(model, task, metrics)
    here = prepared(ablation, model, task)
    setting = Setting(model, task, "clean", readout, here)
    options: dict[str, Any] = {"value": value}
    if isinstance(what, Mapping):
        sets = _nodes(what)
        cells, places = _cells_of(model, task, sets, selection, reference)
        references = _references(sets, reference)
        roles = _roles_of(sets, selection, reference)
        options["sets"] = {name: " ".join(map(str, nodes)) for name, nodes in sets.items()}
    else:
        if what == "pattern":
            raise ValueError(
                "ablate works on activations with positions; patch the pattern instead"
            )
        if isinstance(reference, Mapping):
            raise ValueError("references by name are for sets; give one task")
        parts = grid(model, task, what, selection)
        cells, places, references = parts.cells, parts.places, _references({}, reference)
        roles = [list(parts.roles) if parts.by_role else None]
    keys = list(cells.members)
    sources = [
        stand_ins(model, task, keys, value, reference=one, roles=at)
        for one, at in zip(references, roles, strict=True)
    ]
    chosen = None if isinstance(what, Mapping) else parts.chosen
    swept = sweep(setting, cells, places, sources, chosen=chosen, progress=progress)
    others = [reference_task(task, value, one) for one in references]
    own = [one.fingerprint for one in others if one is not None]
    asked = question(
        "ablate", site="" if isinstance(what, Mapping) else what, selection=selection,
        task=task, ablation=ablation, reference=" ".join(own), **options,
    )  # fmt: skip
    if isinstance(what, Mapping):
        title = f"{value.capitalize()} ablation of sets"
        result = _of_sets(swept, list(what), title, model, task, asked)
    else:
        title = f"{value.capitalize()} ablation of {what}"
        result = parts.dataset(swept.values, title=title, model=model, task=task, question=asked)
        result = result.assign_attrs(site=what)
    both = also_ablated(here, cells, places)
    return with_runs(result, swept, "clean").assign_attrs(
        value=value, **({"also_ablated": both} if both else {})
    )


def pairs(heads: Sequence[Any]) -> dict[str, list[Head]]:
    """Form all pairs of some heads, as sets for `ablate`.

    Args:
        heads: the heads, such as "9.6" or (9, 6)

    Returns:
        Name of each pair, such as "9.6 9.9" -> the two heads.

    Raises:
        ValueError: a head is given twice

    Example:
        >>> list(pairs(["9.9", "9.6", (10, 0)]))
        ['9.9 9.6', '9.9 10.0', '9.6 10.0']
    """
    return {f"{a} {b}": [a, b] for a, b in combinations(as_heads(heads), 2)}


def _nodes(sets: Sets) -> dict[str, tuple[Node, ...]]:
    if not sets:
        raise ValueError(
            "no sets were given; expected a name with its parts for each, such as "
            "{'movers': ['9.9', '9.6']}"
        )
    return {str(name): as_ablated(parts) for name, parts in sets.items()}


def _references(
    sets: Mapping[str, Sequence[Node]], reference: Reference | Mapping[str, Task]
) -> list[Reference]:
    """Each reference once, however many sets use it."""
    if not isinstance(reference, Mapping):
        return [reference]
    lost = [name for name in sets if name not in reference]
    if lost:
        raise ValueError(f"there is no reference for the sets {lost}; give one for each, or a task")
    return list({id(reference[name]): reference[name] for name in sets}.values())


def _cells_of(
    model: HookedGPT2,
    task: Task,
    sets: Mapping[str, Sequence[Node]],
    selection: Selection,
    reference: Reference | Mapping[str, Task],
) -> tuple[Cells, Places]:
    """The sets as cells, and their single place, with a slot for each role."""
    given = {n: v for n, v in vars(selection).items() if n not in ("positions", "except_positions")}
    if any(value is not None for value in given.values()):
        raise ValueError("a selection for sets has positions only; the sets name their parts")
    every = [node for nodes in sets.values() for node in nodes]
    require_in_model(model, [node.part for node in every])
    slots = sorted({node.role or _EVERYWHERE for node in every}) or [_EVERYWHERE]
    left_out = positions_mask(task, selection.except_positions or [])
    at = [
        positions_mask(task, [slot] if slot else selection.positions) & ~left_out for slot in slots
    ]
    widths: dict[Key, int] = {site_of(node): n_units(model, site_of(node)[0]) for node in every}
    cells = []
    for nodes in sets.values():
        cell: dict[Key, dict[int, list[int]]] = {}
        for node in nodes:
            slot = slots.index(node.role or _EVERYWHERE)
            cell.setdefault(site_of(node), {}).setdefault(slot, []).append(unit_of(node.part))
        cells.append(cell)
    source = None
    if isinstance(reference, Mapping):
        tasks = [id(one) for one in _references(sets, reference)]
        source = [tasks.index(id(reference[name])) for name in sets]
    found = Cells.of(widths, cells, n_slots=len(slots), device=model.device, source=source)
    return found, Places(torch.stack(at)[None])  # place slot prompt pos


def _roles_of(
    sets: Mapping[str, Sequence[Node]],
    selection: Selection,
    reference: Reference | Mapping[str, Task],
) -> list[list[str] | None]:
    """The roles at which each reference stands in; None if it also stands in elsewhere."""
    given: Sequence[Position | None] = selection.positions or [None]
    found: list[list[str] | None] = []
    for one in _references(sets, reference):
        nodes = [
            node
            for name, some in sets.items()
            if not isinstance(reference, Mapping) or reference[name] is one
            for node in some
        ]
        at = [where for n in nodes for where in ([n.role] if n.role else given)]
        named = [where for where in at if isinstance(where, str) and where != EVERYWHERE]
        found.append(list(dict.fromkeys(named)) if len(named) == len(at) else None)
    return found


def _of_sets(
    swept: Swept,
    names: Sequence[str],
    title: str,
    model: HookedGPT2,
    task: Task,
    asked: Mapping[str, Any],
) -> xr.Dataset:
    """The result of ablating sets."""
    return xr.Dataset(
        {
            name: labeled(
                values[:, 0],
                ("set", "prompt"),
                name=name,
                title=title,
                unit=METRICS.get(name, ""),
                model=model,
                task=task,
                coords={"set": list(names)},
                question={**asked, "metric": name},
            )
            for name, values in swept.values.items()
        }
    )
