"""The roles of a task for which a score is computed."""

from collections.abc import Sequence

import torch

from interp.parts import require_once
from interp.runs.arguments import items
from interp.tasks import Task


def chosen_roles(task: Task, roles: Sequence[str] | None, what: str = "roles") -> list[str]:
    """The roles asked for, or all roles of the task.

    Args:
        task: the task
        roles: names of roles; None for all
        what: the argument's name, for errors

    Returns:
        The roles.

    Raises:
        ValueError: the list is empty, or a role is unknown or given twice
        TypeError: `roles` is not a list
    """
    if roles is None:
        return list(task.positions)
    chosen = items(roles, what, "['END']")
    unknown = [role for role in chosen if role not in task.positions]
    if unknown:
        raise ValueError(f"the task has no role {unknown[0]!r}; it has {list(task.positions)}")
    require_once(chosen, "role")
    return chosen


def answer_roles(task: Task, roles: Sequence[str] | None) -> list[str]:
    """The roles asked for, or those whose clean token is the answer or foil in every prompt.

    Args:
        task: the task
        roles: names of roles; None for those that hold the answer or the foil

    Returns:
        The roles.

    Raises:
        ValueError: as for `chosen_roles`, or none was asked for and no role holds the answer or the
            foil
        TypeError: `roles` is not a list
    """
    if roles is not None:
        return chosen_roles(task, roles)
    prompt = torch.arange(len(task), device=task.clean_tokens.device)
    found = []
    for role, where in task.positions.items():
        token = task.clean_tokens[prompt, where]  # prompt
        if any(torch.equal(token, one) for one in (task.answer, task.foil)):
            found.append(role)
    if not found:
        raise ValueError(
            f"no role of task {task.name!r} holds the answer or the foil in every prompt; say "
            f"which to look at: roles=[...] among {list(task.positions)}"
        )
    return found
