"""The two texts of a prompt, and the tokens that count as an answer."""

from typing import Any, Literal

from jaxtyping import Int
from torch import Tensor

Side = Literal["clean", "corrupted"]
SIDES: tuple[Side, Side] = ("clean", "corrupted")

Choice = Int[Tensor, " prompt"] | Int[Tensor, "prompt _"]
"""One token id a prompt, or a set of them, filled up with -1 at its end."""


def require_side(side: Any) -> None:
    """Refuse what is neither side of a prompt.

    Raises:
        ValueError: it is neither "clean" nor "corrupted".
    """
    if side not in SIDES:
        raise ValueError(f"side must be 'clean' or 'corrupted'; it is {side!r}")


def options(choice: Choice) -> Int[Tensor, "prompt option"]:
    """Each prompt's token ids as a set, of one where it is a single token."""
    return choice[:, None] if choice.ndim == 1 else choice
