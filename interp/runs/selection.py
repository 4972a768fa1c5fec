"""Selections: the parts of the model that a technique sweeps over.

A part that is swept over is a dimension of the result; the others are taken together.
`interp.runs.grid` applies a selection to a model and a task.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from numbers import Integral

import xarray as xr

from interp.parts import require_once
from interp.runs.places import Position, require_positions


@dataclass(frozen=True)
class Selection:
    """The parts of an activation that a technique sweeps over.

    Args:
        over: the parts to sweep over, in the order of the result: "layer", "head", "neuron",
            "position" or "role", "source" or "source_role". By default layer, head and neuron; and
            position for activations with neither heads nor neurons.
        layers: the layers; by default all
        heads: the heads, in every layer; by default all
        neurons: the neurons, in every layer; by default all
        positions: roles, or indices from 0 into each prompt's own tokens; by default all
        sources: for "pattern", roles or indices of the tokens attended to; by default all
        except_positions: roles or indices to leave out, whatever `positions` says
        only: True for the cells to measure, with the dims of `over`; the other cells are NaN. By
            default all cells are measured.

    Raises:
        ValueError: a list is empty or has an item twice
        TypeError: a value is of another type

    Example:
        >>> Selection(over=["layer", "role"], positions=["S2", "END"]).layers is None
        True
    """

    over: Sequence[str] | None = None
    layers: Sequence[int] | None = None
    heads: Sequence[int] | None = None
    neurons: Sequence[int] | None = None
    positions: Sequence[Position] | None = None
    sources: Sequence[Position] | None = None
    except_positions: Sequence[Position] = ()
    only: xr.DataArray | None = None

    def __post_init__(self) -> None:
        if self.over is not None:
            if isinstance(self.over, str) or not isinstance(self.over, Sequence):
                raise TypeError(f"over is a list of parts, such as ['layer']; got {self.over!r}")
            require_once(self.over, "part of over")
        for name in ("layers", "heads", "neurons"):
            require_indices(name, getattr(self, name))
        require_positions(self.positions)
        require_positions(self.sources, "sources")
        require_positions(self.except_positions or None, "except_positions")
        if self.only is not None and (
            not isinstance(self.only, xr.DataArray) or self.only.dtype != bool
        ):
            raise TypeError("only is a boolean xarray.DataArray over the parts that are swept")

    def describe(self) -> str:
        """The selection in one line, for the attrs of results."""
        found = []
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name == "only":
                found += [] if value is None else [_cells_in_words(value)]
            elif value is not None and (len(value) or one.name == "over"):
                found.append(f"{one.name}={' '.join(map(str, value))}")
        return "; ".join(found)


def _cells_in_words(only: xr.DataArray) -> str:
    """The number of cells to measure, and a digest that identifies them."""
    cells = only.transpose(*sorted(map(str, only.dims)))
    digest = hashlib.sha256(f"{cells.dims} {cells.shape}".encode() + cells.values.tobytes())
    return f"only {int(only.sum())} cells ({digest.hexdigest()[:8]})"


def require_indices(name: str, chosen: Sequence[int] | None) -> None:
    """Refuse anything but a list of layers, heads or neurons.

    Args:
        name: what an error calls them
        chosen: the list; None for all

    Raises:
        TypeError: it is not a list of integers
        ValueError: a list is empty or has an item twice
    """
    if chosen is None:
        return
    if isinstance(chosen, str) or not isinstance(chosen, Sequence):
        raise TypeError(f"{name} are a list of whole numbers, such as [0, 3]; got {chosen!r}")
    if not len(chosen):
        raise ValueError(f"{name} are an empty list; leave them out (None) for all")
    for one in chosen:
        if isinstance(one, bool) or not isinstance(one, Integral):
            hint = ""
            if isinstance(one, tuple | str) and name in ("heads", "neurons"):
                hint = (
                    "; a selection takes the same ones in every layer: for single heads give "
                    "`ablate` or `path_patch` sets and receivers of them, such as ['9.6']"
                )
            raise TypeError(f"{name} are whole numbers; got {one!r} among them{hint}")
    require_once(chosen, name.removesuffix("s"))
