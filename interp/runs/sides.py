"""Full runs of one side of a task, in batches of prompts, read at END.

Only what a question needs is computed: the stream is unembedded at END and at no other position.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from interp.model import HookedGPT2
from interp.model.hooking import Hooks
from interp.model.user_hooks import require_no_hooks
from interp.runs.edits import Edits
from interp.runs.forward import resume
from interp.runs.rows import Jobs, in_order
from interp.runs.sites import Key, hook_name
from interp.tasks import Task
from interp.tasks.sides import Side

PROMPTS = 64
"""Number of prompts in one run: enough to use all cores, few enough for a laptop's memory."""

Progress = Callable[[list[Any]], Iterable[Any]]
"""Wraps the steps of a run to show progress, such as `tqdm.tqdm` or `rich.progress.track`."""

MEMORY = 1 << 29
"""Bytes of activations kept from the runs of one batch, which limits the size of the batch."""

Prompts = Int[Tensor, " batch"]
"""Indices of some prompts of a task."""


def ready_task(model: HookedGPT2, task: Task, technique: str) -> Task:
    """Check, before any work, that a technique can run.

    Args:
        model: the model
        task: the prompts
        technique: name of the technique, for errors

    Returns:
        The task, padded on the right and on the model's device.

    Raises:
        TypeError: the model or the task is of another type
        ValueError: the task does not fit the model, or the caller has hooks on the model
    """
    if not isinstance(model, HookedGPT2):
        raise TypeError(
            f"{technique} takes a HookedGPT2, such as interp.load('mini'); got {type(model)}"
        )
    if not isinstance(task, Task):
        raise TypeError(
            f"{technique} takes a task, such as interp.tasks.ioi(model.tokenizer, n=50, seed=0); "
            f"got {task!r:.80}"
        )
    require_no_hooks(model, technique)
    task.require_fits(model)
    return task.right_padded().to(model.device)


def batches(task: Task, progress: Progress = iter) -> Iterable[slice]:
    """Slices over the prompts of a task, `PROMPTS` at a time, wrapped by `progress`."""
    starts = range(0, len(task), PROMPTS)
    return progress([slice(start, min(start + PROMPTS, len(task))) for start in starts])


def batches_within(model: HookedGPT2, task: Task, side: Side, keys: Sequence[Key]) -> list[Prompts]:
    """Batches of prompts sorted by length, whose activations fit into `MEMORY`.

    Args:
        model: the model
        task: the prompts
        side: which text of each pair
        keys: the activations to keep, counted twice, since another run keeps as many

    Returns:
        Indices of the prompts of each batch, at least one prompt each.
    """
    lengths = task.mask(side).sum(-1)
    order = lengths.argsort(stable=True)
    c, longest = model.config, int(lengths.max())
    width = {"mlp_post": c.d_mlp, "pattern": c.n_heads * longest}
    per_token = 2 * sum(width.get(site, c.d_model) for site, _ in keys)
    n_tokens = MEMORY // max(1, per_token * model.embed.W_E.element_size())
    batches, first = [], 0
    for i, length in enumerate(lengths[order].tolist()):
        if i > first and length * (i + 1 - first) > n_tokens:
            batches.append(order[first:i])
            first = i
    return [*batches, order[first:]]


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
    """Run some prompts; they need no mask, because their padding is on the right.

    Args:
        model: the model
        task: the prompts, padded on the right
        rows: which of them
        side: which text of each pair
        keys: the activations to keep
        length: number of positions to run; by default that of the longest of the texts
        hooks: forward hooks

    Returns:
        The stream after the last block at END, and the activations by key. Patterns are
        [batch query head source].
    """
    if length is None:
        length = int(task.mask(side)[rows].sum(-1).max())
    names = {hook_name(*key): key for key in keys}
    tokens, n_layers = task.tokens(side)[rows, :length].to(model.device), model.config.n_layers
    cache: Mapping[str, Tensor] = {}
    with model.own_hooks(hooks):
        if names:
            resid, cache = model.run_with_cache(
                tokens, stop_at_layer=n_layers, names_filter=list(names)
            )
        else:
            resid = model(tokens, stop_at_layer=n_layers)
    kept = {key: cache[name] for name, key in names.items()}
    for key in kept:
        if key[0] == "pattern":
            kept[key] = kept[key].transpose(1, 2)  # batch query head source
    return at(resid, task.roles(side)["END"][rows]), kept


def run_to_end(
    model: HookedGPT2,
    task: Task,
    rows: Prompts,
    side: Side,
    edits: Callable[[Prompts, int], Edits] | None = None,
) -> Float[Tensor, "batch d_model"]:
    """Run some prompts without hooks, with only END carried through the last layer.

    Args:
        model: the model
        task: the prompts, padded on the right, on the model's device
        rows: which of them
        side: which text of each pair
        edits: (prompts, positions) -> the edits during the run, such as `PreparedAblation.edits`

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


def at(
    activation: Shaped[Tensor, "batch pos ..."], positions: Int[Tensor, " batch"]
) -> Shaped[Tensor, "batch ..."]:
    """The activation at one position of each prompt."""
    rows = torch.arange(len(activation), device=activation.device)
    return activation[rows, positions.to(activation.device)]
