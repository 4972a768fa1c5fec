"""The models with a known circuit, by name."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from interp.circuits.known import duplicate, induction, ioi
from interp.circuits.known.byhand import blur
from interp.circuits.known.circuits import KnownCircuit

_BUILDERS: Mapping[str, Callable[[int, int], KnownCircuit]] = MappingProxyType(
    {"induction": induction.known, "duplicate": duplicate.known, "ioi": ioi.known}
)
KNOWN = tuple(_BUILDERS)
"""The names of the models whose circuit is known."""

NOISE = 0.1
"""The noise on the weights up to which `derive` returns their circuits exactly."""


def known_circuit(name: str, *, n: int = 100, seed: int = 0, noise: float = 0.0) -> KnownCircuit:
    """Build a GPT-2 with weights set by hand, prompts that it gets right, and its circuit.

    Args:
        name: "induction" (a previous-token and an induction head), "duplicate" (which word occurs
            twice: a duplicate-token head and a mover) or "ioi" (duplicate-token, S-inhibition, name
            mover and negative name mover heads). Each model also has heads that do nothing for the
            answer.
        n: number of prompts
        seed: seed of the prompts, of the rotation of the weights, of the places of heads in their
            layers, and of the noise
        noise: level of the Gaussian noise on every weight matrix: about the length of what it adds
            to the image of a vector of length 1

    Returns:
        Model, task and circuit. The circuit is that of the weights without noise, so it records the
        model's name but not its weights.

    Raises:
        ValueError: the name is unknown, `n` is below 1, or the noise is negative

    Example:
        >>> known = known_circuit("induction", n=10)
        >>> [head.kind for head in known.circuit.heads]
        ['previous token', 'induction']
    """
    if name not in KNOWN:
        raise ValueError(f"no known circuit is called {name!r}; expected one of {', '.join(KNOWN)}")
    if n < 1:
        raise ValueError(f"n must be at least 1 prompt, got {n}")
    found = _BUILDERS[name](n, seed)
    blur(found.model, noise, seed)
    return found
