"""Runs of a task through the model, in batches of prompts, read at END.

Only what the question needs leaves a run: the stream at END is unembedded, no other position.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from interp.model import HookedGPT2
from interp.runs.forward import HOOKS, Edits, Jobs, in_order, resume
from interp.tasks import Side, Task

ROWS = 64
"""Prompts in one run: enough to fill the cores, little enough for the memory of a laptop."""

Progress = Callable[[list[Any]], Iterable[Any]]
"""Wraps the steps of a run to show how far it is, such as `tqdm.tqdm` or `rich.progress.track`."""

Hooks = Sequence[tuple[str | Callable[[str], bool], Callable[..., Any]]]
Key = tuple[str, int]
"""Site and layer of an activation."""


Prompts = Int[Tensor, " batch"]
"""Indices of some prompts of a task."""


def batches(task: Task, progress: Progress = iter) -> Iterable[slice]:
    """Slices over the prompts of a task, `ROWS` at a time, counted by `progress`."""
    starts = range(0, len(task), ROWS)
    return progress([slice(start, min(start + ROWS, len(task))) for start in starts])


def run_side(
    model: HookedGPT2,
    task: Task,
    rows: slice | Prompts,
    side: Side,
    keys: Sequence[Key] = (),
    *,
    length: int | None = None,
    hooks: Hooks = (),
) -> tuple[Float[Tensor, "batch d_model"], dict[Key, Float[Tensor, "batch pos ..."]]]:
    """One run of some prompts, which need no mask since their padding is on the right.

    Args:
        model: the model.
        task: the prompts, of `Task.right_padded`.
        rows: which of them.
        side: which text of each pair.
        keys: the activations to keep.
        length: positions to run; by default those of the longest of the texts.
        hooks: forward hooks.

    Returns:
        The stream after the last block at END, and the activations by key. Patterns are
        [batch query head source].
    """
    if length is None:
        length = int(task.mask(side)[rows].sum(-1).max())
    names = {
        HOOKS[site] if site == "embed" else f"blocks.{layer}.{HOOKS[site]}": (site, layer)
        for site, layer in keys
    }
    with model.hooks(fwd_hooks=list(hooks)):
        resid, cache = model.run_with_cache(
            task.tokens(side)[rows, :length].to(model.device),
            stop_at_layer=model.config.n_layers,
            names_filter=lambda name: name in names,
        )
    kept = {key: cache[name] for name, key in names.items()}
    for key in kept:
        if key[0] == "pattern":
            kept[key] = kept[key].transpose(1, 2)
    return at(resid, task.roles(side)["END"][rows]), kept


def run_to_end(
    model: HookedGPT2,
    task: Task,
    rows: Prompts,
    side: Side,
    edits: Callable[[Prompts, int], Edits] | None = None,
) -> Float[Tensor, "batch d_model"]:
    """One run of some prompts without hooks, of which END alone is carried through the last layer.

    Args:
        model: the model.
        task: the prompts, of `Task.right_padded`, on the model's device.
        rows: which of them.
        side: which text of each pair.
        edits: (prompts, positions) -> what is changed on the way, as `Prepared.edits`.

    Returns:
        The stream after the last block at END.
    """
    end = task.roles(side)["END"][rows]
    length = int(end.max()) + 1
    tokens = task.tokens(side)[rows, :length]
    stream = model.embed(tokens) + model.pos_embed.W_pos[:length]  # b p d
    start = torch.zeros_like(end)
    order = in_order(start, end)
    jobs = Jobs(order, start, end[order], length)
    changes = edits(rows, length) if edits else {}
    found = resume(model, {}, jobs, 0, {"resid_pre": jobs.rows.of(stream)}, changes)
    return found[order.argsort()]


def positions_mask(
    task: Task, positions: Sequence[str | int] | None, side: Side = "clean"
) -> Bool[Tensor, "prompt pos"]:
    """True at some positions of each prompt, False elsewhere and at padding.

    Args:
        task: the prompts, of `Task.right_padded`.
        positions: roles and indices; None for all.
        side: which text of each pair.

    Returns:
        The mask.

    Raises:
        ValueError: for a role that the task does not have, or an index outside every prompt.
    """
    real = task.mask(side)
    if positions is None:
        return real
    roles, width = task.roles(side), real.shape[1]
    pos = torch.arange(width, device=real.device)
    mask = torch.zeros_like(real)
    for position in positions:
        if isinstance(position, str):
            if position not in roles:
                raise ValueError(f"the task has no role {position!r}; it has {list(roles)}")
            mask |= pos == roles[position][:, None]
        else:
            longest = int(real.sum(-1).max())
            if not 0 <= position < longest:
                raise ValueError(
                    f"position {position} is in no prompt of the task; they have up to {longest} "
                    "tokens, counted from 0"
                )
            mask |= pos == position
    return mask & real


def at(
    activation: Shaped[Tensor, "batch pos ..."], positions: Int[Tensor, " batch"]
) -> Shaped[Tensor, "batch ..."]:
    """The activation at one position of each prompt."""
    rows = torch.arange(len(activation), device=activation.device)
    return activation[rows, positions.to(activation.device)]
