"""A model whose circuit is known because its weights were set by hand."""

from collections.abc import Iterable
from dataclasses import dataclass

from interp.circuits.circuit import Circuit
from interp.circuits.known.byhand import HandSetHead
from interp.circuits.links import Link
from interp.circuits.members import Member
from interp.model import HookedGPT2
from interp.parts import QKV, Edge, Input, Logits, Node
from interp.tasks import Task


@dataclass(frozen=True)
class KnownCircuit:
    """A model, the task it was made for, and the circuit that does it.

    Args:
        model: the model
        task: prompts that the model gets right
        circuit: every head that takes part, and every link that carries a difference between the
            clean and the corrupted prompts; all other heads do nothing for the answer
    """

    model: HookedGPT2
    task: Task
    circuit: Circuit


class Plan:
    """The circuit of a model, recorded while its heads are made."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.links: list[Link] = []

    def add(self, heads: Iterable[HandSetHead], kind: str, role: str) -> list[HandSetHead]:
        """Record heads of one class at a role."""
        found = list(heads)
        self.members += [Member(Node(one.part, role), kind) for one in found]
        return found

    def link(
        self,
        senders: Iterable[HandSetHead] | None,
        sent_from: str,
        receivers: Iterable[HandSetHead] | None,
        received_at: str,
        inputs: str = "",
    ) -> None:
        """Record the links from each sender (None: the tokens) to each receiver (None: the
        logits).
        """
        self.links += [
            Link(Edge(Node(sender, sent_from), Node(receiver, received_at), letter))  # type: ignore[arg-type]
            for sender in ([Input()] if senders is None else [one.part for one in senders])
            for receiver in ([Logits()] if receivers is None else [one.part for one in receivers])
            for letter in ([x for x in QKV if x in inputs] or [""])
        ]

    def circuit(self, model: HookedGPT2, task: Task) -> Circuit:
        """The circuit, with the model's name but not its weights."""
        return Circuit(
            model.name, tuple(self.members), "set by hand", tuple(self.links), task=task.name
        )
