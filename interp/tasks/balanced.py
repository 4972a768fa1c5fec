"""Balanced draws: some prompts of a task, spread evenly over its groups."""

from collections import defaultdict

from interp.tasks.task import Task


def balanced(task: Task, n: int) -> Task:
    """Pick prompts from all groups in turn.

    Args:
        task: the prompts
        n: largest number of prompts

    Returns:
        The first prompt of every group, then the second of each, and so on up to n, in the task's
        order.

    Raises:
        ValueError: n is below 1
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"expected at least one prompt, got n={n!r}")
    seen: dict[str, int] = defaultdict(int)
    turns = []
    for i, group in enumerate(task.group):
        turns.append((seen[group], i))
        seen[group] += 1
    return task.subset(sorted(i for _, i in sorted(turns)[:n]))
