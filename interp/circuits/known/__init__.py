"""Models whose circuit is known, because their weights were set by hand."""

from interp.circuits.known.choice import KNOWN, NOISE, known_circuit
from interp.circuits.known.circuits import KnownCircuit

__all__ = ["KNOWN", "NOISE", "KnownCircuit", "known_circuit"]
