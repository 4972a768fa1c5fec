"""Circuit diagrams: SVG, PNG, an HTML page; Mermaid, DOT, GraphML, networkx."""

from interp.plots.diagram.example import example_of
from interp.plots.diagram.graph import circuit_dot, circuit_graphml, to_networkx
from interp.plots.diagram.mermaid import circuit_mermaid
from interp.plots.diagram.page import circuit_html
from interp.plots.diagram.png import circuit_png
from interp.plots.diagram.shapes import EXAMPLE, Example
from interp.plots.diagram.svg import circuit_svg

__all__ = [
    "EXAMPLE",
    "Example",
    "circuit_dot",
    "circuit_graphml",
    "circuit_html",
    "circuit_mermaid",
    "circuit_png",
    "circuit_svg",
    "example_of",
    "to_networkx",
]
