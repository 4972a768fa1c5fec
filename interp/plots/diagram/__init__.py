"""Circuit diagrams: as SVG, as an HTML page, and as Mermaid text."""

from interp.plots.diagram.example import example_of
from interp.plots.diagram.mermaid import circuit_mermaid
from interp.plots.diagram.shapes import EXAMPLE, Example
from interp.plots.diagram.svg import circuit_html, circuit_svg

__all__ = ["EXAMPLE", "Example", "circuit_html", "circuit_mermaid", "circuit_svg", "example_of"]
