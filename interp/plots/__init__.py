"""Figures: each a pure function of a result."""

from interp.plots.agreement import agreement_scatter
from interp.plots.attention.arcs import attention_arcs
from interp.plots.attention.grid import attention_grid
from interp.plots.attention.matrix import attention_heatmap
from interp.plots.attention.view import AttentionView
from interp.plots.attribution import attribution_bars
from interp.plots.completeness import completeness_scatter
from interp.plots.diagram.example import example_of
from interp.plots.diagram.graph import circuit_dot, circuit_graphml, to_networkx
from interp.plots.diagram.mermaid import circuit_mermaid
from interp.plots.diagram.page import circuit_html
from interp.plots.diagram.png import circuit_png
from interp.plots.diagram.svg import circuit_svg
from interp.plots.heatmap import effect_heatmap, head_heatmap
from interp.plots.labels import position_labels
from interp.plots.lens import lens_heatmap, lens_lines
from interp.plots.ranking import effect_ranking
from interp.plots.recovery import recovery_lines
from interp.plots.scatter import attention_scatter
from interp.plots.weights import composition_heatmap, similarity_heatmap, spectrum_lines

__all__ = [
    "AttentionView",
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
