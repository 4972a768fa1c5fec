"""What papers found: their circuits, and the constants that their protocols need."""

from interp.circuits.published.circuits import PublishedFigure, published
from interp.circuits.published.ioi_figures import IOI_FIGURES

__all__ = ["IOI_FIGURES", "PublishedFigure", "published"]
