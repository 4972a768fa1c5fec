"""Circuits: the heads that do a task, and what the literature found."""

from interp.circuits.circuit import (
    KINDS,
    MLP,
    MOVERS,
    PAPER_ROLES,
    ROLES,
    Circuit,
    CircuitHead,
    CircuitMLP,
    Edge,
    Group,
    Node,
)
from interp.circuits.comparison import compare
from interp.circuits.completeness import IOI_GREEDY, class_sets, gap, greedy_sets, random_sets
from interp.circuits.derivation import Derivation, derive
from interp.circuits.evaluation import faithfulness, only, without
from interp.circuits.known import KNOWN, NOISE, KnownCircuit, known_circuit
from interp.circuits.links import Link, LinkKey
from interp.circuits.minimality import (
    IOI_EXCEPTIONS,
    IOI_IMPORTANCE,
    minimality,
    minimality_sets,
)
from interp.circuits.pruning import prune_heads
from interp.circuits.published import PublishedFigure, published
from interp.circuits.published.ioi_figures import IOI_FIGURES

__all__ = [
    "IOI_EXCEPTIONS",
    "IOI_FIGURES",
    "IOI_GREEDY",
    "IOI_IMPORTANCE",
    "KINDS",
    "KNOWN",
    "MLP",
    "MOVERS",
    "NOISE",
    "PAPER_ROLES",
    "ROLES",
    "Circuit",
    "CircuitHead",
    "CircuitMLP",
    "Derivation",
    "Edge",
    "Group",
    "KnownCircuit",
    "Link",
    "LinkKey",
    "Node",
    "PublishedFigure",
    "class_sets",
    "compare",
    "derive",
    "faithfulness",
    "gap",
    "greedy_sets",
    "known_circuit",
    "minimality",
    "minimality_sets",
    "only",
    "prune_heads",
    "published",
    "random_sets",
    "without",
]
