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
from interp.circuits.discovery import classify, prune_heads
from interp.circuits.evaluation import faithfulness
from interp.circuits.published import IOI_FIGURES, PublishedFigure, published

__all__ = [
    "IOI_FIGURES",
    "KINDS",
    "MLP",
    "MOVERS",
    "PAPER_ROLES",
    "ROLES",
    "Circuit",
    "CircuitHead",
    "CircuitMLP",
    "Edge",
    "Group",
    "Node",
    "PublishedFigure",
    "classify",
    "classify_roles",
    "faithfulness",
    "prune_heads",
    "published",
]
