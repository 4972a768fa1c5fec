"""Circuits: the heads that do a task, and what the literature found."""

from interp.circuits.circuit import KINDS, MOVERS, ROLES, Circuit, CircuitHead, Edge, Group
from interp.circuits.discovery import threshold_circuit
from interp.circuits.evaluation import faithfulness
from interp.circuits.published import IOI_FIGURES, PublishedFigure, published

__all__ = [
    "IOI_FIGURES",
    "KINDS",
    "MOVERS",
    "ROLES",
    "Circuit",
    "CircuitHead",
    "Edge",
    "Group",
    "PublishedFigure",
    "faithfulness",
    "published",
    "threshold_circuit",
]
