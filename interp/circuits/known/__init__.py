"""Models whose circuit is known, because their weights were set by hand."""

from interp.circuits.known.circuits import KnownCircuit
from interp.circuits.known.choice import KNOWN, known_circuit

__all__ = ["KNOWN", "KnownCircuit", "known_circuit"]
