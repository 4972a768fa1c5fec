"""Exact edge patching: cut every edge, one at a time, and measure what is lost.

    score(s, r) = metric(model) - metric(model with the edge from s to r cut)

Everything after the receiver is recomputed. This is the truth that the other methods estimate, and
takes a run for each edge: `exact_cost` says how long, before anything starts.

Source: Conmy et al. 2023 (arXiv 2304.14997), section 3, for the intervention; each edge is cut in
the whole model, not in what is left of it.
"""

import time
from dataclasses import dataclass

import torch

from interp.circuits.edge_scores import EdgeScores
from interp.metrics import Metrics
from interp.model import HookedGPT2
from interp.runs.edge_patching import cut_each, n_forwards
from interp.runs.edge_senders import EdgeAblation, ablated_senders, reference_of
from interp.runs.graph import Graph
from interp.runs.question import question
from interp.runs.readout import Readout
from interp.runs.sides import Progress, batches, ready_task, run_to_end
from interp.runs.stand_ins import Reference
from interp.tasks import Task


@dataclass(frozen=True)
class Cost:
    """What cutting every edge will take.

    Args:
        edges: number of edges
        forwards: the work, in forward passes over all prompts
        seconds: the time, estimated from that of a plain forward pass of some prompts
    """

    edges: int
    forwards: float
    seconds: float

    def __str__(self) -> str:
        """Say it in one line."""
        took = f"{self.seconds:.0f} s" if self.seconds < 120 else f"{self.seconds / 60:.0f} min"
        return f"{self.edges} edges: {self.forwards:.0f} forward passes, about {took}"


@torch.inference_mode()
def exact_cost(model: HookedGPT2, task: Task) -> Cost:
    """Estimate what `exact_edges` will take, from the time of a plain forward pass.

    Args:
        model: the model
        task: the prompts

    Returns:
        The cost. Texts whose partners differ late take less.

    Raises:
        ValueError: the task does not fit the model
    """
    task, graph = ready_task(model, task, "exact_cost"), Graph.of(model)
    some = torch.arange(len(task), device=model.device)[next(iter(batches(task)))]
    took = []
    for _ in range(2):  # the first pass warms up
        start = time.perf_counter()
        float(run_to_end(model, task, some, "clean").sum())
        took.append(time.perf_counter() - start)
    forwards = n_forwards(graph)
    return Cost(graph.n_edges, forwards, forwards * min(took) * len(task) / len(some))


@torch.inference_mode()
def exact_edges(
    model: HookedGPT2,
    task: Task,
    *,
    metrics: Metrics | None = None,
    ablation: EdgeAblation = "counterfactual",
    reference: Reference = None,
    graph: Graph | None = None,
    at_most: float | None = None,
    progress: Progress = iter,
) -> EdgeScores:
    """Score all edges by cutting each.

    Args:
        model: the model
        task: clean prompts with corrupted partners
        metrics: any metrics, as in `patch`; None for the task's own
        ablation: what receivers read where an edge is cut, as in `eap`
        reference: prompts for means and resampling, as in `Ablation`
        graph: the graph of the model; None to make it
        at_most: refuse to start if `exact_cost` expects more seconds; None to start in any case
        progress: wraps the steps, for a progress bar

    Returns:
        The scores of all edges, on every prompt.

    Raises:
        ValueError: it would take too long, or as for `eap`
    """
    task = ready_task(model, task, "exact_edges")
    readout = Readout(model, task, metrics)
    if at_most is not None and (cost := exact_cost(model, task)).seconds > at_most:
        raise ValueError(
            f"cutting {cost}; at_most allows {at_most:.0f} s: take fewer prompts, allow more, or "
            "estimate with eap or eap_ig_inputs"
        )
    senders = ablated_senders(model, task, graph, ablation, reference)
    values = cut_each(senders, readout, progress=progress)
    asked = question("exact_edges", task=task, reference=reference_of(task, ablation, reference))
    return EdgeScores.make(
        senders.graph,
        values,
        model=model,
        task=task,
        title="Exact edge patching",
        question={**asked, "site": "edges", "ablation": ablation},
    )
