"""Figures: each a pure function of a result."""

from interp.plots.diagram import EXAMPLE, Example, circuit_html, circuit_mermaid, circuit_svg
from interp.plots.heatmap import head_heatmap
from interp.plots.palette import DIVERGING, KIND_COLORS, KIND_SYMBOLS
from interp.plots.scatter import attention_scatter

__all__ = [
    "DIVERGING",
    "EXAMPLE",
    "KIND_COLORS",
    "KIND_SYMBOLS",
    "Example",
    "attention_scatter",
    "circuit_html",
    "circuit_mermaid",
    "circuit_svg",
    "head_heatmap",
]
