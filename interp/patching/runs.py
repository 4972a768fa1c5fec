"""Runs of a task through the model, in batches of prompts, read at END.

Only what the question needs leaves a run: the stream at END is unembedded, no other position.
"""

from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.model import HookedGPT2
from interp.tasks import Task

ROWS = 64
"""Prompts in one run: enough to fill the cores, little enough for the memory of a laptop."""

Progress = Callable[[list[Any]], Iterable[Any]]
"""Wraps the steps of a run to show how far it is, such as `tqdm.tqdm` or `rich.progress.track`."""

Side = Literal["clean", "corrupted"]
Hooks = list[tuple[str | Callable[[str], bool], Callable[..., Any]]]


def batches(task: Task, progress: Progress = iter) -> Iterable[slice]:
    """Slices over the prompts of a task, `ROWS` at a time, counted by `progress`."""
    starts = range(0, len(task), ROWS)
    return progress([slice(start, min(start + ROWS, len(task))) for start in starts])


def inputs(model: HookedGPT2, task: Task, rows: slice, side: Side) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask of some prompts, [batch pos], on the model's device."""
    tokens = task.clean_tokens if side == "clean" else task.corrupted_tokens
    return tokens[rows].to(model.device), task.attention_mask[rows].to(model.device)


def at(
    activation: Float[Tensor, "batch pos ..."], positions: Int[Tensor, " batch"]
) -> Float[Tensor, "batch ..."]:
    """The activation at one position of each prompt."""
    rows = torch.arange(len(activation), device=activation.device)
    return activation[rows, positions.to(activation.device)]


def logit_diff_of(
    model: HookedGPT2,
    resid: Float[Tensor, "batch ... d_model"],
    answer: Int[Tensor, " batch"],
    foil: Int[Tensor, " batch"],
) -> Float[Tensor, "batch ..."]:
    """Logit of the answer minus the foil's, read off the residual stream after the last block.

    Only the two tokens are unembedded.
    """
    answer, foil = answer.to(resid.device), foil.to(resid.device)
    direction = model.unembed.weight[answer] - model.unembed.weight[foil]  # batch d_model
    bias = model.unembed.b_U[answer] - model.unembed.b_U[foil]  # batch
    extra = (1,) * (resid.ndim - 2)
    direction = direction.view(len(direction), *extra, -1)
    bias = bias.view(len(bias), *extra)
    return (model.ln_final.unhooked(resid) * direction).sum(-1) + bias


@torch.inference_mode()
def run_task(
    model: HookedGPT2,
    task: Task,
    *,
    side: Side = "clean",
    hooks: Callable[[slice], Hooks] | None = None,
    progress: Progress = iter,
) -> Float[Tensor, "prompt d_vocab"]:
    """Logits at END of every prompt.

    Args:
        model: the model.
        task: the prompts.
        side: which of each pair of prompts to run.
        hooks: makes the forward hooks for a batch of prompts, given its slice of the task.
        progress: wraps the batches, for a progress bar.

    Returns:
        Logits [prompt d_vocab].
    """
    logits = []
    for rows in batches(task, progress):
        tokens, mask = inputs(model, task, rows, side)
        with model.hooks(fwd_hooks=hooks(rows) if hooks else []):
            resid = model(tokens, mask, stop_at_layer=model.config.n_layers)
            last = at(resid, task.positions["END"][rows])[:, None]  # batch 1 d_model
            logits.append(model.unembed(model.ln_final(last))[:, 0])
    return torch.cat(logits)
