"""Circuits: what a valid one is, its connections, and its file."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.circuits import CLASSES, ROLES, Circuit, CircuitHead, CircuitMLP, Edge, Group, Link

HEADS = st.dictionaries(
    st.tuples(st.integers(0, 47), st.integers(0, 24), st.sampled_from(ROLES)),
    st.sampled_from(list(CLASSES)),
    max_size=70,
)


def circuit_of(found):
    heads = tuple(Member(where, kind) for where, kind in found.items())
    return Circuit("gpt2", heads, "a test")


CHAIN = Circuit(
    "gpt2",
    (
        Member("0.1@S2", "duplicate token"),
        Member("7.3@END", "S-inhibition"),
        Member("9.9@END", "name mover"),
    ),
)


def test_label():
    assert Member("10.7@END", "negative name mover").label == "10.7"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ((-1, 0, "other", "END"), "layer must be a whole number from 0, not -1"),
        ((0, -3, "other", "END"), "head must be a whole number from 0, not -3"),
        ((9, 6, "name mouver", "END"), "9.6 has the unknown class 'name mouver'.*name mover"),
        ((9, 6, "name mover", ""), "9.6 needs a position"),
    ],
)
def test_a_head_that_cannot_be(fields, message):
    with pytest.raises(ValueError, match=message):
        CircuitHead(*fields)


def test_a_head_is_there_once_for_each_position():
    head = Member("9.6@END", "name mover")
    elsewhere = Member("9.6@S2", "other")
    assert Circuit("gpt2", (head, elsewhere)).heads == (head, elsewhere)
    with pytest.raises(ValueError, match=r"more than once: 9\.6 at END"):
        Circuit("gpt2", (head, Member("9.6@END", "other")))


def test_heads_of():
    assert [h.label for h in CHAIN.heads_of("name mover")] == ["9.9"]
    assert CHAIN.heads_of("induction") == ()
    with pytest.raises(KeyError, match="Unknown class 'movers'"):
        CHAIN.heads_of("movers")


def test_edges_join_only_the_classes_that_are_there():
    duplicate, inhibition = Group("duplicate token", "S2"), Group("S-inhibition", "END")
    mover = Group("name mover", "END")
    assert set(CHAIN.connections()) == {
        Edge(Group("input", "S1"), duplicate, "kv"),
        Edge(Group("input", "S2"), duplicate, "q"),
        Edge(Group("input", "END"), inhibition, "q"),
        Edge(Group("input", "IO"), mover, "kv"),
        Edge(duplicate, inhibition, "kv"),
        Edge(inhibition, mover, "q"),
        Edge(mover, Group("logits", "END"), ""),
    }


@given(HEADS)
@settings(max_examples=30, deadline=None)
def test_edges_respect_causality_and_touch_only_members(found):
    circuit = circuit_of(found)
    groups = set(circuit.groups())
    for sender, receiver, inputs in circuit.connections():
        assert sender in groups or sender.kind == "input"
        assert receiver in groups or receiver == Group("logits", "END")
        assert ROLES.index(sender.position) <= ROLES.index(receiver.position)
        if inputs in ("q", ""):
            assert sender.position == receiver.position
        assert "other" not in (sender.kind, receiver.kind)


@given(HEADS)
@settings(max_examples=30, deadline=None)
def test_json_round_trip(found):
    circuit = circuit_of(found)
    assert Circuit.from_json(circuit.to_json()) == circuit


def test_json_has_the_published_fields():
    first = json.loads(CHAIN.to_json())["heads"][0]
    assert first == {"layer": 0, "head": 1, "class": "duplicate token", "position": "S2"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("heads: 9.6", "holds JSON"),
        ("[]", 'holds {"model"'),
        ('{"model": "gpt2", "heads": [{"layer": 9, "head": 6}]}', "Entry 0 .* class, position"),
        ('{"model": "gpt2", "heads": ["9.6"]}', "Entry 0"),
    ],
)
def test_a_file_that_is_no_circuit(text, message):
    with pytest.raises(ValueError, match=message):
        Circuit.from_json(text)


def test_mlps_are_nodes_after_the_heads():
    mlps = (Member("m10@END"), Member("m2@S2"), Member("m11@END"))
    circuit = Circuit("gpt2", CHAIN.heads, mlps=mlps)
    assert circuit.groups() == CHAIN.groups()
    nodes = list(circuit.nodes().items())
    assert nodes[-2:] == [
        (Group("MLP", "END"), (mlps[0], mlps[2])),
        (Group("MLP", "S2"), (mlps[1],)),
    ]
    assert [mlp.label for mlp in mlps] == ["m10", "m2", "m11"]
    assert Circuit.from_json(circuit.to_json()) == circuit
    assert "mlps" not in json.loads(CHAIN.to_json())


def test_mlps_that_cannot_be():
    with pytest.raises(ValueError, match="whole number from 0, not -1"):
        CircuitMLP(-1, "END")
    with pytest.raises(ValueError, match="m3 needs a position"):
        Member("m3@")
    with pytest.raises(ValueError, match="more than once: m3 at END"):
        Circuit("gpt2", (), mlps=(Member("m3@END"), Member("m3@END")))
    with pytest.raises(ValueError, match="Entry 1 of mlps needs layer and position"):
        Circuit.from_json(
            '{"model": "m", "heads": [], "mlps": [{"layer": 1, "position": "END"}, {"layer": 2}]}'
        )


LINKS = (
    Link("input", "S1", "0.1", "S2", "k"),
    Link("0.1", "S2", "7.3", "END", "v", -1.0, -1.2, -0.8, 0.001),
    Link("0.1", "S2", "7.3", "END", "k"),
    Link("7.3", "END", "9.9", "END", "q", 0.5),
    Link("9.9", "END", "logits", "END", ""),
)


def test_measured_links_make_the_edges():
    circuit = Circuit("gpt2", CHAIN.heads, links=LINKS)
    duplicate, inhibition = Group("duplicate token", "S2"), Group("S-inhibition", "END")
    mover = Group("name mover", "END")
    assert circuit.connections() == (
        Edge(Group("input", "S1"), duplicate, "k"),
        Edge(duplicate, inhibition, "kv"),
        Edge(inhibition, mover, "q"),
        Edge(mover, Group("logits", "END"), ""),
    )
    assert Circuit.from_json(circuit.to_json()) == circuit
    assert "links" not in json.loads(CHAIN.to_json())
    assert json.loads(circuit.to_json())["links"][3]["effect"] == 0.5


def test_a_link_joins_members_of_the_circuit():
    for link in (Link("9.6", "END", "logits", "END", ""), Link("0.1", "S1", "9.9", "END", "k")):
        with pytest.raises(ValueError, match="does not have at that position"):
            Circuit("gpt2", CHAIN.heads, links=(link,))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (("9.9", "END", "logits", "END", "q"), "reads into 'q'"),
        (("8.6", "END", "9.9", "END", ""), "reads into ''"),
        (("8.6", "S2", "9.9", "END", "q"), "only keys and values can"),
    ],
)
def test_a_link_that_cannot_be(fields, message):
    with pytest.raises(ValueError, match=message):
        Link(*fields)


def test_a_file_with_a_link_that_is_none():
    text = json.dumps({"model": "gpt2", "heads": [], "links": [{"sender": "9.9"}]})
    with pytest.raises(ValueError, match=r"fields of interp\.circuits\.Link"):
        Circuit.from_json(text)
