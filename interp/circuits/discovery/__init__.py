"""Methods that score the edges of a model: one file a method, one signature for all.

f(model, task, *, metrics, ablation, graph, ...) -> EdgeScores
"""

from interp.circuits.discovery.clean_corrupted import clean_corrupted
from interp.circuits.discovery.eap import eap
from interp.circuits.discovery.eap_ig import eap_ig_activations, eap_ig_inputs
from interp.circuits.discovery.exact import Cost, exact_cost, exact_edges

__all__ = [
    "Cost",
    "clean_corrupted",
    "eap",
    "eap_ig_activations",
    "eap_ig_inputs",
    "exact_cost",
    "exact_edges",
]
