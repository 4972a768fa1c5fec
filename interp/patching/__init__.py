"""Interventions: patch and ablate activations, and measure what changes."""

from interp.patching.ablate import ablate, pairs
from interp.patching.activation import patch
from interp.patching.attribution import attribution_patch
from interp.patching.comparison import agreement
from interp.patching.effects import effect, mean_effect, mean_over_prompts, normalized
from interp.patching.measure import measure, run_task
from interp.patching.node_paths import NodePaths
from interp.patching.path import path_attention, path_patch
from interp.patching.ranking import heads_in_order, strongest_heads
from interp.patching.screening import screen
from interp.runs.ablation import Ablation
from interp.runs.receivers import Receivers
from interp.runs.selection import Selection

__all__ = [
    "Ablation",
    "NodePaths",
    "Receivers",
    "Selection",
    "ablate",
    "agreement",
    "attribution_patch",
    "effect",
    "heads_in_order",
    "mean_effect",
    "mean_over_prompts",
    "measure",
    "normalized",
    "pairs",
    "patch",
    "path_attention",
    "path_patch",
    "run_task",
    "screen",
    "strongest_heads",
]
