"""Places: the positions of each prompt at which something is replaced, as masks."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

import torch
from jaxtyping import Bool
from torch import Tensor

from interp.parts import require_once
from interp.runs.sides import Prompts
from interp.tasks import Task
from interp.tasks.sides import Side

Position = str | int
"""A role, or an index from 0 into each prompt's own tokens."""


@dataclass(frozen=True)
class Places:
    """The positions of every place, in every prompt of a task.

    Each place has one or more *slots*, each a set of positions: a cell states at which slots it
    replaces which units. Most places have one slot.

    Args:
        where: True at the positions of each place
        sources: for patterns, the positions attended to; None for other sites
    """

    where: Bool[Tensor, "place slot prompt pos"]
    sources: Bool[Tensor, "place prompt pos"] | None = None

    def of(self, prompts: Prompts, length: int) -> "Places":
        """Select some prompts, up to a length."""
        sources = None if self.sources is None else self.sources[:, prompts, :length]
        return Places(self.where[:, :, prompts, :length], sources)


def require_positions(positions: Sequence[Position] | None, what: str = "positions") -> None:
    """Refuse anything but a list of roles and indices.

    Args:
        positions: the list; None for all
        what: what an error calls the list

    Raises:
        TypeError: it is not a list of roles and indices
        ValueError: the list is empty or has a position twice
    """
    if positions is None:
        return
    if isinstance(positions, str) or not isinstance(positions, Sequence):
        raise TypeError(
            f"{what} are a list of roles or indices, such as ['END']; got {positions!r}"
        )
    if not len(positions):
        raise ValueError(f"{what} are an empty list; leave them out (None) for all positions")
    for one in positions:
        if isinstance(one, bool) or not isinstance(one, str | Integral):
            raise TypeError(
                f"{what} are roles (text) or indices (whole numbers); got {one!r} among them"
            )
    require_once(positions, "position")


def positions_mask(
    task: Task, positions: Sequence[str | int] | None, side: Side = "clean"
) -> Bool[Tensor, "prompt pos"]:
    """A mask of some positions of each prompt, False at padding.

    Args:
        task: the prompts, of `Task.right_padded`
        positions: roles and indices; None for all
        side: which text of each pair

    Returns:
        The mask.

    Raises:
        ValueError: the task lacks a role, or an index is outside every prompt
    """
    real = task.mask(side)
    if positions is None:
        return real
    roles, width = task.roles(side), real.shape[1]
    pos = torch.arange(width, device=real.device)
    mask = torch.zeros_like(real)
    for position in positions:
        if isinstance(position, str):
            if position not in roles:
                raise ValueError(f"the task has no role {position!r}; it has {list(roles)}")
            mask |= pos == roles[position][:, None]
        else:
            longest = int(real.sum(-1).max())
            if not 0 <= position < longest:
                raise ValueError(
                    f"position {position} is in no prompt of the task; they have up to {longest} "
                    "tokens, counted from 0"
                )
            mask |= pos == position
    return mask & real
