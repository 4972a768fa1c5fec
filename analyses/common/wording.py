"""Numbers as text, with real minus signs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interp.statistics import Estimate


def minus(number: str) -> str:
    """The number with minus signs for hyphens."""
    return number.replace("-", "\N{MINUS SIGN}")


def text(estimate: Estimate, digits: int = 3) -> str:
    """Mean [low, high].

    Args:
        estimate: a mean with its interval.
        digits: decimals of each.

    Returns:
        Such as "0.123 [0.046, 0.200]".
    """
    return minus(f"{estimate:.{digits}f}")
