"""Grids: a selection applied to one model and task, and the labels of its result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import product
from typing import Any

import torch
import xarray as xr
from jaxtyping import Bool, Float
from torch import Tensor

from interp.metrics import METRICS
from interp.model import HookedGPT2
from interp.results import labeled
from interp.runs.cells import Cells
from interp.runs.places import Places, Position, positions_mask
from interp.runs.selection import Selection
from interp.runs.sites import SITES
from interp.tasks import Task
from interp.tasks.sides import Side

_ORDER = ("layer", "head", "neuron", "position", "role", "source", "source_role")
_ROLES = {"role": "position", "source_role": "source"}  # the same by name
_UNITS = {"heads": "head", "neurons": "neuron"}


@dataclass(frozen=True)
class Grid:
    """A selection applied to one model and task.

    Args:
        dims: the parts swept over, in the order of the result
        coords: the coordinates of each dim
        layers: the layers that are replaced
        cells: what each combination of layer and unit replaces
        places: where each combination of positions and sources replaces it
        roles: the roles at which activations are replaced
        by_role: whether activations are replaced only at single roles
        chosen: which cells to measure at which places; None for all
    """

    dims: tuple[str, ...]
    coords: dict[str, list[Position]]
    layers: list[int]
    cells: Cells
    places: Places
    roles: tuple[str, ...]
    by_role: bool
    chosen: Bool[Tensor, "cell place"] | None

    @property
    def in_order(self) -> list[str]:
        """The dims in the order of cells and then places."""
        return [dim for dim in _ORDER if dim in self.dims]

    def dataset(
        self,
        values: Mapping[str, Float[Tensor, "cell place prompt"]],
        *,
        title: str,
        model: HookedGPT2,
        task: Task,
        question: Mapping[str, Any],
    ) -> xr.Dataset:
        """Label the values of a sweep.

        Args:
            values: metric -> its value with each replacement
            title: what was measured, in words
            model: the model
            task: the prompts
            question: fields of the question that the result answers; see `interp.results.labeled`

        Returns:
            For each metric, an array with the grid's dims and prompt.
        """
        own = self.in_order
        shape = [len(self.coords[dim]) for dim in own]
        return xr.Dataset(
            {
                name: labeled(
                    value.reshape(*shape, value.shape[-1]),
                    (*own, "prompt"),
                    name=name,
                    title=title,
                    unit=METRICS.get(name, ""),
                    model=model,
                    task=task,
                    coords=self.coords,
                    question={**question, "metric": name},
                ).transpose(*self.dims, "prompt")
                for name, value in values.items()
            }
        )


def grid(
    model: HookedGPT2,
    task: Task,
    site: str,
    selection: Selection,
    side: Side = "clean",
    *,
    default: Sequence[str] | None = None,
) -> Grid:
    """Check, before any work, what to sweep over.

    Args:
        model: the model
        task: the prompts, padded on the right
        site: an activation, or "embed"
        selection: the parts
        side: which text of each pair is changed
        default: the parts to sweep over if the selection does not say; None for the site's own

    Returns:
        The grid.

    Raises:
        ValueError: a site, part, layer, head, neuron, role or position does not exist
    """
    if not isinstance(selection, Selection):
        raise TypeError(
            f"expected a Selection, such as Selection(layers=[3], positions=['END']); got "
            f"{selection!r}"
        )
    parts, unit = _parts_of(site)
    usual = default if default is not None else ("layer", unit) if unit else parts
    dims = tuple(usual if selection.over is None else selection.over)
    unknown = [dim for dim in dims if _ROLES.get(dim, dim) not in parts]
    if unknown or len({_ROLES.get(dim, dim) for dim in dims}) < len(dims):
        by_name = [f"{part} or {role}" for role, part in _ROLES.items() if part in parts]
        raise ValueError(
            f"{site} can be swept over {', '.join([*parts, *by_name])}, each once; got {list(dims)}"
        )
    for name, one in _UNITS.items():
        if getattr(selection, name) is not None and one != unit:
            raise ValueError(f"{site} has no {name} to choose; it has {', '.join(parts)}")
    if selection.sources is not None and "source" not in parts:
        raise ValueError(f"only pattern has sources; {site} has {', '.join(parts)}")
    if site == "embed" and selection.layers is not None:
        raise ValueError("embed is in no layer; leave layers out")
    c = model.config
    layers = [0] if site == "embed" else _chosen("layer", selection.layers, c.n_layers)
    width = {"head": c.n_heads, "neuron": c.d_mlp, "": 1}[unit]
    asked = selection.heads if unit == "head" else selection.neurons
    units = _chosen(unit, asked, width) if unit else [0]

    coords: dict[str, list[Position]] = {"layer": list(layers)}
    if unit:
        coords[unit] = list(units)
    where = _sets("position", dims, task, selection.positions, coords, side)
    of_source: list[Sequence[Position] | None] = [None]
    if "source" in parts:
        of_source = _sets("source", dims, task, selection.sources, coords, side)
    by_layer = [[layer] for layer in layers] if "layer" in dims else [layers]
    by_unit = [[one] for one in units] if unit in dims else [units]
    entered = "resid_pre" if site == "embed" else site
    cells = Cells.of(
        {(entered, layer): width for layer in layers},
        [
            {(entered, layer): {0: some} for layer in together}
            for together, some in product(by_layer, by_unit)
        ],
        n_slots=1,
        device=model.device,
    )
    both = list(product(where, of_source))
    left_out = positions_mask(task, selection.except_positions or [], side)
    at = [positions_mask(task, one, side) & ~left_out for one, _ in both]
    sources = None
    if "source" in parts:
        masks = [positions_mask(task, one, side) for _, one in both]
        sources = torch.stack(masks)  # place prompt source
    named = [one for some in where for one in some or ()]
    found = Grid(
        dims,
        {dim: coords[dim] for dim in dims},
        layers,
        cells,
        Places(torch.stack(at)[:, None], sources),  # place slot prompt pos
        tuple(dict.fromkeys(str(one) for one in named)),
        all(some is not None and all(isinstance(one, str) for one in some) for some in where),
        None,
    )
    return found if selection.only is None else _restricted(found, selection.only)


def _parts_of(site: str) -> tuple[tuple[str, ...], str]:
    """The parts that a site can be swept over, and its unit."""
    if site == "embed":
        return ("position",), ""
    if not isinstance(site, str) or site not in SITES:
        known = ", ".join(["embed", *SITES])
        raise ValueError(f"unknown site {site!r}; expected one of {known}")
    dims = SITES[site].dims
    return ((*dims, "source") if site == "pattern" else dims), SITES[site].unit


def _restricted(grid: Grid, only: xr.DataArray) -> Grid:
    """Restrict the grid to the cells to measure."""
    wrong = set(map(str, only.dims)) ^ set(grid.dims)
    sizes = {dim: len(grid.coords[dim]) for dim in grid.dims}
    if wrong or any(only.sizes[dim] != n for dim, n in sizes.items()):
        raise ValueError(
            f"only must have the dims and sizes of the sweep, {sizes}; it has {dict(only.sizes)}"
        )
    flat = only.transpose(*grid.in_order).values.reshape(grid.cells.n, -1)  # cell place
    chosen = torch.from_numpy(flat.copy()).to(grid.places.where.device)
    return Grid(**{**{f.name: getattr(grid, f.name) for f in fields(grid)}, "chosen": chosen})


def _chosen(name: str, chosen: Sequence[int] | None, width: int) -> list[int]:
    """The layers or units to replace, by default all."""
    if chosen is None:
        return list(range(width))
    wrong = [i for i in chosen if not 0 <= i < width]
    if wrong:
        raise ValueError(f"no {name} {wrong[0]}; the model has {width}, counted from 0")
    return [int(i) for i in chosen]


def _sets(
    part: str,
    dims: Sequence[str],
    task: Task,
    chosen: Sequence[Position] | None,
    coords: dict[str, list[Position]],
    side: Side,
) -> list[Sequence[Position] | None]:
    """The positions that are replaced together at each place; adds their labels to `coords`."""
    (role,) = [name for name, of in _ROLES.items() if of == part]
    if part not in dims and role not in dims:
        return [chosen]
    by_name = role in dims
    every = list(task.positions) if by_name else range(int(task.mask(side).sum(-1).max()))
    coords[role if by_name else part] = values = list(every if chosen is None else chosen)
    if any(isinstance(value, str) != by_name for value in values):
        kind, other = ("roles", part) if by_name else ("indices", role)
        raise ValueError(
            f"sweeping over {role if by_name else part!r} takes {kind}, got {values}; sweep over "
            f"{other!r} for the others"
        )
    return [[value] for value in values]
