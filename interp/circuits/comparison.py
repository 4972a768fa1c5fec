"""How well one circuit agrees with another: precision and recall, class by class.

precision   of what the circuit has, the fraction that the reference has
recall      of what the reference has, the fraction that the circuit has
"""

from collections.abc import Hashable

import pandas as pd

from interp.circuits.circuit import KINDS, Circuit


def compare(circuit: Circuit, reference: Circuit) -> pd.DataFrame:
    """Compare a circuit with a reference.

    Args:
        circuit: what was found.
        reference: what it should be.

    Returns:
        One row for each class that either has (a head counts once, whatever its position), then
        "any class" (heads alone), "positions" (heads with position), "connections" (between
        classes, each input apart) and, if both have links, "links" (between heads). Columns `part`,
        `reference`, `found`, `shared` (counts), `precision`, `recall` (fractions; NaN of nothing).

    Example:
        >>> from interp.circuits import published
        >>> paper = published("ioi", "gpt2")
        >>> int(compare(paper, paper).set_index("part").loc["any class", "shared"])
        26
    """
    parts: dict[str, tuple[set[Hashable], set[Hashable]]] = {}
    for kind in KINDS:
        ours, theirs = ({h.label for h in one.heads_of(kind)} for one in (circuit, reference))
        if ours or theirs:
            parts[kind] = (set(ours), set(theirs))
    pair = (circuit, reference)
    parts["any class"] = _sets([[h.label for h in one.heads] for one in pair])
    parts["positions"] = _sets([[(h.label, h.position) for h in one.heads] for one in pair])
    parts["connections"] = _sets(
        [
            [(e.sender, e.receiver, letter) for e in one.edges() for letter in e.inputs or " "]
            for one in pair
        ]
    )
    if circuit.links and reference.links:
        parts["links"] = _sets([[link.key for link in one.links] for one in pair])
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


def _sets(pair: list[list]) -> tuple[set[Hashable], set[Hashable]]:
    return set(pair[0]), set(pair[1])
