"""Numbers as text, with real minus signs."""

from interp.statistics import Estimate


def minus(number: str) -> str:
    """The number with minus signs for hyphens."""
    return number.replace("-", "\N{MINUS SIGN}")


def text(estimate: Estimate, digits: int = 3) -> str:
    """Mean [low, high]."""
    return minus(f"{estimate:.{digits}f}")
