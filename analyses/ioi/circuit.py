"""Find the circuit for the IOI analysis, if none is given."""

from dataclasses import replace

import xarray as xr

import interp
from analyses.common.shell import bar
from analyses.ioi.parts.derivation import (
    METRICS,
    derivation_of,
    derived,
    results_of,
    selection_prompts,
)
from analyses.ioi.parts.setting import Results
from interp.circuits import Circuit, does_the_task, only, prune_heads, published_circuit
from interp.execution import Store
from interp.tasks import Task

PRUNED_BY = (*METRICS, "probability")
"""The metrics by which heads are pruned; a head that matters to any of them is kept."""


def find_circuit(
    model: interp.HookedGPT2, task: Task, *, threshold: float
) -> tuple[Circuit, Results | None]:
    """The paper's circuit for its model; for any other model, a derived circuit.

    If the derived circuit does not do the task alone (`interp.circuits.does_the_task`), then heads
    step in for each other in ways that no single path shows, or tokens without a role take part. In
    that case the heads come from pruning, on the same prompts, and the derivation measures their
    links.

    Args:
        model: the model
        task: IOI prompts with ABC partners
        threshold: smallest effect of a head, as a fraction of the mean logit difference

    Returns:
        The circuit, and its derivation (None for the paper's circuit).
    """
    if model.name == "gpt2":
        return published_circuit("ioi", "gpt2"), None
    found = derived(model, task, smallest=threshold)
    if does_the_task(found["alone"]).answer == "yes":
        return derivation_of(found).circuit, found
    some = selection_prompts(task)
    keep = prune_heads(model, some, metrics=PRUNED_BY, threshold=threshold, progress=bar("circuit"))
    left = only(model, keep)
    evidence = derivation_of(derived(model, task, smallest=threshold, nodes=keep, ablation=left))
    source = (
        f"heads pruned from the last layer to the first on {len(some)} prompts, threshold "
        f"{threshold:.1%} of the mean {' or '.join(PRUNED_BY)}, since the circuit that was derived "
        "does not do the task alone; links and classes by path patching in what is left"
    )
    evidence = replace(evidence, circuit=replace(evidence.circuit, source=source))
    return evidence.circuit, results_of(model, task, evidence, len(some))


def kept_circuit(
    store: Store, model: interp.HookedGPT2, task: Task, *, threshold: float
) -> tuple[Circuit, Results | None]:
    """The same, or the circuit kept by an earlier run that asked the same question.

    Args:
        store: the kept results of the run
        model: as in `find_circuit`
        task: the prompts
        threshold: as in `find_circuit`

    Returns:
        The circuit and its derivation.
    """

    def find() -> Results:
        circuit, found = find_circuit(model, task, threshold=threshold)
        return {"circuit": xr.Dataset(attrs={"json": circuit.to_json()}), **(found or {})}

    found = dict(store.get("circuit", find, version=5, threshold=threshold))
    circuit = Circuit.from_json(found.pop("circuit").attrs["json"])
    return circuit, found or None
