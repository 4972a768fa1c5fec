"""Circuits of edges as sets, and from circuits of heads."""

import numpy as np
import pytest

from interp.circuits import EdgeCircuit, Graph, known_circuit, published_circuit
from interp.parts import MLP, Head, Input, Logits

GRAPH = Graph(2, 2)


def circuit(*edges):
    return EdgeCircuit.of(GRAPH, edges)


def test_they_are_sets():
    a = circuit("input -> 0.0.q", "0.0 -> m0", "m0 -> logits")
    b = circuit("0.0 -> m0", "m1 -> logits")
    assert a | b == circuit("input -> 0.0.q", "0.0 -> m0", "m0 -> logits", "m1 -> logits")
    assert a & b == circuit("0.0 -> m0")
    assert a - b == circuit("input -> 0.0.q", "m0 -> logits")
    assert a ^ b == (a | b) - (a & b)
    assert len(~a) == GRAPH.n_edges - 3 and ~~a == a and not len(a & ~a)
    assert hash(a) == hash(a | a) and a != b and a != "a"
    assert "0.0 -> m0" in b and "m0 -> logits" not in b
    assert [str(edge) for edge in b] == ["0.0 -> m0", "m1 -> logits"]
    assert EdgeCircuit.of(GRAPH, a) == a


def test_parts_and_matrix():
    a = circuit("input -> 0.1.k", "m1 -> logits")
    assert a.parts == (Input(), Head(0, 1), MLP(1), Logits())
    assert a.heads == (Head(0, 1),)
    assert a.matrix.sum() == 2 and not (a.matrix & ~GRAPH.exists).any()


def test_pruning_keeps_what_lies_on_a_path():
    on = ["input -> 0.1.k", "0.1 -> m0", "m0 -> 1.0.v", "m0 -> 1.0.q", "1.0 -> logits"]
    off = ["0.0 -> m0", "m0 -> m1", "input -> 1.1.q", "m1 -> 1.0.v"][:3]
    assert circuit(*on, *off).pruned() == circuit(*on)
    assert circuit("input -> logits").pruned() == circuit("input -> logits")
    assert len(circuit("0.0 -> logits", "input -> m1").pruned()) == 0


def brute_pruned(edges):
    while True:
        senders, parts = (
            {s for s, _ in edges},
            {r.removesuffix(r[-2:]) if r[-2:] in (".q", ".k", ".v") else r for _, r in edges},
        )
        left = {
            (s, r)
            for s, r in edges
            if (s == "input" or s in parts)
            and (r == "logits" or (r[:-2] if r[-2:] in (".q", ".k", ".v") else r) in senders)
        }
        if left == edges:
            return edges
        edges = left


@pytest.mark.parametrize("seed", range(8))
def test_pruning_is_dropping_dead_ends_again_and_again(seed):
    rng = np.random.default_rng(seed)
    some = EdgeCircuit(GRAPH, rng.random(GRAPH.n_edges) < 0.25)
    edges = {(str(e.sender), str(e.port)) for e in some}
    found = {(str(e.sender), str(e.port)) for e in some.pruned()}
    assert found == brute_pruned(edges)


def test_edges_of_circuits_of_heads():
    known = known_circuit("induction", n=4)
    found = EdgeCircuit.of_circuit(Graph.of(known.model), known.circuit)
    assert len(found) == len(
        {(x.sender.part, x.receiver.part, x.input) for x in known.circuit.links}
    )
    assert found.pruned() == found
    paper = EdgeCircuit.of_circuit(Graph(12, 12), published_circuit("ioi", "gpt2"))
    between = [edge for edge in paper if not isinstance(edge.sender.part, Input)]
    assert len(between) == 137
    assert "9.9 -> logits" in paper and "2.2 -> 5.5.k" in paper and "8.6 -> 10.7.q" in paper
    assert "5.5 -> 2.2.k" not in str(list(map(str, paper)))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="one truth value for each of the 46 edges"):
        EdgeCircuit(GRAPH, np.ones(3, dtype=bool))
    with pytest.raises(ValueError, match="if they are of one graph"):
        circuit("m0 -> m1") | EdgeCircuit.of(Graph(1, 1), ["m0 -> logits"])
