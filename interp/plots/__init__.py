"""Figures: each a pure function of a result."""

from interp.plots.agreement import agreement_scatter
from interp.plots.attention import (
    AttentionView,
    attention_arcs,
    attention_grid,
    attention_heatmap,
)
from interp.plots.completeness import completeness_scatter
from interp.plots.diagram import EXAMPLE, Example, circuit_html, circuit_mermaid, circuit_svg
from interp.plots.heatmap import effect_heatmap, head_heatmap
from interp.plots.labels import position_labels
from interp.plots.palette import DIVERGING, KIND_COLORS, KIND_SYMBOLS
from interp.plots.ranking import effect_ranking
from interp.plots.scatter import attention_scatter
from interp.plots.weights import composition_heatmap, similarity_heatmap, spectrum_lines

__all__ = [
    "DIVERGING",
    "EXAMPLE",
    "KIND_COLORS",
    "KIND_SYMBOLS",
    "AttentionView",
    "Example",
    "agreement_scatter",
    "attention_arcs",
    "attention_grid",
    "attention_heatmap",
    "attention_scatter",
    "circuit_html",
    "circuit_mermaid",
    "circuit_svg",
    "completeness_scatter",
    "composition_heatmap",
    "effect_heatmap",
    "effect_ranking",
    "head_heatmap",
    "position_labels",
    "similarity_heatmap",
    "spectrum_lines",
]
