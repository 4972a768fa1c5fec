"""Knock-out: what the model loses without a head, an MLP, a neuron, or a set of them.

`ablate` sweeps over single parts, as `patch` does; `ablate_sets` takes out whole sets, for instance
all heads of a class, or every pair of some heads (`pairs`). What stands in for the part is one of
the values of `interp.runs.ablation`. With `ablation=` the sweep is done in a model in which
something is knocked out already: parts that only then matter are backups.

Source: Wang et al. 2022 (arXiv 2211.00593), sections 2.2 and 3.4 (backup name movers).
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import torch
import xarray as xr
from jaxtyping import Bool
from torch import Tensor

from interp.model import HookedGPT2
from interp.results import labelled
from interp.runs.ablation import Ablation, Value, stand_ins
from interp.runs.readout import METRICS, Metrics, Readout
from interp.runs.selection import Grid, Position, grid
from interp.runs.sides import Progress, positions_mask
from interp.runs.sweep import Places, Swept, sweep
from interp.tasks import Task

Part = tuple[int, int]
"""Layer and head, or layer and neuron."""


@torch.inference_mode()
def ablate(
    model: HookedGPT2,
    task: Task,
    site: str = "z",
    *,
    value: Value = "mean",
    over: Sequence[str] | None = None,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    neurons: Sequence[int] | None = None,
    positions: Sequence[Position] | None = None,
    keep_positions: Sequence[Position] = (),
    reference: Task | None = None,
    metrics: Metrics = "logit_diff",
    ablation: Ablation | None = None,
    progress: Progress = iter,
) -> xr.Dataset:
    """Ablate an activation in the clean run, swept over its parts.

    Args:
        model: the model.
        task: the prompts, by their clean texts.
        site: which activation: "z" for heads, "mlp_out", "mlp_post" for neurons, or any other of
            `patch` but the patterns.
        value: what stands in for it: "zero", "mean", "group mean" or "resample".
        over: as in `patch`.
        layers: as in `patch`.
        heads: as in `patch`.
        neurons: as in `patch`.
        positions: roles or indices at which it is ablated; by default all.
        keep_positions: roles or indices at which it is not, whatever `positions` says.
        reference: prompts, by their corrupted texts, for means and resampling; by default the
            task's own.
        metrics: as in `patch`.
        ablation: what is knocked out already.
        progress: wraps the steps, for a progress bar.

    Returns:
        For each metric its value in the ablated run, dims those of `over` and prompt, and
        `<metric>_clean`, dims prompt, without the ablation. `effect` makes effects of them.

    Raises:
        ValueError: as for `patch`, or for a reference that does not fit the task.
    """
    if site == "pattern":
        raise ValueError("ablate works on activations with positions; patch the pattern instead")
    task = task.right_padded().to(model.device)
    parts = grid(
        model, task, site, over=over, layers=layers, heads=heads, neurons=neurons,
        positions=positions,
    )  # fmt: skip
    keys = [(site, layer) for layer in sorted({i for cell in parts.cells for i in cell})]
    swept = sweep(
        model,
        task,
        site,
        parts.cells,
        _places(parts.places("clean"), task, keep_positions),
        stand_ins(model, task, keys, value, reference=reference),
        Readout(model, task, metrics),
        side="clean",
        ablation=ablation,
        progress=progress,
    )
    result = parts.dataset(swept, title=f"{value} ablation of {site}", model=model, task=task)
    return _with_base(result, swept).assign_attrs(site=site, value=value)


@torch.inference_mode()
def ablate_sets(
    model: HookedGPT2,
    task: Task,
    sets: Mapping[str, Sequence[Part]],
    site: str = "z",
    *,
    value: Value = "mean",
    positions: Sequence[Position] | None = None,
    keep_positions: Sequence[Position] = (),
    reference: Task | None = None,
    metrics: Metrics = "logit_diff",
    ablation: Ablation | None = None,
    progress: Progress = iter,
) -> xr.Dataset:
    """Ablate each of several sets of heads or neurons, all of a set at once.

    Args:
        model: the model.
        task: the prompts, by their clean texts.
        sets: name -> (layer, head) or (layer, neuron) pairs; an empty one changes nothing.
        site: "z" for heads, "mlp_post" for neurons.
        value: as in `ablate`.
        positions: as in `ablate`.
        keep_positions: as in `ablate`.
        reference: as in `ablate`.
        metrics: as in `patch`.
        ablation: what is knocked out already.
        progress: wraps the steps, for a progress bar.

    Returns:
        As `ablate`, with the one dim `set` and prompt.

    Raises:
        ValueError: as for `ablate`, or for no sets.
    """
    if site not in ("z", "mlp_post"):
        raise ValueError(f"sets are of heads ('z') or neurons ('mlp_post'), got {site!r}")
    if not sets:
        raise ValueError("no sets were given; expected a name and its (layer, head) pairs for each")
    task = task.right_padded().to(model.device)
    every = [part for parts in sets.values() for part in parts]
    known = Ablation(heads=every) if site == "z" else Ablation(neurons=every)
    known.check(model, task)
    cells: list[dict[int, list[int]]] = []
    for parts in sets.values():
        cell: dict[int, list[int]] = {}
        for layer, unit in parts:
            cell.setdefault(layer, []).append(unit)
        cells.append(cell or {0: []})
    keys = [(site, layer) for layer in sorted({i for cell in cells for i in cell})]
    everywhere = Grid((), {}, [], [positions], None).places("clean")
    swept = sweep(
        model,
        task,
        site,
        cells,
        _places(everywhere, task, keep_positions),
        stand_ins(model, task, keys, value, reference=reference),
        Readout(model, task, metrics),
        side="clean",
        ablation=ablation,
        progress=progress,
    )
    title = f"{value} ablation of sets of {site}"
    result = of_sets(swept, list(sets), title=title, model=model, task=task)
    return result.assign_attrs(site=site, value=value)


def of_sets(
    swept: Swept, names: Sequence[str], *, title: str, model: HookedGPT2, task: Task
) -> xr.Dataset:
    """What was measured with each of several sets gone, and with none.

    Args:
        swept: one cell a set, at one place.
        names: of the sets.
        title: of the result.
        model: the model.
        task: the prompts.

    Returns:
        Each metric, dims set, prompt, and `<metric>_clean`, dims prompt.
    """
    result = xr.Dataset(
        {
            name: labelled(
                values[:, 0],
                ("set", "prompt"),
                name=name,
                title=title,
                unit=METRICS.get(name, ""),
                model=model,
                task=task,
                coords={"set": list(names)},
            )
            for name, values in swept.values.items()
        }
    )
    return _with_base(result, swept)


def pairs(parts: Sequence[Part]) -> dict[str, list[Part]]:
    """Every two of some heads, as sets for `ablate_sets`.

    Args:
        parts: (layer, head) pairs.

    Returns:
        "9.6 9.9" -> the two.

    Example:
        >>> list(pairs([(9, 9), (9, 6), (10, 0)]))
        ['9.9 9.6', '9.9 10.0', '9.6 10.0']
    """
    return {
        f"{a[0]}.{a[1]} {b[0]}.{b[1]}": [a, b] for a, b in combinations(dict.fromkeys(parts), 2)
    }


def _places(places: Places, task: Task, keep: Sequence[Position]) -> Places:
    """The same places without the positions that are kept."""
    positions_mask(task, keep)  # for its errors

    def masks(some: Task) -> tuple[Bool[Tensor, "place prompt pos"], None]:
        return places(some)[0] & ~positions_mask(some, keep), None

    return masks if keep else places


def _with_base(result: xr.Dataset, swept: Swept) -> xr.Dataset:
    for name, values in swept.base.items():
        result[f"{name}_clean"] = ("prompt", values.float().numpy())
    return result
