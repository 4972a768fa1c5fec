"""The graph of a model: which part writes into which input of which later part.

Senders write into the residual stream: the token embedding, every head, every MLP. Receivers read
it, each through a copy of the stream of its own: the queries, keys and values of every head, every
MLP, and the logits. An edge leads from each sender to each receiver that comes later. GPT-2 small
has 157 senders and the logits, hence 158 nodes, 445 receivers and 32,491 edges.

Position embeddings and the biases of attention outputs belong to no sender: they reach every
receiver, whatever edges are cut. The output bias of an MLP belongs to the MLP.

Source: the nodes and edges of Hanna et al. 2024 (arXiv 2403.17806), with separate queries, keys and
values. Conmy et al. 2023 (arXiv 2304.14997) have the same edges, and one more from each of the
three inputs of a head to the head: `Graph.with_inputs`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from interp.parts import MLP, QKV, Edge, Head, Input, Logits, Node, Part, Port, parse


@dataclass(frozen=True)
class Graph:
    """The nodes and edges of a model, as arrays.

    Arrays over pairs have the shape [sender receiver]; arrays over edges list the pairs that exist,
    sender by sender.

    Args:
        n_layers: number of layers
        n_heads: number of heads in each layer

    Raises:
        ValueError: a number is below 1

    Example:
        >>> graph = Graph(12, 12)
        >>> graph.n_nodes, graph.n_edges
        (158, 32491)
        >>> str(graph.edge(graph.index("9.6 -> 10.0.q")))
        '9.6 -> 10.0.q'
    """

    n_layers: int
    n_heads: int

    def __post_init__(self) -> None:
        if min(self.n_layers, self.n_heads) < 1:
            raise ValueError(
                "a graph needs at least one layer and one head; got "
                f"{self.n_layers} layers and {self.n_heads} heads"
            )

    @staticmethod
    def of(model: Any) -> "Graph":
        """The graph of a model.

        Args:
            model: a `HookedGPT2`, or its config

        Returns:
            The graph.
        """
        config = getattr(model, "config", model)
        return Graph(config.n_layers, config.n_heads)

    @cached_property
    def senders(self) -> tuple[Part, ...]:
        """The parts that write, in the order of a forward pass."""
        found: list[Part] = [Input()]
        for layer in range(self.n_layers):
            found += [Head(layer, head) for head in range(self.n_heads)]
            found.append(MLP(layer))
        return tuple(found)

    @cached_property
    def receivers(self) -> tuple[Port, ...]:
        """The inputs that read: of each layer all queries, all keys, all values, and the MLP."""
        found = []
        for layer in range(self.n_layers):
            found += [
                Port(Node(Head(layer, head)), letter)
                for letter in QKV
                for head in range(self.n_heads)
            ]
            found.append(Port(Node(MLP(layer))))
        return (*found, Port(Node(Logits())))

    @property
    def n_nodes(self) -> int:
        """Number of senders, and the logits."""
        return len(self.senders) + 1

    @property
    def n_edges(self) -> int:
        """Number of edges."""
        return len(self.sender)

    @cached_property
    def before(self) -> Int[np.ndarray, " receiver"]:
        """Number of senders that come before each receiver: all of them write into it."""
        per_layer = self.n_heads + 1
        found = []
        for layer in range(self.n_layers):
            first = 1 + layer * per_layer
            found += [first] * (3 * self.n_heads) + [first + self.n_heads]
        return np.array([*found, len(self.senders)])

    @cached_property
    def exists(self) -> Bool[np.ndarray, "sender receiver"]:
        """True where there is an edge."""
        return np.arange(len(self.senders))[:, None] < self.before

    @cached_property
    def _ends(self) -> tuple[Int[np.ndarray, " edge"], Int[np.ndarray, " edge"]]:
        return np.nonzero(self.exists)  # type: ignore[return-value]

    @property
    def sender(self) -> Int[np.ndarray, " edge"]:
        """Index of the sender of each edge."""
        return self._ends[0]

    @property
    def receiver(self) -> Int[np.ndarray, " edge"]:
        """Index of the receiver of each edge."""
        return self._ends[1]

    @cached_property
    def owner(self) -> Int[np.ndarray, " receiver"]:
        """Index of the sender that each receiver is an input of; the number of senders for the
        logits.
        """
        where: dict[Part, int] = {part: i for i, part in enumerate(self.senders)}
        where[Logits()] = len(self.senders)
        return np.array([where[port.node.part] for port in self.receivers])

    @cached_property
    def sender_names(self) -> tuple[str, ...]:
        """The words for the senders, such as "9.6"."""
        return tuple(map(str, self.senders))

    @cached_property
    def receiver_names(self) -> tuple[str, ...]:
        """The words for the receivers, such as "10.0.q"."""
        return tuple(map(str, self.receivers))

    def inputs_of(self, part: Part) -> list[int]:
        """Indices of the receivers that are inputs of a part: three for a head, none for the input.

        Args:
            part: the part
        """
        return [i for i, port in enumerate(self.receivers) if port.node.part == part]

    @cached_property
    def stages(self) -> tuple[tuple[slice, slice], ...]:
        """The senders and receivers of each attention and each MLP, in the order of a forward
        pass: the parts that neither write to nor read from each other.
        """
        h, found = self.n_heads, []
        for layer in range(self.n_layers):
            s, r = 1 + layer * (h + 1), layer * (3 * h + 1)
            found.append((slice(s, s + h), slice(r, r + 3 * h)))
            found.append((slice(s + h, s + h + 1), slice(r + 3 * h, r + 3 * h + 1)))
        return tuple(found)

    def reach(
        self, edges: Bool[np.ndarray, "sender receiver"]
    ) -> tuple[Bool[np.ndarray, " sender"], Bool[np.ndarray, " receiver"]]:
        """Where the input comes, and what comes to the logits, along some edges.

        Args:
            edges: True for the edges

        Returns:
            True for the senders that the input reaches, and for the receivers that reach the
            logits.
        """
        told = np.zeros(len(self.senders), dtype=bool)
        told[0] = True
        for senders, receivers in self.stages:
            before = slice(0, senders.start)
            reads = edges[before, receivers][told[before]].any(0)
            told[self.owner[receivers][reads]] = True
        read = np.zeros(len(self.receivers), dtype=bool)
        read[-1] = True
        for senders, receivers in reversed(self.stages):
            useful = edges[senders][:, read].any(1)
            read[receivers] = useful[self.owner[receivers] - senders.start]
        return told, read

    def edge(self, index: int) -> Edge:
        """The edge at an index.

        Args:
            index: from 0 to `n_edges` - 1
        """
        port = self.receivers[self.receiver[index]]
        return Edge(Node(self.senders[self.sender[index]]), port.node, port.input)

    def edges(self) -> Iterator[Edge]:
        """All edges, in order."""
        return map(self.edge, range(self.n_edges))

    @cached_property
    def _numbers(self) -> Int[np.ndarray, "sender receiver"]:
        """The index of each edge; -1 where there is none."""
        found = np.full(self.exists.shape, -1)
        found[self.exists] = np.arange(self.n_edges)
        return found

    @cached_property
    def _places(self) -> tuple[dict[str, int], dict[str, int]]:
        return tuple(  # type: ignore[return-value]
            {name: i for i, name in enumerate(names)}
            for names in (self.sender_names, self.receiver_names)
        )

    def index(self, edge: Edge | str) -> int:
        """The index of an edge.

        Args:
            edge: an edge without roles, such as "9.6 -> 10.0.q"

        Returns:
            Its index.

        Raises:
            ValueError: the graph has no such edge
        """
        found = parse(edge) if isinstance(edge, str) else edge
        if isinstance(found, Edge):
            sender = self._places[0].get(str(found.sender))
            receiver = self._places[1].get(str(found.port))
            if sender is not None and receiver is not None:
                return int(self._numbers[sender, receiver])
        raise ValueError(
            f"the graph of {self.n_layers} layers and {self.n_heads} heads has no edge {edge}; "
            "its edges have no roles, and lead into one input of a head, an MLP or the logits, "
            "such as '0.1 -> 1.0.q', '0.1 -> m0' or 'm0 -> logits'"
        )

    def with_inputs(self) -> list[tuple[str, str]]:
        """The finer graph of ACDC, whose nodes include the inputs of heads.

        Returns:
            (sender, receiver) of every edge, in words: those of this graph, and one from each of
            the three inputs of a head to the head. For GPT-2 small there are 32,923.
        """
        senders, receivers = self.sender_names, self.receiver_names
        ends = [(senders[s], receivers[r]) for s, r in zip(self.sender, self.receiver, strict=True)]
        inputs = [(str(port), str(port.node.part)) for port in self.receivers if port.input]
        return ends + inputs
