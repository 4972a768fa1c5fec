"""Circuits: the heads that do a task, how well they do it, and what the literature found.

`interp.circuits.known` has models whose circuit is known; `interp.circuits.published` has what
papers found, with the constants of their protocols.
"""

from interp.circuits.circuit import Circuit
from interp.circuits.classes import CLASSES
from interp.circuits.comparison import compare
from interp.circuits.derivation import derive
from interp.circuits.evaluation import completeness, faithfulness, gap, only
from interp.circuits.evidence import Derivation
from interp.circuits.known import known_circuit
from interp.circuits.links import Link, route
from interp.circuits.members import Member
from interp.circuits.minimality import minimality, minimality_sets
from interp.circuits.pruning import derive_pruned, prune_heads
from interp.circuits.published import published_circuit
from interp.circuits.scores import Verdict, does_the_task, fraction_kept, run_mean
from interp.circuits.sets import class_sets, greedy_sets, random_sets

__all__ = [
    "CLASSES",
    "Circuit",
    "Derivation",
    "Link",
    "Member",
    "Verdict",
    "class_sets",
    "compare",
    "completeness",
    "derive",
    "derive_pruned",
    "does_the_task",
    "faithfulness",
    "fraction_kept",
    "gap",
    "greedy_sets",
    "known_circuit",
    "minimality",
    "minimality_sets",
    "only",
    "prune_heads",
    "published_circuit",
    "random_sets",
    "route",
    "run_mean",
]
