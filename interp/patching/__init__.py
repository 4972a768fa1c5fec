"""Interventions: patch and ablate activations, and measure what changes."""

from interp.patching.ablation import (
    Keep,
    group_means,
    kept_outputs,
    mean_ablation,
    replace_outputs,
)
from interp.patching.direct import direct_effect
from interp.patching.heads import head_effects
from interp.patching.runs import Progress, run_task

__all__ = [
    "Keep",
    "Progress",
    "direct_effect",
    "group_means",
    "head_effects",
    "kept_outputs",
    "mean_ablation",
    "replace_outputs",
    "run_task",
]
