"""The graph of a model: counts known from the literature, and the rules of `interp.parts`."""

import itertools
import time

import numpy as np
import pytest

from interp.parts import Input, can_send
from interp.runs.graph import Graph
from tests.helpers import random_model


def test_gpt2_small_has_the_published_numbers():
    start = time.perf_counter()
    graph = Graph(12, 12)
    graph.n_edges, graph.owner, graph.stages  # noqa: B018
    assert time.perf_counter() - start < 0.5
    assert (graph.n_nodes, len(graph.senders), len(graph.receivers)) == (158, 157, 445)
    assert graph.n_edges == 32_491
    assert len(graph.with_inputs()) == len(set(graph.with_inputs())) == 32_923


def test_edges_join_what_can_send():
    graph = Graph(3, 2)
    for (s, sender), (r, port) in itertools.product(
        enumerate(graph.senders), enumerate(graph.receivers)
    ):
        assert graph.exists[s, r] == can_send(sender, port.node.part), (sender, port)


def test_index_and_edge_are_inverse():
    graph = Graph.of(random_model(n_layers=2))
    for i, edge in enumerate(graph.edges()):
        assert graph.index(edge) == graph.index(str(edge)) == i
        assert str(edge) == (
            f"{graph.sender_names[graph.sender[i]]} -> {graph.receiver_names[graph.receiver[i]]}"
        )


def test_owners_and_stages():
    graph = Graph(3, 2)
    for r, port in enumerate(graph.receivers[:-1]):
        assert graph.senders[graph.owner[r]] == port.node.part
        assert r in graph.inputs_of(port.node.part)
    assert graph.owner[-1] == len(graph.senders)
    assert graph.inputs_of(Input()) == []
    senders = np.concatenate([np.arange(100)[s] for s, _ in graph.stages])
    receivers = np.concatenate([np.arange(100)[r] for _, r in graph.stages])
    assert [0, *senders] == list(range(len(graph.senders)))
    assert [*receivers, len(receivers)] == list(range(len(graph.receivers)))
    for s, r in graph.stages:
        assert set(graph.owner[r]) == set(range(s.start, s.stop))
        assert set(graph.before[r]) == {s.start}


@pytest.mark.parametrize(
    "edge", ["1.0 -> 0.1.q", "0.0 -> 1.0", "0.0@END -> 1.0.q", "5.0 -> logits", "0.0"]
)
def test_what_is_no_edge(edge):
    with pytest.raises(ValueError, match="has no edge|does not write into"):
        Graph(2, 2).index(edge)


def test_a_graph_needs_a_layer():
    with pytest.raises(ValueError, match="at least one layer"):
        Graph(0, 2)
