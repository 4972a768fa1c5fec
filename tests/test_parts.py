"""Parts, nodes and edges: what is printed is read again, and what cannot be is refused."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.parts import (
    MLP,
    Edge,
    Head,
    Input,
    Logits,
    Neuron,
    Node,
    Port,
    as_head,
    as_heads,
    as_node,
    can_send,
    layer_of,
    parse,
    part_order,
    require_in_model,
    require_once,
    unit_of,
)
from tests.helpers import random_model

index = st.integers(0, 200)
roles = st.none() | st.text("abcSIOEND0123456789+-_.'", min_size=1, max_size=6)
heads = st.builds(Head, index, index)
mlps = st.builds(MLP, index)
neurons = st.builds(Neuron, index, index)
parts = st.one_of(heads, mlps, neurons, st.just(Input()), st.just(Logits()))
nodes = st.builds(Node, parts, roles)


@given(parts)
def test_a_part_is_read_as_it_is_printed(part):
    assert parse(str(part)) == part
    assert type(parse(str(part))) is type(part)
    assert as_node(str(part)) == as_node(part) == Node(part)


@given(nodes)
def test_a_node_is_read_as_it_is_printed(node):
    expected = node.part if node.role is None else node
    assert parse(str(node)) == expected
    assert as_node(str(node)) == as_node(node) == node


@given(nodes, nodes, st.sampled_from(["q", "k", "v", ""]))
def test_an_edge_is_read_as_it_is_printed(sender, receiver, into):
    is_head = isinstance(receiver.part, Head)
    if can_send(sender.part, receiver.part) and (is_head or not into):
        edge = Edge(sender, receiver, into)
        assert parse(str(edge)) == edge
        assert edge.port == Port(receiver, into)
        assert str(edge) == f"{sender} -> {edge.port}"
    else:
        with pytest.raises(ValueError, match=r"has no input|does not write into"):
            Edge(sender, receiver, into)


@given(st.lists(st.sampled_from(["9", "0", ".", "m", "q", "@", "END", "->", " "]), max_size=9))
def test_whatever_is_read_is_printed_to_be_read_again(pieces):
    try:
        found = parse("".join(pieces))
    except ValueError:
        return
    assert parse(str(found)) == found


@pytest.mark.parametrize(
    "text",
    ["9.6", "9.6@END", "m9", "m9.17", "m9@S2", "input", "input@IO", "logits@END",
     "9.6@END -> 10.0.q@END", "9.6 -> 10.0", "5.5@S2 -> m7@S2", "input@IO -> 9.6.v@END",
     "m3@END -> logits@END", "0.0 -> m0"],
)  # fmt: skip
def test_the_words_of_the_module(text):
    assert str(parse(text)) == text
    assert str(parse(f"  {text.replace(' -> ', '->')} ")) == text


@pytest.mark.parametrize(
    "text",
    ["", "9", "9.", ".6", "a.b", "-1.0", "9.6.q", "9.6@", "9.6@a b", "m", "mlp9", "m9.q@END",
     "9.6 10.0", "9.6 ->", "-> 9.6", "9.6.q -> 10.0.q", "9.6 -> 10.0.z", "9.6 -> 10.0.qk",
     "9.6 -> 10.0 -> 11.0", "10.0 -> 9.6.q", "9.6 -> 9.7.q", "m9 -> m9", "m9 -> 9.0", "9.0 -> m8",
     "9.6 -> m10.q", "logits -> 9.6", "9.6 -> input", "9.6 -> m9.17", "9.6 -> logits.q"],
)  # fmt: skip
def test_what_names_nothing_is_refused(text):
    with pytest.raises(ValueError, match=r"names no part|no input|does not write|from an input|"
                                         r"names an input"):  # fmt: skip
        parse(text)


def test_every_way_to_name_a_node():
    node = Node(Head(9, 6), "END")
    for given_ in (node, "9.6@END", (9, 6, "END")):
        assert as_node(given_) == node
    for given_ in (Node(Head(9, 6)), Head(9, 6), (9, 6), "9.6", (9, 6, None)):
        assert as_node(given_) == Node(Head(9, 6))
    assert as_node(MLP(3)) == as_node("m3") == Node(MLP(3))
    for given_ in (9, (9,), (9, "6"), (9, 6, 2), (9, -1), (True, 1), None, 9.6):
        with pytest.raises(TypeError):  # by beartype where the tests check types
            as_node(given_)
    with pytest.raises(ValueError, match="is an edge"):
        as_node("9.6 -> 10.0.q")


def test_a_head_is_a_tuple():
    assert Head(9, 6) == (9, 6) and hash(Head(9, 6)) == hash((9, 6))
    layer, head = Head(9, 6)
    assert (layer, head) == (9, 6)
    assert as_head("9.6") == as_head((9, 6)) == Head(9, 6)
    assert isinstance(as_head((9, 6)), Head)
    assert as_heads(["9.6", (9, 9)]) == [Head(9, 6), Head(9, 9)]
    for wrong in ("m9", "9.6@END", (9, 6, "END"), "input"):
        with pytest.raises(ValueError, match="expected a head"):
            as_head(wrong)
    with pytest.raises(ValueError, match=r"head 9.6 is given twice"):
        as_heads(["9.6", (9, 6)])
    for wrong in (7, None):
        with pytest.raises(TypeError, match="expected a head"):
            as_head(wrong)
    with pytest.raises(TypeError, match="expected a list of heads"):
        as_heads("9.6")


@given(st.lists(nodes, min_size=2, max_size=6))
def test_nodes_sort_as_a_forward_pass_computes_them(some):
    ordered = sorted(some)
    for a, b in itertools.pairwise(ordered):
        assert part_order(a.part) <= part_order(b.part)
        assert not can_send(b.part, a.part) or b.part == a.part
    assert sorted(ordered, reverse=True)[::-1] == ordered or len(set(some)) < len(some)


@given(st.lists(st.tuples(nodes, nodes), min_size=2, max_size=5))
def test_edges_sort_by_their_senders_first(some):
    edges = [Edge(a, b) for a, b in some if can_send(a.part, b.part)]
    ordered = sorted(edges)
    assert [e.sender for e in ordered] == sorted(e.sender for e in edges)


@given(parts, parts, parts)
def test_what_is_sent_goes_forward(a, b, c):
    assert not can_send(a, a)
    assert not (can_send(a, b) and can_send(b, a))
    if can_send(a, b) and can_send(b, c):
        assert can_send(a, c)
    if can_send(a, b):
        assert part_order(a) < part_order(b)
        assert not isinstance(a, Logits) and not isinstance(b, Input | Neuron)


def test_layers_and_units():
    assert [layer_of(p) for p in (Input(), Head(2, 1), MLP(3), Neuron(4, 5))] == [-1, 2, 3, 4]
    assert layer_of(Logits()) == Node(Logits()).layer == 2**31
    assert [unit_of(p) for p in (Head(2, 1), Neuron(4, 5), MLP(3), Input())] == [1, 5, 0, 0]


def test_parts_of_a_model():
    model = random_model()  # 3 layers, 4 heads, 64 neurons
    require_in_model(model, [Head(2, 3), Neuron(2, 63), MLP(2), Input(), Logits()])
    for part, words in (
        (Head(3, 0), "no Head 3.0: it has 3 layers of 4 heads"),
        (Head(0, 4), "no Head 0.4"),
        (MLP(3), "no MLP m3: it has 3 layers, counted"),
        (Neuron(0, 64), "no Neuron m0.64: it has 3 layers of 64 neurons"),
        (Head(0, -1), "no Head 0.-1"),
    ):
        with pytest.raises(ValueError, match=words):
            require_in_model(model, [Head(0, 0), part])


def test_nothing_twice():
    require_once([1, 2, 3], "layer")
    with pytest.raises(ValueError, match="layer 2 is given twice; give each layer once"):
        require_once([1, 2, 2], "layer")


@pytest.mark.parametrize("into", ["Q", "qq", "qk", "z"])
def test_a_head_has_no_other_inputs(into):
    with pytest.raises((ValueError, TypeError)):  # by beartype where the tests check types
        Edge(Node(Head(0, 0)), Node(Head(1, 0)), into)
