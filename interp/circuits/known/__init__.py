"""Models whose circuit is known: their weights were set by hand, or trained to have it."""

from interp.circuits.known.choice import KNOWN, NOISE, known_circuit
from interp.circuits.known.circuits import KnownCircuit
from interp.circuits.known.trained import trained_circuit

__all__ = ["KNOWN", "NOISE", "KnownCircuit", "known_circuit", "trained_circuit"]
