"""The two texts of a prompt, and the tokens that count as answers."""

from collections.abc import Sequence
from typing import Any, Literal

from jaxtyping import Int
from torch import Tensor

Side = Literal["clean", "corrupted"]
SIDES: tuple[Side, Side] = ("clean", "corrupted")

Choice = Int[Tensor, " prompt"] | Int[Tensor, "prompt _"]
"""One token id per prompt, or a set of them, padded with -1 at the end."""


def require_side(side: Any) -> None:
    """Refuse an unknown side of a prompt.

    Raises:
        ValueError: it is neither "clean" nor "corrupted"
    """
    if side not in SIDES:
        raise ValueError(f"side must be 'clean' or 'corrupted'; it is {side!r}")


def options(choice: Choice) -> Int[Tensor, "prompt option"]:
    """Each prompt's token ids as a set, which has one element if there is a single token."""
    return choice[:, None] if choice.ndim == 1 else choice


def as_column(choice: Choice) -> Sequence[int] | Sequence[str]:
    """Token ids as a column of a table."""
    if choice.ndim == 1:
        return choice.tolist()
    return [" ".join(str(token) for token in row if token >= 0) for row in choice.tolist()]


def shown(choice: Choice) -> str:
    """The first prompt's ids, shortened if there are many."""
    ids = [str(token) for token in options(choice)[0].tolist() if token >= 0]
    more = f", ... {len(ids)} in all" if len(ids) > 4 else ""
    return f"{{{', '.join(ids[:4])}{more}}}" if choice.ndim == 2 else ids[0]
