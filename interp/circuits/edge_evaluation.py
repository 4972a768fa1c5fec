"""Does a circuit of edges do the task alone? One circuit, or circuits of all sizes.

    faithfulness   (m(C) - m(none)) / (m(M) - m(none))

with m the mean of a metric over prompts, C the circuit, M the whole model, and none the model with
every edge cut: 1 if the circuit does what the model does, 0 if it does no better than no edges.
Over circuits of growing size, with the fraction k of the edges that are taken,

    CPR   integral of f(k) dk          of circuits ranked by signed score: higher is better
    CMD   integral of |1 - f(k)| dk    of circuits ranked by magnitude: 0 is best

by the trapezoidal rule over MIB's fractions (`FRACTIONS`), from the first to the last. Edges that
are on no path from the input to the logits are dropped from a circuit before it runs; k counts what
was taken, as MIB does, and `edges` in the result what was left.

Source: Mueller et al. 2025 (MIB, arXiv 2504.13151), section 3; Hanna et al. 2024 (arXiv 2403.17806)
for the normalized faithfulness.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float

from interp.circuits.edge_circuit import EdgeCircuit
from interp.circuits.edge_scores import EdgeScores
from interp.circuits.edge_selection import By, greedy_edges, top_edges
from interp.metrics import METRICS, Metrics
from interp.model import HookedGPT2
from interp.patching import measure
from interp.results import labeled
from interp.runs.edge_senders import EdgeAblation, ablated_senders, reference_of
from interp.runs.edges import run_circuits
from interp.runs.graph import Graph
from interp.runs.question import question
from interp.runs.readout import Readout
from interp.runs.sides import Progress, ready_task
from interp.runs.stand_ins import Reference
from interp.statistics import Estimate, interval
from interp.tasks import Task

FRACTIONS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""MIB's fractions of edges."""

ENDS = ("full", "none")
"""The runs that every result has: the whole model, and all edges cut."""


@torch.inference_mode()
def edge_faithfulness(
    model: HookedGPT2,
    task: Task,
    circuits: EdgeCircuit | Mapping[str, EdgeCircuit],
    *,
    metrics: Metrics | None = None,
    ablation: EdgeAblation = "counterfactual",
    reference: Reference = None,
    progress: Progress = iter,
) -> xr.Dataset:
    """Measure the whole model, no edges, and circuits of edges alone, on every prompt.

    Args:
        model: the model
        task: clean prompts, with corrupted partners for the counterfactual
        circuits: a circuit, or several by name
        metrics: any metrics, as in `patch`; None for the task's own
        ablation: what receivers read along edges that are not in the circuit: "counterfactual",
            "zero", "mean", "group mean" or "resample"; see `interp.runs.edge_senders`
        reference: prompts for means and resampling, as in `Ablation`
        progress: wraps the batches of prompts, for a progress bar

    Returns:
        One variable for each metric, dims run, prompt; the runs are "full", "none", and the names
        of the circuits ("circuit" for one alone). The coordinate `edges` has their numbers of
        edges, without those that are on no path from the input to the logits.

    Raises:
        ValueError: there are no circuits, one is of another graph or has a name that is taken, the
            ablation is unknown or does not fit the reference, the texts of a pair do not have their
            roles at the same positions for the counterfactual, or as for `patch`
    """
    task = ready_task(model, task, "edge_faithfulness")
    named = {"circuit": circuits} if isinstance(circuits, EdgeCircuit) else dict(circuits)
    graph = Graph.of(model)
    if not named or any(name in ENDS for name in named):
        raise ValueError(
            f"circuits are given by names other than {ENDS[0]!r} and {ENDS[1]!r}; got {list(named)}"
        )
    for name, circuit in named.items():
        if circuit.graph != graph:
            raise ValueError(f"circuit {name!r} is of {circuit.graph}, and the model of {graph}")
    readout = Readout(model, task, metrics)
    senders = ablated_senders(model, task, graph, ablation, reference)
    connected = [circuit.pruned() for circuit in named.values()]
    masks = np.stack([np.zeros_like(graph.exists), *(one.matrix for one in connected)])
    found = run_circuits(senders, readout, masks, progress=progress)
    full = measure(model, task, metrics)
    asked: dict[str, Any] = question(
        "edge_faithfulness", task=task, reference=reference_of(task, ablation, reference)
    )
    asked |= {"site": "edges", "ablation": ablation}
    edges = [graph.n_edges, 0, *map(len, connected)]
    return xr.Dataset(
        {
            name: labeled(
                torch.cat([torch.from_numpy(full[name].values)[None], values.cpu()]),
                ("run", "prompt"),
                name=name,
                title="Whole model, no edges, and circuits of edges alone",
                unit=METRICS.get(name, ""),
                model=model,
                task=task,
                coords={"run": [*ENDS, *named], "edges": ("run", edges)},
                question={**asked, "metric": name},
            )
            for name, values in found.items()
        }
    )


