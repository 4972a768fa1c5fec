"""Which roles of a task hold the tokens that its answer is about."""

from collections.abc import Sequence

import torch

from interp.tasks import Task


def answer_roles(task: Task, roles: Sequence[str] | None) -> list[str]:
    """The roles asked for, or those whose clean token is the answer or the foil in every prompt.

    Raises:
        ValueError: for a role that the task does not have, or if none was asked for and no role
            holds answer or foil.
    """
    if roles is not None:
        unknown = [role for role in roles if role not in task.positions]
        if unknown or not roles:
            raise ValueError(f"expected roles among {list(task.positions)}, got {list(roles)}")
        return list(roles)
    prompt = torch.arange(len(task))
    found = []
    for role, where in task.positions.items():
        token = task.clean_tokens[prompt, where]
        if any(torch.equal(token, one) for one in (task.answer, task.foil)):
            found.append(role)
    if not found:
        raise ValueError(
            f"no role of task {task.name!r} holds the answer or the foil in every prompt; say "
            f"which to look at: roles=[...] among {list(task.positions)}"
        )
    return found
