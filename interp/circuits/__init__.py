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
from interp.circuits.completeness import class_sets, gap, greedy_sets, random_sets
from interp.circuits.discovery import classify, prune_heads
from interp.circuits.evaluation import faithfulness, only, without
from interp.circuits.ioi_figures import IOI_FIGURES
from interp.circuits.minimality import (
    IOI_EXCEPTIONS,
    IOI_IMPORTANCE,
    minimality,
    minimality_sets,
)
from interp.circuits.published import PublishedFigure, published

__all__ = [
    "IOI_EXCEPTIONS",
    "IOI_FIGURES",
    "IOI_IMPORTANCE",
    "KINDS",
    "MOVERS",
    "PAPER_ROLES",
    "ROLES",
    "Circuit",
    "CircuitHead",
    "Edge",
    "Group",
    "PublishedFigure",
    "class_sets",
    "classify",
    "faithfulness",
    "gap",
    "greedy_sets",
    "minimality",
    "minimality_sets",
    "only",
    "prune_heads",
    "published",
    "random_sets",
    "without",
]
