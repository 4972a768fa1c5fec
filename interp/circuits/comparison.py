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
        circuit: what was found.
        reference: what it should be.

    Returns:
        One row for each class that either has (a head counts once, whatever its role), then "any
        class" (heads alone), "positions" (heads with their roles), "MLPs" (with their roles, if
        either has any), "connections" (between classes, each input apart; those of the papers where
        a circuit has no links) and, if both have links, "links" (between members). Columns `part`,
        `reference`, `found`, `shared` (counts), `precision`, `recall` (fractions; NaN where there
        is nothing to divide by).

    Raises:
        ValueError: the two are of different models, of other weights, or of other tasks, as far as
            both say what they are of.

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
    """Refuse circuits that do not answer the same question.

    Args:
        circuit: one circuit.
        reference: the other one.

    Raises:
        ValueError: they are of different models, or weights or tasks that both know differ.
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
    """The connections between classes, each input apart."""
    return {
        (one.sender, one.receiver, letter)
        for one in connections_of(circuit)
        for letter in one.inputs or " "
    }
