"""The circuit as a graph: what joins what, and text that others can read."""

import io
import re
from dataclasses import replace

import networkx as nx
import pytest

from interp.circuits import Circuit, Link, Member, published_circuit
from interp.plots import circuit_dot, circuit_graphml, to_networkx

SMALL = Circuit(
    'a "model"',
    (
        Member("0.1@S2", "duplicate token"),
        Member("3.0@S2", "duplicate token"),
        Member("2.5@END", "S-inhibition"),
        Member("9.9@END", "name mover"),
    ),
    "hand",
)


def test_nodes_and_edges_by_hand():
    graph = to_networkx(SMALL)
    assert graph.graph == {"model": 'a "model"', "source": "hand"}
    assert graph.nodes["9.9@END"] == {
        "label": "9.9", "kind": "name mover", "position": "END", "layer": 9, "head": 9,
    }  # fmt: skip
    assert graph.nodes["input@S1"] == {"label": "S1", "kind": "input", "position": "S1"}
    assert {(s, r): i for s, r, i in graph.edges(data="inputs")} == {
        ("input@S1", "0.1@S2"): "kv",
        ("input@S1", "3.0@S2"): "kv",
        ("input@S2", "0.1@S2"): "q",
        ("input@S2", "3.0@S2"): "q",
        ("input@END", "2.5@END"): "q",
        ("input@IO", "9.9@END"): "kv",
        ("0.1@S2", "2.5@END"): "kv",  # but not from 3.0, which lies above 2.5
        ("2.5@END", "9.9@END"): "q",
        ("9.9@END", "logits"): "",
    }


def test_measured_links_are_the_arrows():
    links = (
        Link("input@S1 -> 0.1.v@S2"),
        Link("input@S1 -> 0.1.k@S2"),
        Link("0.1@S2 -> 2.5.v@END"),
        Link("2.5@END -> logits@END", -1.0),
    )
    graph = to_networkx(replace(SMALL, links=links))
    assert {(s, r): i for s, r, i in graph.edges(data="inputs")} == {
        ("input@S1", "0.1@S2"): "kv",
        ("0.1@S2", "2.5@END"): "v",
        ("2.5@END", "logits"): "",
    }
    assert set(graph) >= {"9.9@END", "3.0@S2"}  # without an arrow
    assert graph.nodes["input@S1"] == {"label": "S1", "kind": "input", "position": "S1"}
    assert '"input@S1" -> "0.1@S2" [label="k v"]' in circuit_dot(replace(SMALL, links=links))


@pytest.mark.parametrize("task", ["ioi", "greater_than", "induction"])
def test_the_published_ones_flow_upward_to_the_logits(task):
    circuit = published_circuit(task, "gpt2")
    graph = to_networkx(circuit)
    assert nx.is_directed_acyclic_graph(graph)
    nodes = {str(node) for node in circuit.nodes}
    assert nodes <= set(graph)
    assert all(nx.has_path(graph, node, "logits") for node in nodes)


def test_an_mlp_reads_the_heads_of_its_layer_and_not_the_reverse():
    heads = (Member("8.0@END", "mover"), Member("9.0@END", "mover"))
    graph = to_networkx(Circuit("gpt2", (*heads, Member("m8@END"))))
    assert graph.has_edge("8.0@END", "m8@END")
    assert not graph.has_edge("9.0@END", "m8@END")


def test_graphml_comes_back_as_it_was():
    graph = to_networkx(published_circuit("greater_than", "gpt2"))
    again = nx.read_graphml(
        io.BytesIO(circuit_graphml(published_circuit("greater_than", "gpt2")).encode())
    )
    assert dict(again.nodes(data=True)) == dict(graph.nodes(data=True))
    assert set(again.edges(data="inputs")) == set(graph.edges(data="inputs"))


def test_dot_has_every_node_and_edge_once_and_escapes_names():
    text = circuit_dot(SMALL)
    assert text.startswith('digraph "a \\"model\\"" {') and text.endswith("}\n")
    graph = to_networkx(SMALL)
    for node in graph:
        assert len(re.findall(rf'^ +"{re.escape(node)}" \[', text, re.M)) == 1
    arrows = re.findall(r'"([^"]+)" -> "([^"]+)"', text)
    assert sorted(arrows) == sorted(graph.edges)
    assert text.count("{") == text.count("}")
