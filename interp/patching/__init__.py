"""Interventions: patch and ablate activations, and measure what changes."""

from interp.patching.activation import patch
from interp.patching.attribution import attribution_patch
from interp.patching.comparison import Agreement, agreement
from interp.patching.effects import effect, mean_effect, mean_over_prompts, normalized
from interp.patching.knockout import ablate, ablate_sets, pairs
from interp.patching.node_paths import NodePaths, Port, Sent
from interp.patching.nodes import ablate_nodes
from interp.patching.path import Receivers, path_patch
from interp.patching.screening import screen
from interp.runs.ablation import Ablation, Keep, Prepared, kept_outputs
from interp.runs.node_runs import TOKENS
from interp.runs.readout import METRICS, measure, run_task
from interp.runs.sides import Progress

__all__ = [
    "METRICS",
    "TOKENS",
    "Ablation",
    "Agreement",
    "Keep",
    "NodePaths",
    "Port",
    "Prepared",
    "Progress",
    "Receivers",
    "Sent",
    "ablate",
    "ablate_nodes",
    "ablate_sets",
    "agreement",
    "attribution_patch",
    "effect",
    "kept_outputs",
    "mean_effect",
    "mean_over_prompts",
    "measure",
    "normalized",
    "pairs",
    "patch",
    "path_patch",
    "run_task",
    "screen",
]
