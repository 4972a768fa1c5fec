"""Does the circuit do the task alone, and does it break as the model does? By mean ablation.

F(M) is the mean of a metric over runs of the whole model, F(C) its mean over runs in which every
head output outside the circuit is set to its mean. A circuit is faithful if F(C) is near F(M), and
complete if this still holds after any nodes K of the circuit are knocked out of both:

    incompleteness   | F(C without K) - F(M without K) |

The divergence (`kl_divergence`) is always taken from the whole model's clean run.

Source: Wang et al. 2022 (arXiv 2211.00593), section 4; ablation as in section 2.1. As in the
authors' code, K is knocked out of the model at the roles where the circuit has it, not at all
positions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from interp.circuits.blocks import reference_blocks, require_blocks
from interp.circuits.circuit import Circuit
from interp.circuits.members import Member
from interp.circuits.nodes import Sets, node_list, nodes_of_sets
from interp.metrics import Metrics
from interp.model import HookedGPT2
from interp.parts import Head, Node, NodeLike, require_in_model
from interp.patching import Ablation, ablate, measure
from interp.results import Question
from interp.runs.question import question
from interp.runs.sides import Progress
from interp.runs.stand_ins import Reference, Value
from interp.tasks import Task
from interp.tasks.sampler import BLOCKS

RUNS = ("full", "circuit")
"""The whole model, and the circuit alone."""


def faithfulness(
    model: HookedGPT2,
    task: Task,
    circuit: Circuit,
    *,
    metrics: Metrics | None = None,
    value: Value = "group mean",
    positions: Sequence[str | int] | None = None,
    reference: Reference = None,
    blocks: int = BLOCKS,
    progress: Progress = iter,
) -> xr.Dataset:
    """Measure the whole model, and the circuit alone, on every prompt.

    Args:
        model: the circuit's model
        task: clean prompts
        circuit: the circuit
        metrics: the metrics, as in `patch`; by default the task's own metric
        value: what stands in for the heads outside the circuit, as in `Ablation`
        positions: roles or indices at which heads are ablated; by default everywhere. A model that
            does the task through tokens without a role fails when these are ablated, whatever the
            circuit is.
        reference: prompts whose corrupted texts stand in, as in `Ablation`; by default a sample of
            the task's kind
        blocks: parts of the reference that are left out in turn, so that intervals can carry its
            noise too (`interp.circuits.fraction_kept`); 0 for none
        progress: wraps the batches of each of the two runs, for a progress bar

    Returns:
        One variable for each metric, dims run ("full", "circuit"), prompt. F(M) and F(C) are the
        means over prompts. MLPs, layer norms and embeddings are left alone. The coordinate
        `without_block`, dims metric, block, has F(C) with each part of the reference left out.

    Raises:
        ValueError: the circuit belongs to another model, or the task lacks one of its roles
    """
    require_blocks(blocks)
    left = only(model, circuit, value=value, positions=positions, reference=reference)
    left.require(model, task.right_padded())
    runs = {
        "full": measure(model, task, metrics, progress=progress),
        "circuit": measure(model, task, metrics, ablation=left, progress=progress),
    }
    asked = question("faithfulness", task=task, ablation=left)
    found = joined(runs, "Whole model, and circuit alone", asked)
    again = [
        measure(model, task, metrics, ablation=replace(left, reference=some)).mean("prompt")
        for some in reference_blocks(task, value, reference, blocks)
    ]
    values = [[float(one[name]) for one in again] for name in found]
    return found.assign_coords(
        metric=list(found),
        without_block=(("metric", "block"), np.reshape(values, (len(found), -1))),
    )


def completeness(
    model: HookedGPT2,
    task: Task,
    circuit: Circuit,
    sets: Sets,
    *,
    metrics: Metrics | None = None,
    value: Value = "group mean",
    positions: Sequence[str | int] | None = None,
    reference: Reference = None,
    progress: Progress = iter,
) -> xr.Dataset:
    """Measure the whole model and the circuit with the same nodes knocked out of both.

    Args:
        model: the circuit's model
        task: clean prompts
        circuit: the circuit
        sets: name -> the set K, nodes of the circuit; an empty set gives F(M) and F(C)
        metrics: as in `faithfulness`
        value: what stands in for the nodes of K and the heads outside the circuit
        positions: roles or indices where heads outside the circuit are ablated
        reference: prompts whose corrupted texts stand in, as in `Ablation`; by default a sample of
            the task's kind
        progress: wraps the steps of each of the two runs, for a progress bar

    Returns:
        One variable for each metric, dims run, set, prompt: F(M without K) at run "full" and F(C
        without K) at "circuit", before the mean over prompts. `gap` returns their difference.

    Raises:
        ValueError: there are no sets, the circuit lacks a node of a set, or as for `faithfulness`
    """
    left = only(model, circuit, value=value, positions=positions, reference=reference)
    nodes = nodes_of_sets(circuit, sets)
    runs = {
        run: _knocked_out(
            model, task, nodes, metrics, value, reference, left if run == "circuit" else None,
            progress,
        )
        for run in RUNS
    }  # fmt: skip
    sets = {name: " ".join(map(str, some)) for name, some in nodes.items()}
    asked = question("completeness", task=task, ablation=left, sets=sets)
    return joined(runs, "Whole model and circuit, both without K", asked)


def without(
    model: HookedGPT2,
    task: Task,
    circuit: Circuit,
    nodes: Mapping[str, Sequence[Node]],
    *,
    metrics: Metrics | None,
    value: Value,
    positions: Sequence[str | int] | None,
    reference: Reference,
    progress: Progress,
) -> xr.Dataset:
    """F(C without K), dims set, prompt; the arguments are those of `completeness`."""
    left = only(model, circuit, value=value, positions=positions, reference=reference)
    return _knocked_out(model, task, nodes, metrics, value, reference, left, progress)


def gap(result: xr.Dataset, metric: str | None = None) -> xr.DataArray:
    """The difference between the two runs of a result.

    Args:
        result: what `faithfulness`, `completeness` or `minimality` return
        metric: one of its metrics; by default the first

    Returns:
        The second run minus the first: F(C) - F(M) for `faithfulness`; F(C without K) - F(M without
        K) for `completeness`, of which the absolute mean over prompts is the paper's incompleteness
        score; and F(C without K and v) - F(C without K) for `minimality`.

    Raises:
        ValueError: the result does not have two runs, or lacks the metric
    """
    if "run" not in result.dims or result.sizes["run"] != 2:
        raise ValueError(
            "expected a result with two runs, as faithfulness, completeness and minimality return "
            f"it; got the dims {list(map(str, result.dims))}"
        )
    name = str(next(iter(result.data_vars))) if metric is None else metric
    if name not in result:
        raise ValueError(f"the result has no metric {name!r}; it has {list(result.data_vars)}")
    values, (first, second) = result[name], map(str, result["run"].values)
    change = values.sel(run=second, drop=True) - values.sel(run=first, drop=True)
    title = f"{name}: {second} less {first}"
    return change.rename("gap").assign_attrs(values.attrs | {"title": title})


def only(
    model: HookedGPT2,
    circuit: Circuit | Sequence[Member | NodeLike],
    *,
    value: Value = "group mean",
    positions: Sequence[str | int] | None = None,
    reference: Reference = None,
) -> Ablation:
    """Ablate all heads except those of a circuit at their roles.

    Args:
        model: the circuit's model
        circuit: the circuit to keep, or its nodes, such as "9.6@END"
        value: what stands in for the other heads, as in `Ablation`
        positions: roles or indices where heads are ablated; by default everywhere
        reference: prompts whose corrupted texts stand in, as in `Ablation`; by default a sample of
            the task's kind

    Returns:
        The ablation.

    Raises:
        ValueError: the circuit belongs to another model, or the model lacks one of the nodes
    """
    if isinstance(circuit, Circuit):
        circuit.require_model(model)
        nodes = list(circuit.nodes)
    else:
        nodes = node_list(circuit)
        require_in_model(model, [node.part for node in nodes])
    keep = [node for node in nodes if isinstance(node.part, Head)]
    return Ablation("heads", keep=keep, value=value, positions=positions, reference=reference)


def joined(runs: Mapping[str, xr.Dataset], title: str, asked: Mapping[str, object]) -> xr.Dataset:
    """Put runs side by side.

    Args:
        runs: the metrics of each run, by its name
        title: one line that says what is measured
        asked: fields of the question that all runs answer

    Returns:
        One variable for each metric, with the dim `run`.
    """
    names = xr.IndexVariable("run", list(runs))
    found = xr.concat(list(runs.values()), dim=names, combine_attrs="override")
    shared = ("model", "model_fingerprint", "task", "prompts", "versions")

    def attrs(name: str, array: xr.DataArray) -> dict[str, object]:
        kept = {key: array.attrs[key] for key in shared if key in array.attrs}
        own = Question.make(**{**asked, "metric": name}).attrs()
        return {"title": title, "unit": array.attrs["unit"], **kept, **own}

    for name, array in found.items():
        array.attrs = attrs(str(name), array)
    return found


def _knocked_out(
    model: HookedGPT2,
    task: Task,
    nodes: Mapping[str, Sequence[Node]],
    metrics: Metrics | None,
    value: Value,
    reference: Reference,
    left: Ablation | None,
    progress: Progress,
) -> xr.Dataset:
    """Metrics without each set, dims set, prompt."""
    found = ablate(
        model, task, nodes, value=value, reference=reference, metrics=metrics, ablation=left,
        progress=progress,
    )  # fmt: skip
    return found[[name for name in found if "set" in found[name].dims]]
