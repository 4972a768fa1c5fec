"""Circuits: the heads that do a task, and what the literature found."""

from interp.circuits.circuit import (
    KINDS,
    MOVERS,
    PAPER_ROLES,
    ROLES,
    Circuit,
    CircuitHead,
    Edge,
    Group,
)
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
    "MOVERS",
    "NOISE",
    "PAPER_ROLES",
    "ROLES",
    "Circuit",
    "CircuitHead",
    "Derivation",
    "Edge",
    "Group",
    "KnownCircuit",
    "Link",
    "LinkKey",
    "PublishedFigure",
    "classify",
    "compare",
    "derive",
    "faithfulness",
    "known_circuit",
    "prune_heads",
    "published",
]
