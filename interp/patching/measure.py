"""What a model does on a task, with or without something knocked out: logits and metrics."""

from collections.abc import Iterator

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from interp.metrics import METRICS, Metrics
from interp.model import HookedGPT2
from interp.results import labeled
from interp.runs.ablation import Ablation, prepared
from interp.runs.question import question
from interp.runs.readout import Readout
from interp.runs.sides import Progress, Prompts, batches, ready_task, run_to_end
from interp.tasks import Task
from interp.tasks.sides import Side, require_side


@torch.inference_mode()
def run_task(
    model: HookedGPT2,
    task: Task,
    *,
    side: Side = "clean",
    ablation: Ablation | None = None,
    progress: Progress = iter,
) -> Float[Tensor, "prompt d_vocab"]:
    """The logits at END of every prompt.

    Args:
        model: the model
        task: the prompts
        side: which of each pair of prompts to run
        ablation: what is knocked out of the model
        progress: wraps the batches, for a progress bar

    Returns:
        The logits [prompt d_vocab].

    Raises:
        ValueError: as for `measure`
    """
    require_side(side)
    task = ready_task(model, task, "run_task")
    streams = _streams(model, task, side, ablation, progress)
    return torch.cat([model.unembed(model.ln_final.unhooked(stream)) for _, stream in streams])


@torch.inference_mode()
def measure(
    model: HookedGPT2,
    task: Task,
    metrics: Metrics | None = None,
    *,
    side: Side = "clean",
    ablation: Ablation | None = None,
    progress: Progress = iter,
) -> xr.Dataset:
    """The metrics of every prompt.

    Args:
        model: the model
        task: the prompts
        metrics: a name from `METRICS`, a function of the logits at END [run d_vocab] and the
            prompts they belong to, several of these, or a mapping from names to functions; None for
            the task's own metric
        side: which of each pair of prompts to run
        ablation: what is knocked out of the model
        progress: wraps the batches, for a progress bar

    Returns:
        One array for each metric, dim prompt. The divergence is taken from the whole model's clean
        run.

    Raises:
        ValueError: a metric is unknown, the task does not fit the model, the caller has hooks on
            the model, or as for `Ablation.prepare`
    """
    require_side(side)
    task = ready_task(model, task, "measure")
    readout = Readout(model, task, metrics)
    parts = [
        readout(stream, rows) for rows, stream in _streams(model, task, side, ablation, progress)
    ]
    return xr.Dataset(
        {
            name: labeled(
                torch.cat([part[name] for part in parts]),
                ("prompt",),
                name=name,
                title=f"{side.capitalize()} run",
                unit=METRICS.get(name, ""),
                model=model,
                task=task,
                question=question("measure", metric=name, side=side, task=task, ablation=ablation),
            )
            for name in readout.chosen
        }
    )


def _streams(
    model: HookedGPT2, task: Task, side: Side, ablation: Ablation | None, progress: Progress
) -> Iterator[tuple[Prompts, Float[Tensor, "batch d_model"]]]:
    """The prompts of each batch, and the stream after the last block at END."""
    here = prepared(ablation, model, task, side)
    edits = here.edits if here else None
    every = torch.arange(len(task), device=model.device)
    for rows in batches(task, progress):
        yield every[rows], run_to_end(model, task, every[rows], side, edits)
