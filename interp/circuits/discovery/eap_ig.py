"""EAP with integrated gradients: the gradient of EAP, averaged along a path.

    score(s, r) = sum over positions of (a_s - a'_s) . mean over steps of d metric / d x_r

`eap_ig_inputs` moves the token embedding from the corrupted to the clean text, step by step, and
lets the rest of the model follow. Its scores are complete at the input: the scores of all edges
that leave the input add up to metric(clean) - metric(corrupted), as far as the steps approximate
the integral. `eap_ig_activations` moves what one part writes (the embedding, the heads of a layer,
an MLP) from its stand-in to its clean value while the rest of the run is clean, and averages over
the parts too; so it fits any stand-in, but takes (2 n_layers + 1) times as many runs.

The steps are points alpha on the way from the stand-in, 0, to the clean value, 1: in the middle of
each of n equal intervals; at their right ends, as in the paper; or at their left ends, as in the
authors' code for inputs.

Source: Hanna et al. 2024 (arXiv 2403.17806), section 3, and the authors' code, for activations the
code alone. We differ in two points. Their scores have the opposite sign; see
`interp.circuits.edge_scores`. Their code puts a constant in the place of a part that it moves, so
that no gradient passes through it to earlier receivers; ours lets it through, so that the scores
are exact where the model is linear.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from interp.circuits.discovery.common import from_gradients
from interp.circuits.discovery.eap import scores_of, writes
from interp.circuits.edge_scores import EdgeScores
from interp.metrics import Metrics
from interp.model import HookedGPT2
from interp.model.hooking import Hooks
from interp.runs.edge_gradients import Attribution, GradientRun, Weights
from interp.runs.edge_senders import EdgeAblation, Senders, sender_keys
from interp.runs.graph import Graph
from interp.runs.readout import Readout
from interp.runs.sides import Progress, Prompts
from interp.runs.sites import Key, hook_name
from interp.runs.stand_ins import Reference
from interp.tasks import Task

Rule = Literal["middle", "left", "right"]


def eap_ig_inputs(
    model: HookedGPT2,
    task: Task,
    *,
    metrics: Metrics | None = None,
    ablation: Literal["counterfactual"] = "counterfactual",
    graph: Graph | None = None,
    steps: int = 5,
    rule: Rule = "middle",
    progress: Progress = iter,
) -> EdgeScores:
    """Score all edges by EAP-IG, from corrupted to clean embeddings.

    Args:
        model: the model
        task: clean prompts with corrupted partners
        metrics: differentiable metrics, as in `eap`
        ablation: the path ends in the corrupted run, so only "counterfactual"
        graph: the graph of the model; None to make it
        steps: number of points on the path, one forward and backward pass each
        rule: where in its interval each point lies; see the module
        progress: wraps the batches of prompts, for a progress bar

    Returns:
        The scores of all edges, on every prompt.

    Raises:
        ValueError: another ablation is asked for, there are no steps, the rule is unknown, or as
            for `eap`
    """
    points = _points(steps, rule)
    if ablation != "counterfactual":
        raise ValueError(
            "eap_ig_inputs moves the embedding to that of the corrupted text, which fits "
            f"ablation='counterfactual' alone; got {ablation!r}: use eap_ig_activations"
        )
    weights = Weights(model)

    def score(senders: Senders, readout: Readout, prompts: Prompts) -> dict[str, Tensor]:
        clean, new = (writes(senders, prompts, side) for side in ("clean", "corrupted"))
        changes = Attribution(senders.graph, weights, clean, new)
        ways = [_on_the_way(("embed", 0), clean, new, alpha) for alpha in points]
        return _mean_over(ways, senders, readout, prompts, changes)

    return from_gradients(
        "eap_ig_inputs", "EAP-IG, along the embedding", score, model, task, metrics=metrics,
        ablation=ablation, reference=None, graph=graph, progress=progress, steps=steps, rule=rule,
    )  # fmt: skip


def eap_ig_activations(
    model: HookedGPT2,
    task: Task,
    *,
    metrics: Metrics | None = None,
    ablation: EdgeAblation = "counterfactual",
    reference: Reference = None,
    graph: Graph | None = None,
    steps: int = 5,
    rule: Rule = "middle",
    progress: Progress = iter,
) -> EdgeScores:
    """Score all edges by EAP-IG, along what each part writes.

    Args:
        model: the model
        task: clean prompts with corrupted partners
        metrics: differentiable metrics, as in `eap`
        ablation: what receivers read where an edge is cut, as in `eap`
        reference: prompts for means and resampling, as in `Ablation`
        graph: the graph of the model; None to make it
        steps: number of points on the path of each part, one forward and backward pass each
        rule: where in its interval each point lies; see the module
        progress: wraps the batches of prompts, for a progress bar

    Returns:
        The scores of all edges, on every prompt.

    Raises:
        ValueError: there are no steps, the rule is unknown, or as for `eap`
    """
    points = _points(steps, rule)
    weights = Weights(model)

    def score(senders: Senders, readout: Readout, prompts: Prompts) -> dict[str, Tensor]:
        clean, new = (writes(senders, prompts, side) for side in ("clean", "corrupted"))
        changes = Attribution(senders.graph, weights, clean, new)
        keys = sender_keys(model.config.n_layers)
        ways = [_on_the_way(key, clean, new, alpha) for key in keys for alpha in points]
        return _mean_over(ways, senders, readout, prompts, changes)

    return from_gradients(
        "eap_ig_activations", "EAP-IG, along activations", score, model, task, metrics=metrics,
        ablation=ablation, reference=reference, graph=graph, progress=progress, steps=steps,
        rule=rule,
    )  # fmt: skip


def _points(steps: int, rule: str) -> list[float]:
    """The points of a path, from 0 (the stand-in) to 1 (clean)."""
    if type(steps) is not int or steps < 1:
        raise ValueError(f"steps is a number of points, from 1; got {steps!r}")
    if rule not in get_args(Rule):
        raise ValueError(f"expected a rule among {list(get_args(Rule))}, got {rule!r}")
    shift = {"left": 0.0, "middle": 0.5, "right": 1.0}[rule]
    return [(i + shift) / steps for i in range(steps)]


def _on_the_way(
    key: Key, clean: dict[Key, Tensor], new: dict[Key, Tensor], alpha: float
) -> Callable[[], Hooks]:
    """Hooks that move what a part writes to a point between its stand-in and its clean value."""

    def hooks() -> Hooks:
        change = (alpha - 1) * (clean[key] - new[key])

        def move(now: Tensor, hook: Any) -> Tensor:
            return now + change  # a constant in its place would let no gradient through

        return [(hook_name(*key), move)]

    return hooks


def _mean_over(
    ways: Sequence[Callable[[], Hooks]],
    senders: Senders,
    readout: Readout,
    prompts: Prompts,
    changes: Attribution,
) -> dict[str, Tensor]:
    """The mean over runs of the scores by their gradients."""
    total: dict[str, Tensor] = {}
    for hooks in ways:
        run = GradientRun(senders, prompts, readout, hooks=hooks())
        with torch.no_grad():
            for name, value in scores_of(run, changes).items():
                total[name] = total[name].add_(value) if name in total else value
    return {name: value / len(ways) for name, value in total.items()}
