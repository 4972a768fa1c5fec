"""A circuit of edges: some of the edges of a model's graph.

When it runs alone, each receiver reads the circuit's edges from this run, and stand-ins along all
others. Circuits of edges can be joined, intersected and subtracted like sets.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool

from interp.circuits.circuit import Circuit
from interp.circuits.published.connections import connections_of
from interp.parts import QKV, Edge, Head, Input, Logits, Node, Part
from interp.runs.graph import Graph


@dataclass(frozen=True, eq=False)
class EdgeCircuit:
    """Some edges of a graph.

    Args:
        graph: the graph
        kept: True for the edges of the circuit, in the order of the graph
        source: where the circuit comes from, for readers

    Raises:
        ValueError: the mask does not have one value for each edge

    Example:
        >>> graph = Graph(2, 2)
        >>> circuit = EdgeCircuit.of(graph, ["input -> 0.1.v", "0.1 -> logits", "m0 -> logits"])
        >>> len(circuit), [str(edge) for edge in circuit.pruned()]
        (3, ['input -> 0.1.v', '0.1 -> logits'])
    """

    graph: Graph
    kept: Bool[np.ndarray, " edge"]
    source: str = ""

    def __post_init__(self) -> None:
        kept = np.asarray(self.kept)
        if kept.dtype != bool or kept.shape != (self.graph.n_edges,):
            raise ValueError(
                f"a circuit needs one truth value for each of the {self.graph.n_edges} edges; got "
                f"{kept.dtype} of shape {kept.shape}"
            )

    @staticmethod
    def of(graph: Graph, edges: Iterable[Edge | str], source: str = "") -> "EdgeCircuit":
        """A circuit of named edges.

        Args:
            graph: the graph
            edges: edges without roles, such as "9.6 -> logits"
            source: where the circuit comes from

        Returns:
            The circuit.

        Raises:
            ValueError: the graph lacks an edge
        """
        kept = np.zeros(graph.n_edges, dtype=bool)
        for edge in edges:
            kept[graph.index(edge)] = True
        return EdgeCircuit(graph, kept, source)

    @staticmethod
    def of_circuit(graph: Graph, circuit: Circuit) -> "EdgeCircuit":
        """The edges of a circuit of heads and MLPs, without their roles.

        Args:
            graph: the graph of its model
            circuit: its links are taken, or the papers' connections between its classes if it has
                none

        Returns:
            The circuit of edges; an edge into all of a head stands for three.

        Raises:
            ValueError: the graph lacks an edge
        """
        members: dict[tuple[str, str], list[Part]] = {}
        for member in circuit.members:
            members.setdefault(tuple(member.group), []).append(member.part)  # type: ignore[arg-type]
        ends: list[tuple[Part, Part, str]] = []
        if circuit.links:
            ends = [(one.sender.part, one.receiver.part, one.input) for one in circuit.links]
        else:
            for one in connections_of(circuit):
                senders, receivers = (
                    members.get((group.kind, group.role), _END.get(group.kind, []))
                    for group in (one.sender, one.receiver)
                )
                ends += [(*pair, one.inputs) for pair in itertools.product(senders, receivers)]
        edges = [
            Edge(Node(sender), Node(receiver), letter)  # type: ignore[arg-type]
            for sender, receiver, inputs in ends
            for letter in ((inputs or QKV) if isinstance(receiver, Head) else ("",))
        ]
        return EdgeCircuit.of(graph, edges, circuit.source)

    def __len__(self) -> int:
        """Return the number of edges."""
        return int(self.kept.sum())

    def __iter__(self) -> Iterator[Edge]:
        """Go through the edges, in the order of the graph."""
        return (self.graph.edge(int(i)) for i in np.flatnonzero(self.kept))

    def __contains__(self, edge: Edge | str) -> bool:
        return bool(self.kept[self.graph.index(edge)])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EdgeCircuit):
            return NotImplemented
        return self.graph == other.graph and bool((self.kept == other.kept).all())

    def __hash__(self) -> int:
        return hash((self.graph, self.kept.tobytes()))

    def __or__(self, other: "EdgeCircuit") -> "EdgeCircuit":
        """Join two circuits."""
        return self._with(other, self.kept | _of_graph(self, other))

    def __and__(self, other: "EdgeCircuit") -> "EdgeCircuit":
        """Keep what both circuits have."""
        return self._with(other, self.kept & _of_graph(self, other))

    def __sub__(self, other: "EdgeCircuit") -> "EdgeCircuit":
        """Keep what the other circuit does not have."""
        return self._with(other, self.kept & ~_of_graph(self, other))

    def __xor__(self, other: "EdgeCircuit") -> "EdgeCircuit":
        """Keep what just one of the circuits has."""
        return self._with(other, self.kept ^ _of_graph(self, other))

    def __invert__(self) -> "EdgeCircuit":
        """All other edges."""
        return replace(self, kept=~self.kept, source="")

    def _with(self, other: "EdgeCircuit", kept: np.ndarray) -> "EdgeCircuit":
        return replace(self, kept=kept, source=self.source if self.source == other.source else "")

    @property
    def matrix(self) -> Bool[np.ndarray, "sender receiver"]:
        """The circuit as a mask of pairs."""
        found = np.zeros_like(self.graph.exists)
        found[self.graph.sender, self.graph.receiver] = self.kept
        return found

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that its edges join, in the order of a forward pass."""
        n = len(self.graph.senders)
        ends = np.zeros(n + 1, dtype=bool)
        ends[self.graph.sender[self.kept]] = True
        ends[self.graph.owner[self.graph.receiver[self.kept]]] = True
        every: tuple[Part, ...] = (*self.graph.senders, Logits())
        return tuple(part for part, there in zip(every, ends, strict=True) if there)

    @property
    def heads(self) -> tuple[Head, ...]:
        """The heads that its edges join."""
        return tuple(part for part in self.parts if isinstance(part, Head))

    def pruned(self) -> "EdgeCircuit":
        """Drop the edges that are on no path from the input to the logits.

        Returns:
            What is connected.
        """
        told, read = self.graph.reach(self.matrix)
        matrix = self.matrix & told[:, None] & read
        return replace(self, kept=matrix[self.graph.sender, self.graph.receiver])


_END: dict[str, list[Part]] = {"input": [Input()], "logits": [Logits()]}


def _of_graph(one: EdgeCircuit, other: EdgeCircuit) -> Bool[np.ndarray, " edge"]:
    if not isinstance(other, EdgeCircuit) or other.graph != one.graph:
        raise ValueError(
            "circuits of edges can be combined if they are of one graph; got "
            f"{one.graph} and {getattr(other, 'graph', type(other).__name__)}"
        )
    return other.kept
