"""Cells: the units that are replaced together in one run.

A cell states, for each activation that it replaces, which units (heads or neurons) it replaces at
which slots of a place (see `interp.runs.places`). Cells of a sweep have one slot, the place itself;
sets of nodes have a slot for each role.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from interp.runs.sites import Key, in_computed_order


@dataclass(frozen=True)
class Cells:
    """The cells of one sweep.

    Args:
        members: for each activation, which units each cell replaces at which slots; sites without
            units have one unit
        source: index of the run or the stand-ins from which each cell takes its values
        n: number of cells
    """

    members: dict[Key, Bool[Tensor, "cell unit slot"]]
    source: Int[Tensor, " cell"]
    n: int

    @staticmethod
    def of(
        widths: Mapping[Key, int],
        cells: Sequence[Mapping[Key, Mapping[int, Iterable[int]]]],
        *,
        n_slots: int,
        device: torch.device,
        source: Sequence[int] | None = None,
    ) -> "Cells":
        """Build cells from lists of units.

        Args:
            widths: number of units of each activation that any cell replaces
            cells: for each cell, activation -> slot -> units
            n_slots: number of slots of every place
            device: device for the masks
            source: index of the source of each cell's values; by default 0

        Returns:
            The cells.
        """
        members = {
            key: torch.zeros(len(cells), width, n_slots, dtype=torch.bool)
            for key, width in widths.items()
        }
        for index, cell in enumerate(cells):
            for key, slots in cell.items():
                for slot, units in slots.items():
                    members[key][index, list(units), slot] = True
        sources = torch.tensor([0] * len(cells) if source is None else list(source))
        found = {key: mask.to(device) for key, mask in members.items()}
        return Cells(found, sources.long().to(device), len(cells))

    def by_entry(self) -> dict[Key, list[int]]:
        """The first activation that cells replace -> those cells; empty cells are left out."""
        if not self.members:
            return {}
        groups: dict[Key, list[int]] = defaultdict(list)
        keys = sorted(self.members, key=in_computed_order)
        touched = torch.stack([self.members[key].flatten(1).any(1) for key in keys], 1)  # cell key
        for index, row in enumerate(touched.cpu()):
            if bool(row.any()):
                groups[keys[int(row.int().argmax())]].append(index)
        return dict(sorted(groups.items(), key=lambda one: in_computed_order(one[0])))

    def keys_of(self, cells: Sequence[int]) -> list[Key]:
        """The activations that some cells replace, in the order of computation."""
        keys = [key for key, mask in self.members.items() if bool(mask[list(cells)].any())]
        return sorted(keys, key=in_computed_order)
