"""Which parts of the model a sweep goes over: layers, heads or neurons, positions, sources.

A part that is swept over is a dimension of the result; the others are taken together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
import xarray as xr
from jaxtyping import Bool
from torch import Tensor

from interp.model import HookedGPT2
from interp.results import labelled
from interp.runs.forward import UNITS
from interp.runs.readout import METRICS
from interp.runs.sides import positions_mask
from interp.runs.sweep import Cell, Places, Swept
from interp.tasks import Side, Task

Position = str | int

STREAMS = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")

_PARTS: dict[str, tuple[str, ...]] = {
    "embed": ("position",),
    **dict.fromkeys(STREAMS, ("layer", "position")),
    **{site: ("layer", unit, "position") for site, unit in UNITS.items()},
    "pattern": ("layer", "head", "position", "source"),
}
_ORDER = ("layer", "head", "neuron", "position", "role", "source", "source_role")
_ROLES = {"role": "position", "source_role": "source"}  # the same by name


@dataclass(frozen=True)
class Grid:
    """A sweep's parts.

    Args:
        dims: the parts swept over, in the order of the result.
        coords: the values of each.
        cells: what is replaced, for each combination of layer and unit swept over.
        where: positions, for each that is swept over: roles or indices, None for all.
        sources: for patterns the same of the tokens attended to.
    """

    dims: tuple[str, ...]
    coords: dict[str, list[Position]]
    cells: list[Cell]
    where: list[Sequence[Position] | None]
    sources: list[Sequence[Position] | None] | None

    @property
    def in_order(self) -> list[str]:
        """The dims as cells, and then places, run through them."""
        return [dim for dim in _ORDER if dim in self.dims]

    def places(self, side: Side) -> Places:
        """Masks of the positions in some prompts, for `sweep`."""
        every = list(product(self.where, self.sources or [None]))

        def masks(
            task: Task,
        ) -> tuple[Bool[Tensor, "place prompt pos"], Bool[Tensor, "place prompt pos"] | None]:
            where = torch.stack([positions_mask(task, at, side) for at, _ in every])
            if self.sources is None:
                return where, None
            return where, torch.stack([positions_mask(task, at, side) for _, at in every])

        return masks

    def dataset(self, swept: Swept, *, title: str, model: HookedGPT2, task: Task) -> xr.Dataset:
        """The values of a sweep with their labels.

        Args:
            swept: of `sweep`, on this grid.
            title: what was measured.
            model: the model.
            task: the prompts.

        Returns:
            For each metric, an array with the grid's dims and prompt.
        """
        own = self.in_order
        shape = [len(self.coords[dim]) for dim in own]
        return xr.Dataset(
            {
                name: labelled(
                    values.reshape(*shape, values.shape[-1]),
                    (*own, "prompt"),
                    name=name,
                    title=title,
                    unit=METRICS.get(name, ""),
                    model=model,
                    task=task,
                    coords=self.coords,
                ).transpose(*self.dims, "prompt")
                for name, values in swept.values.items()
            }
        )


def grid(
    model: HookedGPT2,
    task: Task,
    site: str,
    *,
    over: Sequence[str] | None = None,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    neurons: Sequence[int] | None = None,
    positions: Sequence[Position] | None = None,
    sources: Sequence[Position] | None = None,
) -> Grid:
    """Check what a sweep is asked to go over, before any work.

    Args:
        model: the model.
        task: the prompts, of `Task.right_padded`.
        site: an activation.
        over: the parts to sweep over; None for the site's usual ones.
        layers: which layers; None for all.
        heads: which heads of each; None for all.
        neurons: which neurons of each; None for all.
        positions: which roles or indices; None for all.
        sources: which roles or indices attended to; None for all.

    Returns:
        The grid.

    Raises:
        ValueError: for a site, part, layer, head, neuron, role or position that there is not.
    """
    if site not in _PARTS:
        raise ValueError(f"unknown site {site!r}; expected one of {', '.join(_PARTS)}")
    parts = _PARTS[site]
    unit = UNITS.get(site)
    if over is None:
        over = ("layer", unit) if unit else parts
    dims = tuple(over)
    unknown = [dim for dim in dims if _ROLES.get(dim, dim) not in parts]
    if unknown or len({_ROLES.get(dim, dim) for dim in dims}) < len(dims):
        named = [f"{part} or {role}" for role, part in _ROLES.items() if part in parts]
        raise ValueError(
            f"{site} can be swept over {', '.join([*parts, *named])}, each once; got {list(dims)}"
        )
    c = model.config
    widths = {"head": c.n_heads, "neuron": c.d_mlp}
    given = {"head": heads, "neuron": neurons}
    for name, chosen in given.items():
        if chosen is not None and name != unit:
            raise ValueError(f"{site} has no {name}s to choose; it has {', '.join(parts)}")
    if sources is not None and "source" not in parts:
        raise ValueError(f"only pattern has sources; {site} has {', '.join(parts)}")
    chosen_layers = [0] if site == "embed" else _chosen("layer", layers, c.n_layers)
    units = _chosen(unit, given[unit], widths[unit]) if unit else [0]

    coords: dict[str, list[Position]] = {"layer": list(chosen_layers)}
    if unit:
        coords[unit] = list(units)
    where = _specs("position", dims, task, positions, coords)
    of_source = _specs("source", dims, task, sources, coords) if "source" in parts else None
    by_layer = [[layer] for layer in chosen_layers] if "layer" in dims else [chosen_layers]
    by_unit = [[one] for one in units] if unit in dims else [units]
    cells: list[Cell] = [
        {layer: some if unit else None for layer in together}
        for together, some in product(by_layer, by_unit)
    ]
    return Grid(dims, {dim: coords[dim] for dim in dims}, cells, where, of_source)


def _chosen(name: str, chosen: Sequence[int] | None, width: int) -> list[int]:
    """The layers or units to replace, by default all."""
    wrong = [i for i in chosen or () if not 0 <= i < width]
    if wrong or (chosen is not None and not len(chosen)):
        came = f"no {name} {wrong[0]}" if wrong else f"no {name}s were chosen"
        raise ValueError(f"{came}; the model has {width}, from 0")
    return list(range(width)) if chosen is None else list(chosen)


def _specs(
    part: str,
    dims: Sequence[str],
    task: Task,
    chosen: Sequence[Position] | None,
    coords: dict[str, list[Position]],
) -> list[Sequence[Position] | None]:
    """The positions that are replaced together, for each place; labels them in `coords`."""
    (role,) = [name for name, of in _ROLES.items() if of == part]
    positions_mask(task, chosen)  # for its errors
    if part not in dims and role not in dims:
        return [chosen]
    by_name = role in dims
    every = list(task.positions) if by_name else range(int(task.lengths.max()))
    coords[role if by_name else part] = values = list(every if chosen is None else chosen)
    if any(isinstance(value, str) != by_name for value in values):
        kind, other = ("roles", part) if by_name else ("indices", role)
        raise ValueError(
            f"sweeping over {role if by_name else part!r} takes {kind}, got {values}; sweep over "
            f"{other!r} for the others"
        )
    return [[value] for value in values]
