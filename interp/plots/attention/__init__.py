"""Attention pictures: all heads, one head, arcs between tokens, and an interactive page."""

from interp.plots.attention.arcs import attention_arcs
from interp.plots.attention.grid import attention_grid
from interp.plots.attention.matrix import attention_heatmap
from interp.plots.attention.view import AttentionView

__all__ = ["AttentionView", "attention_arcs", "attention_grid", "attention_heatmap"]