def normalized_faithfulness(
    result: xr.Dataset, metric: str | None = None, *, level: float = 0.95
) -> xr.Dataset:
    """The faithfulness of each circuit, as a ratio of means over prompts.

    Args:
        result: what `edge_faithfulness` or `edge_curve` returns
        metric: one of its metrics; None for the first
        level: probability that each interval should cover, a fraction

    Returns:
        `mean`, `low` and `high`, fractions, dim run.

    Raises:
        ValueError: the result lacks the metric, or is of another kind
    """
    values = _values(result, metric)
    none = values.sel(run="none")
    part, whole = values - none, (values.sel(run="full") - none).broadcast_like(values)
    groups = None if "group" not in values.coords else list(map(str, values["group"].values))
    ends = interval(
        "ratio",
        part.transpose("run", "prompt").values,
        whole.transpose("run", "prompt").values,
        groups=groups,
        level=level,
    )
    runs = {name: values[name] for name in ("run", "edges", "fraction") if name in values.coords}
    return xr.Dataset(
        {name: ("run", one) for name, one in zip(("mean", "low", "high"), ends, strict=True)},
        coords=runs,
        attrs={**values.attrs, "title": "Normalized faithfulness", "unit": "fraction"},
    )


def faithfulness_by_prompt(result: xr.Dataset, metric: str | None = None) -> xr.DataArray:
    """The faithfulness of each circuit on each prompt; its mean is the mean of ratios.

    Args:
        result: what `edge_faithfulness` or `edge_curve` returns
        metric: one of its metrics; None for the first

    Returns:
        Fractions, dims run, prompt; infinite or NaN where the whole model and no edges are alike. A
        few prompts where they are nearly alike can dominate a mean.

    Raises:
        ValueError: as for `normalized_faithfulness`
    """
    values = _values(result, metric)
    none = values.sel(run="none", drop=True)
    whole = values.sel(run="full", drop=True) - none
    return ((values - none) / whole).assign_attrs(
        {**values.attrs, "title": "Faithfulness by prompt", "unit": "fraction"}
    )


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


def random_circuits(
    graph: Graph, n_edges: int, n: int = 10, *, connected: bool = True, seed: int = 0
) -> dict[str, EdgeCircuit]:
    """Draw circuits of equal size, to compare a circuit with chance.

    Args:
        graph: the graph
        n_edges: number of edges of each
        n: number of circuits
        connected: whether edges are drawn from the logits upward, each into a part that is already
            there, so that all lead to the logits; otherwise from all edges alike, of which hardly
            any are connected in a small circuit
        seed: seed of the draws

    Returns:
        "random 1", ... -> the circuit.

    Raises:
        ValueError: there are fewer edges, or `n` is negative
    """
    if n < 0:
        raise ValueError(f"n is a number of circuits, from 0; got {n}")
    rng = np.random.default_rng(seed)
    choose = greedy_edges if connected else top_edges
    found = {}
    for i in range(n):
        matrix = np.full(graph.exists.shape, np.nan)
        matrix[graph.sender, graph.receiver] = rng.random(graph.n_edges)
        names = {"sender": list(graph.sender_names), "receiver": list(graph.receiver_names)}
        array = xr.DataArray(matrix, dims=list(names), coords=names)
        scores = EdgeScores(graph, xr.Dataset({"chance": array}))
        found[f"random {i + 1}"] = choose(scores, n_edges)
    return found


def _values(result: xr.Dataset, metric: str | None) -> xr.DataArray:
    """One metric of a result, checked."""
    name = str(next(iter(result.data_vars))) if metric is None else metric
    if name not in result or not set(ENDS) <= set(
        result.coords.get("run", xr.DataArray([])).values
    ):
        raise ValueError(
            f"expected a result of edge_faithfulness with the metric {name!r}; it has "
            f"{list(result.data_vars)}"
        )
    return result[name]


def _area(curve: xr.Dataset, metric: str | None, by: str, height: Any) -> Estimate:
    """The area under a function of the faithfulness, from the first fraction to the last."""
    values = _values(curve, metric)
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
