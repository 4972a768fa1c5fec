"""A model whose circuit is known because its weights were set by hand."""

from collections.abc import Iterable
from dataclasses import dataclass

from interp.circuits.circuit import Circuit, CircuitHead
from interp.circuits.known.byhand import HandSetHead
from interp.circuits.links import INPUT, LOGITS, Link
from interp.model import HookedGPT2
from interp.tasks import Task


@dataclass(frozen=True)
class KnownCircuit:
    """A model, the task it was made for, and how it does it.

    Args:
        model: the model.
        task: prompts that it gets right.
        circuit: every head that takes part, and every link that carries what differs between the
            clean and the corrupted prompts; all other heads do nothing for the answer.
    """

    model: HookedGPT2
    task: Task
    circuit: Circuit


class Truth:
    """Collects the circuit while the heads are made."""

    def __init__(self) -> None:
        self.heads: list[CircuitHead] = []
        self.links: list[Link] = []

    def add(self, heads: Iterable[HandSetHead], kind: str, position: str) -> list[HandSetHead]:
        """Heads of one class at a position."""
        found = list(heads)
        self.heads += [CircuitHead(h.layer, h.head, kind, position) for h in found]
        return found

    def link(
        self,
        senders: Iterable[HandSetHead] | None,
        sent_from: str,
        receivers: Iterable[HandSetHead] | None,
        received_at: str,
        inputs: str = "",
    ) -> None:
        """Links from each sender (None: the tokens) to each receiver (None: the logits)."""
        self.links += [
            Link(sender, sent_from, receiver, received_at, letter)
            for sender in ([INPUT] if senders is None else [h.label for h in senders])
            for receiver in ([LOGITS] if receivers is None else [h.label for h in receivers])
            for letter in (inputs or [""])
        ]

    def circuit(self, model: HookedGPT2) -> Circuit:
        """All of it."""
        return Circuit(model.name, tuple(sorted(self.heads)), "set by hand", tuple(self.links))
