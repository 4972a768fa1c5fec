"""What the methods of discovery share: checks, batches, and the label of the result."""

from collections.abc import Callable

import torch
from torch import Tensor

from interp.circuits.edge_scores import EdgeScores
from interp.metrics import Metrics
from interp.model import HookedGPT2
from interp.runs.edge_gradients import require_gradient
from interp.runs.edge_senders import (
    EdgeAblation,
    Senders,
    ablated_senders,
    edge_batches,
    reference_of,
)
from interp.runs.gradients import differentiable
from interp.runs.graph import Graph
from interp.runs.question import question
from interp.runs.readout import Readout
from interp.runs.sides import Progress, Prompts, ready_task
from interp.runs.stand_ins import Reference
from interp.tasks import Task

MEMORY = 1 << 27
"""Number of values held at once: half a gigabyte."""

ByBatch = Callable[[Senders, Readout, Prompts], dict[str, Tensor]]
"""Metric -> scores [prompt sender receiver] of some prompts."""


def from_gradients(
    technique: str,
    title: str,
    by_batch: ByBatch,
    model: HookedGPT2,
    task: Task,
    *,
    metrics: Metrics | None,
    ablation: EdgeAblation,
    reference: Reference,
    graph: Graph | None,
    progress: Progress,
    **options: object,
) -> EdgeScores:
    """Score all edges, batch by batch, by a method that takes gradients.

    Args:
        technique: name of the method
        title: one line that says what it measures
        by_batch: scores some prompts
        model: the model
        task: clean prompts with corrupted partners
        metrics: the metrics
        ablation: what stands in for senders
        reference: prompts for means and resampling
        graph: the graph of the model; None to make it
        progress: wraps the batches of prompts
        options: other choices of the method, for the question

    Returns:
        The scores.
    """
    task = ready_task(model, task, technique)
    with differentiable(model):
        readout = Readout(model, task, metrics)
        require_gradient(readout.built_in)
        with torch.no_grad():
            senders = ablated_senders(model, task, graph, ablation, reference)
        c = model.config
        kept = 3 * len(senders.graph.senders) * c.d_model + 12 * c.n_layers * c.d_model
        batches = edge_batches(task, kept, MEMORY)
        parts = [by_batch(senders, readout, prompts) for prompts in progress(batches)]
    back = torch.cat(batches).argsort()
    asked = question(technique, task=task, reference=reference_of(task, ablation, reference))
    asked["options"] = {name: str(value) for name, value in options.items()}
    return EdgeScores.make(
        senders.graph,
        {name: torch.cat([part[name] for part in parts])[back] for name in readout.chosen},
        model=model,
        task=task,
        title=title,
        question={**asked, "site": "edges", "ablation": ablation},
    )
