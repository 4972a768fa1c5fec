"""Interventions: patch and ablate activations, and measure what changes."""

from interp.patching.ablation import group_means, mean_ablation
from interp.patching.direct import direct_effect
from interp.patching.heads import head_effects
from interp.patching.runs import Progress, run_task

__all__ = ["Progress", "direct_effect", "group_means", "head_effects", "mean_ablation", "run_task"]
