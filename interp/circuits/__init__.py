"""Circuits: the heads that do a task, how well they do it, and what the literature found."""

from interp.circuits.circuit import Circuit
from interp.circuits.classes import CLASSES
from interp.circuits.comparison import compare
from interp.circuits.derivation import derive
from interp.circuits.evaluation import completeness, faithfulness, gap, only
from interp.circuits.evidence import Derivation
from interp.circuits.known import KNOWN, NOISE, KnownCircuit, known_circuit
from interp.circuits.links import Link
from interp.circuits.members import Connection, Group, Member
from interp.circuits.minimality import minimality, minimality_sets
from interp.circuits.pruning import derive_pruned, prune_heads
from interp.circuits.published import (
    IOI_EXCEPTIONS,
    IOI_FIGURES,
    IOI_GREEDY,
    IOI_IMPORTANCE,
    PublishedFigure,
    published,
    published_connections,
)
from interp.circuits.sets import class_sets, greedy_sets, random_sets

__all__ = [
    "CLASSES",
    "IOI_EXCEPTIONS",
    "IOI_FIGURES",
    "IOI_GREEDY",
    "IOI_IMPORTANCE",
    "KNOWN",
    "NOISE",
    "Circuit",
    "Connection",
    "Derivation",
    "Group",
    "KnownCircuit",
    "Link",
    "Member",
    "PublishedFigure",
    "class_sets",
    "compare",
    "completeness",
    "derive",
    "derive_pruned",
    "faithfulness",
    "gap",
    "greedy_sets",
    "known_circuit",
    "minimality",
    "minimality_sets",
    "only",
    "prune_heads",
    "published",
    "published_connections",
    "random_sets",
]
