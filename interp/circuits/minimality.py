"""Is every node of the circuit needed? What each one adds when others are knocked out.

Nodes stand in for each other, so knocking out one alone may change nothing. A node v counts as
needed if there is a set K of other nodes for which

    | F(C without K) - F(C without (K and v)) |   is large compared with F(M).

By default K is the rest of v's class. The paper has two other rules: for heads with an order of
importance (its name movers and their backups), K is the heads before v in that order; for a few
heads, K is made of the classes that the paper names. Its constants are `IOI_IMPORTANCE` and
`IOI_EXCEPTIONS` in `interp.circuits.published`.

Source: Wang et al. 2022 (arXiv 2211.00593), section 4.2, appendix K and the authors' code.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr

from interp.circuits.circuit import Circuit
from interp.circuits.classes import CLASSES
from interp.circuits.evaluation import joined, only, without
from interp.circuits.members import Member
from interp.circuits.nodes import Sets, nodes_of_sets
from interp.metrics import Metrics
from interp.model import HookedGPT2
from interp.parts import Node, as_head, as_heads, as_node
from interp.runs.question import question
from interp.runs.sides import Progress
from interp.runs.stand_ins import Reference, Value
from interp.tasks import Task


def minimality_sets(
    circuit: Circuit,
    *,
    importance: Sequence[Any] = (),
    exceptions: Mapping[Any, Sequence[str]] | None = None,
) -> dict[str, tuple[Member, ...]]:
    """Make the set K of every head of a circuit.

    Args:
        circuit: the circuit
        importance: heads whose K is the heads before them in this order, the most important first,
            such as [(9, 9), "10.0"]; heads that the circuit lacks are ignored
        exceptions: head -> the classes whose nodes make up its K; takes precedence over
            `importance`

    Returns:
        Name of each node, such as "9.6@END" -> K, which does not contain the node itself.

    Raises:
        ValueError: a head is named twice, or a class is unknown

    Example:
        >>> from interp.circuits import published_circuit
        >>> paper = published_circuit("ioi", "gpt2")
        >>> sets = minimality_sets(paper, importance=["9.9", "10.0", "9.6"])
        >>> [str(member) for member in sets["9.6@END"]]
        ['9.9@END', '10.0@END']
    """
    rank = {head: i for i, head in enumerate(as_heads(importance))}
    classes = {as_head(head): tuple(kinds) for head, kinds in (exceptions or {}).items()}
    for head, kinds in classes.items():
        unknown = [kind for kind in kinds if kind not in CLASSES]
        if unknown:
            raise ValueError(
                f"the exception for {head} names the unknown class {unknown[0]!r}; expected some "
                f"of {', '.join(CLASSES)}"
            )
    found = {}
    ranks = {one: rank[as_head(one.part)] for one in circuit.heads if one.part in rank}
    for one in circuit.heads:
        if one.part in classes:
            others = [m for m in circuit.heads if m.kind in classes[as_head(one.part)]]
        elif one in ranks:
            others = sorted((m for m in ranks if ranks[m] < ranks[one]), key=lambda m: ranks[m])
        else:
            others = list(circuit.heads_of(one.kind))
        found[str(one)] = tuple(m for m in others if m != one)
    return found


def minimality(
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
    """Measure what every node adds to the circuit when its K is knocked out.

    Args:
        model: the circuit's model
        task: clean prompts
        circuit: the circuit
        sets: node -> K, as `minimality_sets` returns them
        metrics: as in `faithfulness`
        value: what stands in for ablated heads, as in `completeness`
        positions: roles or indices where heads outside the circuit are ablated
        reference: prompts whose corrupted texts stand in, as in `Ablation`; by default a sample of
            the task's kind
        progress: wraps the steps, for a progress bar

    Returns:
        One variable for each metric, dims run, node, prompt: F(C without K) at run "with_node" and
        F(C without K and the node) at "without_node", before the mean over prompts. `gap` returns
        their difference.

    Raises:
        ValueError: a set belongs to no node of the circuit, K contains its own node, or as for
            `completeness`
    """
    kept = nodes_of_sets(circuit, sets)
    nodes = {name: as_node(name) for name in kept}
    for name, node in nodes.items():
        if node not in circuit.nodes:
            raise ValueError(
                f"the circuit has no node {name!r}; it has {', '.join(map(str, circuit.nodes))}"
            )
        if node in kept[name]:
            raise ValueError(f"the set K of {name} contains {name} itself; leave it out")
    both: dict[str, list[Node]] = {f"{name} in": K for name, K in kept.items()}
    both |= {f"{name} out": [*K, nodes[name]] for name, K in kept.items()}
    found = without(
        model, task, circuit, both, metrics=metrics, value=value, positions=positions,
        reference=reference, progress=progress,
    )  # fmt: skip
    runs = {
        run: found.sel(set=[f"{name} {side}" for name in kept])
        .rename(set="node")
        .assign_coords(node=list(map(str, nodes.values())))
        for run, side in (("with_node", "in"), ("without_node", "out"))
    }
    left = only(model, circuit, value=value, positions=positions, reference=reference)
    named = {name: " ".join(map(str, K)) for name, K in kept.items()}
    asked = question("minimality", task=task, ablation=left, sets=named)
    return joined(runs, "Circuit without K, with and without the node", asked)
