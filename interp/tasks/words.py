"""Words of a task's prompts, and sentences drawn from them without repeats."""

from collections.abc import Sequence
from itertools import product
from random import Random
from typing import TypeVar

Cell = TypeVar("Cell")


def draw_evenly(rng: Random, n: int, *parts: Sequence[Cell]) -> list[tuple[Cell, ...]]:
    """Draw combinations of parts, all of them once before any twice.

    Args:
        rng: the random source.
        n: how many.
        parts: the choices for each place.

    Returns:
        `n` combinations, one choice of each part.

    Example:
        >>> sorted(draw_evenly(Random(0), 4, "ab", "xy"))
        [('a', 'x'), ('a', 'y'), ('b', 'x'), ('b', 'y')]
    """
    every = list(product(*parts))
    drawn: list[tuple[Cell, ...]] = []
    while len(drawn) < n:
        drawn += rng.sample(every, min(len(every), n - len(drawn)))
    return drawn


def require_count(n: int) -> None:
    """Refuse fewer than one prompt.

    Raises:
        ValueError: `n` is below 1.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1; it is {n}")
