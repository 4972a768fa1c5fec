"""What papers found: circuits, figures, connections, and the constants of their protocols."""

from interp.circuits.published.circuits import published_circuit
from interp.circuits.published.connections import published_connections
from interp.circuits.published.ioi import IOI_EXCEPTIONS, IOI_GREEDY, IOI_IMPORTANCE
from interp.circuits.published.ioi_figures import IOI_FIGURES

__all__ = [
    "IOI_EXCEPTIONS",
    "IOI_FIGURES",
    "IOI_GREEDY",
    "IOI_IMPORTANCE",
    "published_circuit",
    "published_connections",
]
