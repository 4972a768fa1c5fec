"""Circuits of edges of all sizes: how much of a task the best edges do, as more are taken.

With f(k) the faithfulness (`interp.circuits.edge_evaluation`) of the circuit that has the fraction
k of all edges,

    CPR   integral of f(k) dk          of circuits ranked by signed score: higher is better
    CMD   integral of |1 - f(k)| dk    of circuits ranked by magnitude: 0 is best

by the trapezoidal rule over MIB's fractions (`FRACTIONS`), from the first to the last. Edges that
are on no path from the input to the logits are dropped from a circuit before it runs; k counts what
was taken, as MIB does, and `edges` in the result what was left.

Source: Mueller et al. 2025 (MIB, arXiv 2504.13151), section 3.
"""

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float

from interp.circuits.edge_evaluation import ENDS, edge_faithfulness, values_of
from interp.circuits.edge_scores import EdgeScores
from interp.circuits.edge_selection import By, greedy_edges, top_edges
from interp.metrics import Metrics
from interp.model import HookedGPT2
from interp.runs.edge_senders import EdgeAblation
from interp.runs.sides import Progress
from interp.runs.stand_ins import Reference
from interp.statistics import Estimate, interval
from interp.tasks import Task

FRACTIONS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""MIB's fractions of edges."""

Height = Callable[[np.ndarray], np.ndarray]
"""What the area is under, from the faithfulness."""


def edge_curve(
    model: HookedGPT2,
    task: Task,
    scores: EdgeScores,
    *,
    by: By = "signed",
    greedy: bool = False,
    ranked_in: str | None = None,
    fractions: Sequence[float] = FRACTIONS,
    metrics: Metrics | None = None,
    ablation: EdgeAblation = "counterfactual",
    reference: Reference = None,
    progress: Progress = iter,
) -> xr.Dataset:
    """Measure circuits of growing size.

    Args:
        model: the model
        task: prompts other than those that the scores were measured on
        scores: scores of edges
        by: the ranking: "signed" for CPR, "magnitude" for CMD
        greedy: whether edges are taken from the logits upward
        ranked_in: metric of the scores; None for the first
        fractions: fractions of all edges, growing, each above 0 and at most 1
        metrics: as in `edge_faithfulness`
        ablation: as in `edge_faithfulness`
        reference: as in `edge_faithfulness`
        progress: wraps the batches of prompts, for a progress bar

    Returns:
        As `edge_faithfulness`, one run for each fraction, named by it, with the coordinate
        `fraction` (1 for "full", 0 for "none").

    Raises:
        ValueError: the fractions are out of range or order, or as for `edge_faithfulness`
    """
    given = list(fractions)
    if not given or sorted(set(given)) != given or not 0 < given[0] <= given[-1] <= 1:
        raise ValueError(f"fractions grow, from above 0 to at most 1; got {given}")
    choose = greedy_edges if greedy else top_edges
    circuits = {
        f"{fraction:g}": choose(
            scores, int(fraction * scores.graph.n_edges), by=by, metric=ranked_in
        )
        for fraction in given
    }
    found = edge_faithfulness(
        model, task, circuits, metrics=metrics, ablation=ablation, reference=reference,
        progress=progress,
    )  # fmt: skip
    for array in found.data_vars.values():
        array.attrs["ranking"] = by
    return found.assign_coords(fraction=("run", [1.0, 0.0, *given]))


def cpr(curve: xr.Dataset, metric: str | None = None) -> Estimate:
    """The area under the faithfulness of circuits of growing size.

    Args:
        curve: what `edge_curve` returns, ranked by signed score
        metric: one of its metrics; None for the first

    Returns:
        CPR with its 95 % interval over prompts; about 1 for circuits that do what the model does,
        and more for ones that do better.

    Raises:
        ValueError: the curve is ranked by magnitude, has fewer than two fractions, or is none
    """
    return _area(curve, metric, "signed", lambda f: f)


def cmd(curve: xr.Dataset, metric: str | None = None) -> Estimate:
    """The area between the faithfulness of circuits of growing size and 1.

    Args:
        curve: what `edge_curve` returns, ranked by magnitude
        metric: one of its metrics; None for the first

    Returns:
        CMD with its 95 % interval over prompts; 0 for circuits that do just what the model does.

    Raises:
        ValueError: the curve is ranked by signed score, has fewer than two fractions, or is none
    """
    return _area(curve, metric, "magnitude", lambda f: np.abs(1 - f))


def _area(curve: xr.Dataset, metric: str | None, by: str, height: Height) -> Estimate:
    """The area under a function of the faithfulness, from the first fraction to the last."""
    values = values_of(curve, metric)
    if "fraction" not in values.coords or values.attrs.get("ranking") != by:
        raise ValueError(
            f"expected a result of edge_curve ranked by='{by}'; got the ranking "
            f"{values.attrs.get('ranking')!r}"
        )
    at = values["fraction"].values[len(ENDS) :]
    if len(at) < 2:
        raise ValueError("an area needs at least two fractions")
    steps = np.diff(at)
    weights = (np.append(steps, 0) + np.append(0, steps)) / 2

    def area(full: np.ndarray, none: np.ndarray, *runs: np.ndarray) -> Float[np.ndarray, "..."]:
        whole = full.mean(-1) - none.mean(-1)
        parts = [
            weight * height((run.mean(-1) - none.mean(-1)) / whole)
            for weight, run in zip(weights, runs, strict=True)
        ]
        return np.sum(parts, axis=0)

    groups = None if "group" not in values.coords else list(map(str, values["group"].values))
    samples = values.transpose("run", "prompt").values.astype(np.float64)
    return Estimate(*map(float, interval(area, *samples, groups=groups)))
