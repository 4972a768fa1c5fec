"""The circuit that a bundled model was trained to have."""

from interp.circuits.circuit import Circuit
from interp.model import HookedGPT2
from interp.model.hub import BUNDLED, locate

CIRCUIT = "circuit.json"
"""The file of the circuit, in the directory of its model."""


def trained_circuit(model: str | HookedGPT2) -> Circuit | None:
    """Look up the circuit that a bundled model was trained to have.

    `mini-ioi` was trained so that certain heads do what Wang et al. 2022 describe: its mechanism is
    known, as that of the models with weights set by hand, but the weights are those of training.

    Args:
        model: name of a bundled model, or a model

    Returns:
        The heads with their classes and roles; None for a model that was not trained to have a
        circuit, and for a loaded model whose weights are not those of the bundled one.
    """
    name = model.name if isinstance(model, HookedGPT2) else model
    path = locate(name) / CIRCUIT if name in BUNDLED else None
    if path is None or not path.exists():
        return None
    circuit = Circuit.load(path)
    other = isinstance(model, HookedGPT2) and circuit.weights != model.fingerprint()
    return None if other else circuit
