"""Edge attribution patching (EAP): what cutting each edge would cost, to first order.

    score(s, r) = sum over positions of (a_s - a'_s) . d metric / d x_r

with a_s what the sender writes in the clean run, a'_s what stands in for it, and x_r what the
receiver reads, before its layer norm. The gradient is taken in the clean run, or in the corrupted
one. Two forward passes and one backward pass score all edges.

Source: Syed et al. 2023 (arXiv 2310.10348), section 3. Their score has the opposite sign: ours is
positive where the edge helps (see `interp.circuits.edge_scores`). Their metric is averaged over
prompts before the gradient, ours after; the mean is the same.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from interp.circuits.discovery.common import from_gradients
from interp.circuits.edge_scores import EdgeScores
from interp.metrics import Metrics
from interp.model import HookedGPT2
from interp.runs.edge_gradients import Attribution, GradientRun, Weights
from interp.runs.edge_senders import EdgeAblation, Senders, sender_keys
from interp.runs.graph import Graph
from interp.runs.readout import Readout
from interp.runs.sides import Progress, Prompts, run_side
from interp.runs.stand_ins import Reference
from interp.tasks import Task

Gradient = Literal["clean", "corrupted"]


def eap(
    model: HookedGPT2,
    task: Task,
    *,
    metrics: Metrics | None = None,
    ablation: EdgeAblation = "counterfactual",
    reference: Reference = None,
    graph: Graph | None = None,
    gradient: Gradient = "clean",
    progress: Progress = iter,
) -> EdgeScores:
    """Score all edges by edge attribution patching.

    Args:
        model: the model
        task: clean prompts with corrupted partners
        metrics: differentiable metrics, as in `patch`; None for the task's own. Each takes one
            backward pass.
        ablation: what receivers read where an edge is cut: "counterfactual", "zero", "mean", "group
            mean" or "resample"; see `interp.runs.edge_senders`
        reference: prompts for means and resampling, as in `Ablation`
        graph: the graph of the model; None to make it
        gradient: the run in which the gradient is taken. "corrupted" needs the counterfactual.
        progress: wraps the batches of prompts, for a progress bar

    Returns:
        The scores of all edges, on every prompt.

    Raises:
        ValueError: a metric has no gradient, the gradient of the divergence is asked for where it
            is zero, or as for `interp.circuits.edge_faithfulness`
    """
    if gradient not in get_args(Gradient):
        raise ValueError(f"expected gradient 'clean' or 'corrupted', got {gradient!r}")
    if gradient == "corrupted" and ablation != "counterfactual":
        raise ValueError(
            "the gradient in the corrupted run goes with ablation='counterfactual', which that run "
            f"is; got {ablation!r}"
        )
    weights = Weights(model)

    def score(senders: Senders, readout: Readout, prompts: Prompts) -> dict[str, Tensor]:
        if gradient == "clean" and "kl_divergence" in readout.built_in:
            raise ValueError(
                "the divergence from the clean run is least at the clean run, so that its gradient "
                "there is zero; use gradient='corrupted', eap_ig, or exact_edges"
            )
        run = GradientRun(senders, prompts, readout, side=gradient)
        other = writes(senders, prompts, "corrupted" if gradient == "clean" else "clean", run)
        clean, new = (run.writes(), other) if gradient == "clean" else (other, run.writes())
        with torch.no_grad():
            changes = Attribution(senders.graph, weights, clean, new)
            return scores_of(run, changes)

    return from_gradients(
        "eap", f"EAP, gradient in the {gradient} run", score, model, task, metrics=metrics,
        ablation=ablation, reference=reference, graph=graph, progress=progress, gradient=gradient,
    )  # fmt: skip


def writes(
    senders: Senders, prompts: Prompts, side: str, like: GradientRun | None = None
) -> dict[tuple[str, int], Tensor]:
    """What senders write in the clean run, or what stands in for them.

    Args:
        senders: the stand-ins
        prompts: which prompts
        side: "clean" for the clean run, "corrupted" for the stand-ins
        like: a run whose number of positions is taken
    """
    length = int(senders.task.mask("clean")[prompts].sum(-1).max())
    with torch.no_grad():
        if side == "corrupted":
            return senders.values(prompts, length)
        keys = sender_keys(senders.model.config.n_layers)
        return run_side(senders.model, senders.task, prompts, "clean", keys, length=length)[1]


def scores_of(run: GradientRun, changes: Attribution) -> dict[str, Tensor]:
    """The scores in every metric from one run."""
    names = list(run.metrics)
    return {
        name: changes.scores(run, run.gradients(name, last=name == names[-1])) for name in names
    }
