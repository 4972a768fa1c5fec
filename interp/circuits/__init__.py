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
from interp.circuits.classes import classify_roles
from interp.circuits.comparison import compare
from interp.circuits.derivation import Derivation, derive
from interp.circuits.discovery import classify, prune_heads
from interp.circuits.evaluation import faithfulness
from interp.circuits.known import KNOWN, NOISE, KnownCircuit, known_circuit
from interp.circuits.links import Link, LinkKey
from interp.circuits.published import IOI_FIGURES, PublishedFigure, published

__all__ = [
    "IOI_FIGURES",
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
    "classify",
    "classify_roles",
    "compare",
    "derive",
    "faithfulness",
    "known_circuit",
    "prune_heads",
    "published",
]
