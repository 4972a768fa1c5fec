"""Draw words and sentences for prompts without repeats, and check lists of words."""

from collections import Counter
from collections.abc import Sequence
from itertools import product
from numbers import Integral
from random import Random
from typing import Any, TypeVar

from interp.tasks.metric_names import did_you_mean

Cell = TypeVar("Cell")


def draw_evenly(rng: Random, n: int, *parts: Sequence[Cell]) -> list[tuple[Cell, ...]]:
    """Draw combinations of parts, all once before any twice.

    Args:
        rng: the random source
        n: number of combinations
        parts: the choices for each part

    Returns:
        `n` combinations, with one choice for each part.

    Example:
        >>> sorted(draw_evenly(Random(0), 4, "ab", "xy"))
        [('a', 'x'), ('a', 'y'), ('b', 'x'), ('b', 'y')]
    """
    every = list(product(*parts))
    drawn: list[tuple[Cell, ...]] = []
    while len(drawn) < n:
        drawn += rng.sample(every, min(len(every), n - len(drawn)))
    return drawn


def require_count(n: Any, what: str = "n") -> None:
    """Refuse anything but a positive integer, such as a number of prompts.

    Args:
        n: the number
        what: the argument's name

    Raises:
        TypeError: `n` is not a whole number
        ValueError: `n` is below 1
    """
    if isinstance(n, bool) or not isinstance(n, Integral):
        raise TypeError(f"{what} must be a whole number, for instance 100; it is {n!r}")
    if n < 1:
        raise ValueError(f"{what} must be at least 1; it is {n}")


def require_choice(what: str, value: object, choices: Sequence[str]) -> None:
    """Refuse a value that is not one of the choices.

    Args:
        what: the argument's name
        value: the value
        choices: the choices

    Raises:
        ValueError: the value is not one of the choices
    """
    if value not in choices:
        near = did_you_mean(value, choices) if isinstance(value, str) else ""
        raise ValueError(f"{what} must be one of {tuple(choices)}; it is {value!r}{near}")


def require_words(words: Any, where: str, *, bare: bool = True) -> None:
    """Refuse anything but a list of different words or templates.

    Args:
        words: the list
        where: what an error calls the list
        bare: whether to refuse empty words and words with spaces around them

    Raises:
        TypeError: it is a single string, or an entry is not a string
        ValueError: the list is empty, an entry occurs twice, or a word is empty or has a space
            before or after it
    """
    if isinstance(words, str):
        raise TypeError(f"{where} must be a list of strings; got one string, {words!r}")
    wrong = [word for word in words if not isinstance(word, str)]
    if wrong:
        raise TypeError(f"{where} must be a list of strings; it holds {wrong[0]!r}")
    if not len(words):
        raise ValueError(f"{where} is empty; give at least one")
    repeated = sorted(word for word, times in Counter(words).items() if times > 1)
    if repeated:
        raise ValueError(f"{where} has {repeated[0]!r} more than once; keep one")
    spaced = [word for word in words if not word or word != word.strip()]
    if bare and spaced:
        raise ValueError(
            f"{where} has {spaced[0]!r}; write each with at least one letter and no space before "
            "or after it"
        )
