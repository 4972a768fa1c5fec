"""Does a circuit of edges do the task alone?

    faithfulness   (m(C) - m(none)) / (m(M) - m(none))

with m the mean of a metric over prompts, C the circuit, M the whole model, and none the model with
every edge cut: 1 if the circuit does what the model does, 0 if it does no better than no edges.
Edges that are on no path from the input to the logits are dropped before a circuit runs.

Source: Hanna et al. 2024 (arXiv 2403.17806), section 2, for the normalized faithfulness.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import xarray as xr

from interp.circuits.edge_circuit import EdgeCircuit
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
from interp.statistics import interval
from interp.tasks import Task

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
    values = values_of(result, metric)
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
    values = values_of(result, metric)
    none = values.sel(run="none", drop=True)
    whole = values.sel(run="full", drop=True) - none
    return ((values - none) / whole).assign_attrs(
        {**values.attrs, "title": "Faithfulness by prompt", "unit": "fraction"}
    )


def values_of(result: xr.Dataset, metric: str | None) -> xr.DataArray:
    """One metric of a result.

    Args:
        result: what `edge_faithfulness` or `edge_curve` returns
        metric: its name; None for the first

    Returns:
        The values, dims run, prompt.

    Raises:
        ValueError: the result lacks the metric, or is of another kind
    """
    name = str(next(iter(result.data_vars))) if metric is None else metric
    if name not in result or not set(ENDS) <= set(
        result.coords.get("run", xr.DataArray([])).values
    ):
        raise ValueError(
            f"expected a result of edge_faithfulness with the metric {name!r}; it has "
            f"{list(result.data_vars)}"
        )
    return result[name]
