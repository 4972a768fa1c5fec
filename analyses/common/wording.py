"""Write numbers with real minus signs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interp.statistics import Estimate


def minus(number: str) -> str:
    """Replace hyphens by minus signs."""
    return number.replace("-", "\N{MINUS SIGN}")


def text(estimate: Estimate, digits: int = 3) -> str:
    """Write an estimate as mean [low, high].

    Args:
        estimate: a mean with its interval
        digits: decimals of each

    Returns:
        For instance "0.123 [0.046, 0.200]".
    """
    return minus(f"{estimate:.{digits}f}")
