"""Figures: each a pure function of a result."""

from interp.plots.agreement import agreement_scatter
from interp.plots.attention import (
    AttentionView,
    attention_arcs,
    attention_grid,
    attention_heatmap,
)
from interp.plots.attribution import attribution_bars
from interp.plots.completeness import completeness_scatter
from interp.plots.diagram import (
    EXAMPLE,
    Example,
    circuit_dot,
    circuit_graphml,
    circuit_html,
    circuit_mermaid,
    circuit_png,
    circuit_svg,
    example_of,
    to_networkx,
)
from interp.plots.heatmap import effect_heatmap, head_heatmap
from interp.plots.labels import position_labels
from interp.plots.lens import lens_heatmap, lens_lines
from interp.plots.palette import DIVERGING, KIND_COLORS, KIND_SYMBOLS
from interp.plots.ranking import effect_ranking
from interp.plots.recovery import recovery_lines
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
    "attribution_bars",
    "circuit_dot",
    "circuit_graphml",
    "circuit_html",
    "circuit_mermaid",
    "circuit_png",
    "circuit_svg",
    "completeness_scatter",
    "composition_heatmap",
    "effect_heatmap",
    "effect_ranking",
    "example_of",
    "head_heatmap",
    "lens_heatmap",
    "lens_lines",
    "position_labels",
    "recovery_lines",
    "similarity_heatmap",
    "spectrum_lines",
    "to_networkx",
]
