"""Circuits: the heads or edges that do a task, how well they do it, and what the literature found.

Circuits of edges are scored by `interp.circuits.discovery`. `interp.circuits.known` has models
whose circuit is known; `interp.circuits.published` has what papers found, with the constants of
their protocols.
"""

from interp.circuits.circuit import Circuit
from interp.circuits.classes import CLASSES
from interp.circuits.comparison import compare
from interp.circuits.coverage import RolesWarning, covered_by_roles
from interp.circuits.derivation import derive
from interp.circuits.eap_ig_file import read_eap_ig, write_eap_ig
from interp.circuits.edge_circuit import EdgeCircuit
from interp.circuits.edge_comparison import (
    Overlap,
    auc,
    head_scores,
    overlap,
    rank_correlation,
    roc,
)
from interp.circuits.edge_curve import FRACTIONS, cmd, cpr, edge_curve
from interp.circuits.edge_evaluation import (
    edge_faithfulness,
    faithfulness_by_prompt,
    normalized_faithfulness,
)
from interp.circuits.edge_scores import EdgeScores
from interp.circuits.edge_selection import (
    consistent_edges,
    edges_above,
    greedy_edges,
    random_circuits,
    top_edges,
)
from interp.circuits.evaluation import completeness, faithfulness, gap, only
from interp.circuits.evidence import Derivation
from interp.circuits.known import known_circuit
from interp.circuits.left_out import left_out, why_left_out
from interp.circuits.links import Link, route
from interp.circuits.members import Member
from interp.circuits.minimality import minimality, minimality_sets
from interp.circuits.pruning import derive_pruned, prune_heads
from interp.circuits.published import published_circuit
from interp.circuits.scores import Verdict, does_the_task, fraction_kept, run_mean
from interp.circuits.sets import class_sets, greedy_sets, random_sets
from interp.runs.graph import Graph

__all__ = [
    "CLASSES",
    "FRACTIONS",
    "Circuit",
    "Derivation",
    "EdgeCircuit",
    "EdgeScores",
    "Graph",
    "Link",
    "Member",
    "Overlap",
    "RolesWarning",
    "Verdict",
    "auc",
    "class_sets",
    "cmd",
    "compare",
    "completeness",
    "consistent_edges",
    "covered_by_roles",
    "cpr",
    "derive",
    "derive_pruned",
    "does_the_task",
    "edge_curve",
    "edge_faithfulness",
    "edges_above",
    "faithfulness",
    "faithfulness_by_prompt",
    "fraction_kept",
    "gap",
    "greedy_edges",
    "greedy_sets",
    "head_scores",
    "known_circuit",
    "left_out",
    "minimality",
    "minimality_sets",
    "normalized_faithfulness",
    "only",
    "overlap",
    "prune_heads",
    "published_circuit",
    "random_circuits",
    "random_sets",
    "rank_correlation",
    "read_eap_ig",
    "roc",
    "route",
    "run_mean",
    "top_edges",
    "why_left_out",
    "write_eap_ig",
]
