"""Clean-corrupted: the mean of EAP's scores by the gradients in the clean and the corrupted run.

This is integrated gradients with two points, the ends of the path, at the cost of two backward
passes and no run in between.

Source: Hanna et al. 2024 (arXiv 2403.17806), the authors' code. Their scores have the opposite
sign; see `interp.circuits.edge_scores`.
"""

from typing import Literal

import torch
from torch import Tensor

from interp.circuits.discovery.common import from_gradients
from interp.circuits.discovery.eap import scores_of
from interp.circuits.edge_scores import EdgeScores
from interp.metrics import Metrics
from interp.model import HookedGPT2
from interp.runs.edge_gradients import Attribution, GradientRun, Weights
from interp.runs.edge_senders import Senders
from interp.runs.graph import Graph
from interp.runs.readout import Readout
from interp.runs.sides import Progress, Prompts
from interp.tasks import Task


def clean_corrupted(
    model: HookedGPT2,
    task: Task,
    *,
    metrics: Metrics | None = None,
    ablation: Literal["counterfactual"] = "counterfactual",
    graph: Graph | None = None,
    progress: Progress = iter,
) -> EdgeScores:
    """Score all edges by gradients in the clean and in the corrupted run.

    Args:
        model: the model
        task: clean prompts with corrupted partners
        metrics: differentiable metrics, as in `eap`
        ablation: the second run is the corrupted one, so only "counterfactual"
        graph: the graph of the model; None to make it
        progress: wraps the batches of prompts, for a progress bar

    Returns:
        The scores of all edges, on every prompt.

    Raises:
        ValueError: another ablation is asked for, or as for `eap`
    """
    if ablation != "counterfactual":
        raise ValueError(
            "clean_corrupted takes gradients in the corrupted run, which fits "
            f"ablation='counterfactual' alone; got {ablation!r}"
        )
    weights = Weights(model)

    def score(senders: Senders, readout: Readout, prompts: Prompts) -> dict[str, Tensor]:
        runs = [
            GradientRun(senders, prompts, readout, side=side) for side in ("clean", "corrupted")
        ]
        with torch.no_grad():
            changes = Attribution(senders.graph, weights, *(run.writes() for run in runs))
            clean, corrupted = (scores_of(run, changes) for run in runs)
        return {name: (clean[name] + corrupted[name]) / 2 for name in clean}

    return from_gradients(
        "clean_corrupted", "EAP, mean of clean and corrupted gradients", score, model, task,
        metrics=metrics, ablation=ablation, reference=None, graph=graph, progress=progress,
    )  # fmt: skip
