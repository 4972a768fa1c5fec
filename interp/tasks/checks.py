"""Checks of the fields of a task, made when the task is created."""

import operator
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from interp.tasks.metric_names import METRICS, did_you_mean
from interp.tasks.sides import SIDES, Side, options

TEXTS = ("clean", "corrupted", "group", "template", "order")
"""The fields of a task that hold one text per prompt."""


def check_task(task: Any) -> None:
    """Check that the fields of a task fit together.

    Args:
        task: a `Task`

    Raises:
        ValueError: a field does not fit the others; the message names the field and the prompt
    """
    if task.metric not in METRICS:
        raise ValueError(
            f"the metric of a task must be one of {', '.join(METRICS)}; it is {task.metric!r}"
            + did_you_mean(str(task.metric), METRICS)
        )
    _check_shapes(task)
    tokens = torch.stack([task.clean_tokens, task.corrupted_tokens])  # 2 b p
    _require(task, (tokens >= 0).all(-1).all(0), "a token id is negative")
    for field in ("answer", "foil"):
        _check_choice(task, field)
    ids = torch.cat([options(task.answer), options(task.foil)], 1).sort(-1).values
    _require(
        task,
        ~((ids[:, 1:] == ids[:, :-1]) & (ids[:, 1:] >= 0)).any(-1),
        "answer and foil have the same token, or one has it twice; a token can be only one of them",
    )
    for side in SIDES:
        _check_side(task, side)
    first = {label: i for i, label in reversed(list(enumerate(task.group)))}
    lengths = task.lengths
    leader = torch.tensor([first[label] for label in task.group], device=lengths.device)
    _require(
        task,
        lengths == lengths[leader],
        "its number of tokens differs from that of the first prompt of its group",
    )


def prompt_number(i: Any) -> int:
    """Check the index of a prompt; True and False, which would pick 1 and 0, are refused."""
    if type(i) is int:
        return i
    truth = isinstance(i, bool) or getattr(i, "dtype", None) in (torch.bool, np.dtype(bool))
    if not truth and hasattr(i, "__index__"):
        return operator.index(i)
    raise TypeError(f"prompts are picked by their numbers, from 0; got {i!r}")


def _check_choice(task: Any, field: str) -> None:
    """Check token ids: at least one per prompt, from 0, with -1 only after them."""
    choice = options(getattr(task, field))
    real = choice >= 0
    _require(task, choice[:, 0] >= 0, f"the {field}'s token id is negative")
    _require(
        task,
        (real[:, 1:] <= real[:, :-1]).all(-1) & (choice >= -1).all(-1),
        f"the ids of the {field} set must be padded with -1, and only at its end",
    )


def _check_side(task: Any, side: Side) -> None:
    mask, roles = task.mask(side), task.roles(side)
    lengths, first = mask.sum(-1), mask.int().argmax(-1)
    _require(task, lengths > 0, "the attention mask is empty")
    pos = torch.arange(mask.shape[1], device=mask.device)
    last = first + lengths - 1
    _require(
        task,
        (mask == ((pos >= first[:, None]) & (pos <= last[:, None]))).all(-1),
        "there is padding between its tokens; the mask must be True from the first real token "
        "to the last",
    )
    where = "" if side == "clean" else " in its corrupted text"
    for role, at in roles.items():
        _require(
            task,
            (at >= first) & (at <= last),
            f"the position of role {role!r} is outside the prompt{where}",
        )
    _require(task, roles["END"] == last, f"role 'END' must be the prompt's last token{where}")


def _check_shapes(task: Any) -> None:
    n = len(task)
    if n == 0:
        raise ValueError("a task needs at least one prompt; clean is empty")
    for field in TEXTS:
        if len(getattr(task, field)) != n:
            raise ValueError(
                f"{field} has {len(getattr(task, field))} entries; clean has {n} prompts"
            )
    for field, roles in task._role_fields().items():
        if "END" not in roles:
            raise ValueError(
                f"{field} has roles {list(roles)} but no 'END'; add the index of each "
                "prompt's last token"
            )
    if set(task.roles("corrupted")) != set(task.positions):
        raise ValueError(
            f"corrupted_positions has roles {list(task.roles('corrupted'))}, positions has "
            f"{list(task.positions)}; both texts need the same roles"
        )
    width = task.clean_tokens.shape[-1]
    tensors = task._tensors()
    for field, roles in task._role_fields().items():
        tensors |= {f"{field}[{role!r}]": at for role, at in roles.items()}
    for field, tensor in tensors.items():
        padded = field.endswith(("_tokens", "_mask"))
        shape = (n, width) if padded else (n,)
        if field in ("answer", "foil") and tensor.ndim == 2 and tensor.shape[1]:
            shape = (n, tensor.shape[1])
        dtype = torch.bool if field.endswith("_mask") else torch.int64
        if tuple(tensor.shape) != shape or tensor.dtype != dtype:
            raise ValueError(
                f"{field} must be {dtype} of shape {shape} for {n} prompts; it is "
                f"{tensor.dtype} of shape {tuple(tensor.shape)}"
            )


def _require(task: Any, ok: Bool[Tensor, " prompt"], complaint: str) -> None:
    if not bool(ok.all()):
        i = int((~ok).nonzero()[0])
        raise ValueError(f"prompt {i} of task {task.name!r}: {complaint}: {task.clean[i]!r}")
