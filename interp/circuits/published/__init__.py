"""What papers found: circuits, figures, connections, and the constants of their protocols."""

from interp.circuits.published.circuits import published
from interp.circuits.published.connections import connections_of, published_connections
from interp.circuits.published.figure import PublishedFigure
from interp.circuits.published.ioi import (
    IOI_EXCEPTIONS,
    IOI_GREEDY,
    IOI_IMPORTANCE,
    IOI_PAPER_ROLES,
    IOI_ROLES,
)
from interp.circuits.published.ioi_figures import IOI_FIGURES

__all__ = [
    "IOI_EXCEPTIONS",
    "IOI_FIGURES",
    "IOI_GREEDY",
    "IOI_IMPORTANCE",
    "IOI_PAPER_ROLES",
    "IOI_ROLES",
    "PublishedFigure",
    "connections_of",
    "published",
    "published_connections",
]
