"""Measured connections of a circuit: one input of a node reads what another node writes.

A link is an edge (see `interp.parts`) with its measurements: the effect of cutting that path alone,
its interval, and its q value, which accounts for the number of paths tried.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Any

import networkx as nx

from interp.circuits.files import field
from interp.parts import Edge, Head, Input, Logits, Neuron, Node, Part, parse

MEASURED = ("effect", "low", "high", "q_value")


@dataclass(frozen=True, slots=True, init=False)
class Link:
    """A connection between two nodes of a circuit, or between a node and an end of the circuit.

    Args:
        edge: the path, such as "9.6@END -> 10.0.q@END": from the input, a head or an MLP at a role
            to a head, an MLP or the logits at a role
        effect: mean change of the metric when the path is cut, in the metric's unit; for a logit
            difference, a negative effect means that the path favors the answer. None if it was not
            measured.
        low: lower end of the effect's interval
        high: upper end of the effect's interval
        q_value: the smallest false-discovery rate at which the link counts as found

    Raises:
        ValueError: an end has no role or is a neuron, the path changes position other than through
            keys or values, or a number is not finite
        TypeError: `edge` is not an edge

    Example:
        >>> Link("8.6@END -> 9.9.q@END", effect=-0.4).receiver
        Node(part=Head(layer=9, head=9), role='END')
    """

    edge: Edge
    effect: float | None
    low: float | None
    high: float | None
    q_value: float | None

    def __init__(
        self,
        edge: Edge | str,
        effect: float | None = None,
        low: float | None = None,
        high: float | None = None,
        q_value: float | None = None,
    ) -> None:
        given, edge = edge, parse(edge) if isinstance(edge, str) else edge  # type: ignore[assignment]
        if not isinstance(edge, Edge):
            raise TypeError(f"a link needs an edge, such as '9.6@END -> 10.0.q@END'; got {given!r}")
        object.__setattr__(self, "edge", edge)
        for name, value in zip(MEASURED, (effect, low, high, q_value), strict=True):
            object.__setattr__(self, name, value)
        for node in (edge.sender, edge.receiver):
            if node.role is None or isinstance(node.part, Neuron):
                raise ValueError(
                    f"the link {edge} needs a head, an MLP, the input or the logits at a role on "
                    f"both sides, such as '9.6@END'; got {node}"
                )
        moves = isinstance(edge.receiver.part, Head) and edge.input != "q"
        if edge.sender.role != edge.receiver.role and not moves:
            raise ValueError(
                f"the link {edge} changes position, which only keys and values of heads can"
            )
        for name, value in self.measured():
            if not isinstance(value, int | float) or not isfinite(value):
                raise ValueError(f"{name} of the link {edge} must be a finite number; got {value}")

    def __str__(self) -> str:
        return str(self.edge)

    @property
    def sender(self) -> Node:
        """The node that writes."""
        return self.edge.sender

    @property
    def receiver(self) -> Node:
        """The node that reads."""
        return self.edge.receiver

    @property
    def input(self) -> str:
        """The input of the receiver that reads: "q", "k" or "v" for a head, else ""."""
        return self.edge.input

    def measured(self) -> Iterator[tuple[str, Any]]:
        """The measured numbers, by name."""
        for name in MEASURED:
            if (value := getattr(self, name)) is not None:
                yield name, value

    def record(self) -> dict[str, Any]:
        """The link as a plain dictionary, without numbers that were not measured.

        Returns:
            `sender`, `sent_from`, `receiver`, `received_at`, `inputs`, and any of `effect`, `low`,
            `high` and `q_value`.
        """
        return {
            "sender": str(self.sender.part),
            "sent_from": self.sender.role,
            "receiver": str(self.receiver.part),
            "received_at": self.receiver.role,
            "inputs": self.input,
            **dict(self.measured()),
        }


def link_of(row: Any, what: str) -> Link:
    """Read a link from a row of a file; errors call the row `what`."""
    names = ("sender", "sent_from", "receiver", "received_at", "inputs")
    sender, sent_from, receiver, received_at, inputs = (
        field(row, name, str, what) for name in names
    )
    unknown = [name for name in row if name not in (*names, *MEASURED)]
    if unknown:
        raise ValueError(f"{what} has the unknown field {unknown[0]}: {row!r}")
    ends = Node(_part(sender, what), sent_from), Node(_part(receiver, what), received_at)
    measured = {name: field(row, name, (int, float), what) for name in MEASURED if name in row}
    return Link(Edge(*ends, inputs), **measured)


def _part(text: str, what: str) -> Part:
    found = parse(text)
    if isinstance(found, Node | Edge):
        raise ValueError(f"{what} names {text!r} where a part such as '9.6' or 'input' is expected")
    return found


def route(links: Iterable[Link], role: str) -> tuple[Node, ...]:
    """The shortest path of values from the token at a role to the logits along measured links.

    A circuit that brings the answer to the logits has such a way from a token that holds it: what
    is read as a value moves on, what is read as a query or a key only says where to look. A circuit
    without one can know the answer only from what was left of the model around it.

    Args:
        links: the links, for instance those of a circuit
        role: the role at which the path begins, such as "IO"

    Returns:
        The nodes from the input at the role to the logits, on the path whose last link favors the
        answer most if several are as short; none if there is no path.

    Example:
        >>> links = [Link("input@IO -> 9.9.v@END"), Link("9.9@END -> logits@END")]
        >>> " -> ".join(map(str, route(links, "IO")))
        'input@IO -> 9.9@END -> logits@END'
    """
    moves = [link for link in links if not link.input or "v" in link.input]
    graph = nx.DiGraph((link.sender, link.receiver) for link in moves)
    start, ends = Node(Input(), role), [node for node in graph if isinstance(node.part, Logits)]
    ways: list[tuple[Node, ...]] = [
        tuple(way)
        for end in ends
        if start in graph and nx.has_path(graph, start, end)
        for way in nx.all_shortest_paths(graph, start, end)
    ]
    last = {(link.sender, link.receiver): link.effect or 0.0 for link in moves}
    return min(ways, key=lambda way: (len(way), last[way[-2], way[-1]]), default=())
