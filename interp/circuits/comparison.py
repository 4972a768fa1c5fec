"""How well one circuit agrees with another: precision and recall, class by class.

precision   the fraction of what the circuit has that the reference has too
recall      the fraction of what the reference has that the circuit has too
"""

from collections.abc import Hashable, Iterable

import pandas as pd

from interp.circuits.circuit import Circuit
from interp.circuits.classes import CLASSES
from interp.circuits.published.connections import connections_of


def compare(circuit: Circuit, reference: Circuit) -> pd.DataFrame:
    """Compare a circuit with a reference.

    Args:
        circuit: what was found
        reference: what it should be

    Returns:
        One row for each class that either circuit has (a head counts once, whatever its role), then
        "any class" (heads alone), "positions" (heads with their roles), "MLPs" (with their roles,
        if either circuit has any), "connections" (between classes, each input separately; the
        papers' connections if a circuit has no links) and, if both have links, "links" (between
        members). The columns are `part`, `reference`, `found`, `shared` (counts), `precision` and
        `recall` (fractions; NaN where the denominator is 0).

    Raises:
        ValueError: the two have different models, weights or tasks, as far as both are known

    Example:
        >>> from interp.circuits import published_circuit
        >>> paper = published_circuit("ioi", "gpt2")
        >>> int(compare(paper, paper).set_index("part").loc["any class", "shared"])
        26
    """
    require_comparable(circuit, reference)
    parts: dict[str, tuple[set[Hashable], set[Hashable]]] = {}

    def add(part: str, ours: Iterable[Hashable], theirs: Iterable[Hashable]) -> None:
        parts[part] = set(ours), set(theirs)

    for kind in CLASSES:
        ours, theirs = ([m.part for m in one.heads_of(kind)] for one in (circuit, reference))
        if ours or theirs:
            add(kind, ours, theirs)
    add("any class", (m.part for m in circuit.heads), (m.part for m in reference.heads))
    add("positions", (m.node for m in circuit.heads), (m.node for m in reference.heads))
    if circuit.mlps or reference.mlps:
        add("MLPs", (m.node for m in circuit.mlps), (m.node for m in reference.mlps))
    add("connections", _inputs(circuit), _inputs(reference))
    if circuit.links and reference.links:
        add("links", (x.edge for x in circuit.links), (x.edge for x in reference.links))
    return pd.DataFrame(
        [
            {
                "part": part,
                "reference": len(theirs),
                "found": len(ours),
                "shared": len(ours & theirs),
                "precision": len(ours & theirs) / len(ours) if ours else float("nan"),
                "recall": len(ours & theirs) / len(theirs) if theirs else float("nan"),
            }
            for part, (ours, theirs) in parts.items()
        ]
    )


def require_comparable(circuit: Circuit, reference: Circuit) -> None:
    """Refuse two circuits that do not answer the same question.

    Args:
        circuit: one circuit
        reference: the other one

    Raises:
        ValueError: the models differ, or weights or tasks that are known for both differ
    """
    for name, what in (("model", "model"), ("weights", "weights"), ("task", "task")):
        ours, theirs = getattr(circuit, name), getattr(reference, name)
        known = name == "model" or (ours and theirs)
        if known and ours != theirs:
            raise ValueError(
                f"the circuit is of the {what} {ours!r} and the reference of {theirs!r}; compare "
                "circuits of one model and one task (circuit.for_model(model) carries one over to "
                "another model on purpose)"
            )


def _inputs(circuit: Circuit) -> set[Hashable]:
    """The connections between classes, each input separately."""
    return {
        (one.sender, one.receiver, letter)
        for one in connections_of(circuit)
        for letter in one.inputs or " "
    }
