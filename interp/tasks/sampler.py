"""Samplers: more prompts of a task's kind, such as a reference sample for stand-ins.

What stands in for an ablated part is a mean over prompts. Over the few prompts under test, the mean
would add noise that no interval over those prompts includes, so it comes from a separate sample of
a fixed size. A task that was drawn at random can draw more prompts; one that was read from a table,
or changed since, cannot.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial, wraps
from typing import TYPE_CHECKING, Any, ParamSpec

if TYPE_CHECKING:
    from interp.tasks.task import Task

P = ParamSpec("P")

REFERENCE_PROMPTS = 500
"""Number of prompts in a reference sample."""

BLOCKS = 10
"""Number of parts of a reference sample, each of which is left out in turn."""

_APART = 1_000_003
"""Added to a task's seed for its reference sample."""


@dataclass(frozen=True, eq=False)
class Sampler:
    """Draws prompts like those of a task.

    Args:
        make: function that makes the task, given `n` and `seed`
        seed: the seed that the task was drawn with
    """

    make: "Callable[..., Task]"
    seed: int

    def draw(self, n: int, *, seed: int) -> "Task":
        """Draw prompts with the options that the task was made with.

        Args:
            n: number of prompts
            seed: a seed other than the task's, for other prompts

        Returns:
            The prompts.
        """
        return self.make(n=n, seed=seed).drawn_by(Sampler(self.make, seed))

    @cached_property
    def reference(self) -> "Task":
        """The reference sample: `REFERENCE_PROMPTS` prompts from another seed."""
        return in_pieces(self.draw(REFERENCE_PROMPTS, seed=self.seed + _APART))


def in_pieces(task: "Task", n: int = BLOCKS) -> "Task":
    """Take a task apart into pieces that have prompts of all groups.

    Args:
        task: the prompts
        n: number of pieces; each has every n-th prompt of each group

    Returns:
        The same prompts as a task that has `pieces`; fewer if there are fewer prompts.
    """
    return task.made_of(tuple(task.subset(rows) for rows in _rows(task, n)))


def without_blocks(task: "Task", n: int = BLOCKS) -> "tuple[Task, ...]":
    """The prompts without each of some parts in turn, for the jackknife.

    Args:
        task: the prompts
        n: number of parts; each has every n-th prompt of each group

    Returns:
        One task per part, made of the pieces that are left; none if there is one part only.
    """
    parts = (task if len(task.pieces) == n else in_pieces(task, n)).pieces
    return tuple(
        task.subset(sorted(set(range(len(task))) - set(own))).made_of(parts[:i] + parts[i + 1 :])
        for i, own in enumerate(_rows(task, n))
        if len(own) < len(task)
    )


def _rows(task: "Task", n: int) -> list[list[int]]:
    """The prompts of each piece."""
    seen: dict[str, int] = {}
    found: dict[int, list[int]] = {}
    shift = {label: i for i, label in enumerate(sorted(set(task.group)))}
    for i, label in enumerate(task.group):  # groups begin at different pieces, which are so alike
        found.setdefault((seen.get(label, 0) + shift[label]) % n, []).append(i)
        seen[label] = seen.get(label, 0) + 1
    return [found[piece] for piece in sorted(found)]


def can_draw_more(make: "Callable[P, Task]") -> "Callable[P, Task]":
    """Enable tasks that a function makes to draw more prompts of their kind.

    Args:
        make: function of a tokenizer, a number of prompts `n`, a `seed` and options by keyword

    Returns:
        The function, whose tasks have a `sampler`.
    """

    @wraps(make)
    def made(*args: P.args, **kwargs: P.kwargs) -> "Task":
        task = make(*args, **kwargs)
        options: dict[str, Any] = {k: v for k, v in kwargs.items() if k not in ("n", "seed")}
        seed: Any = kwargs.get("seed", 0)
        if args:
            options["tokenizer"] = args[0]
        return task.drawn_by(Sampler(partial(make, **options), seed))

    return made
