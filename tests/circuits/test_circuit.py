"""Circuits: what a valid one is, whose it is, its connections."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.circuits import CLASSES, Circuit, Link, Member, published_circuit, route
from interp.circuits.members import Connection, Group
from interp.circuits.published import published_connections
from interp.circuits.published.connections import connections_of
from interp.circuits.published.ioi import IOI_ROLES
from interp.parts import MLP, Edge, Head, Input, Logits, Node
from interp.plots import circuit_dot, circuit_mermaid, circuit_svg
from tests.helpers import random_model

HEADS = st.dictionaries(
    st.tuples(st.integers(0, 47), st.integers(0, 24), st.sampled_from(IOI_ROLES)),
    st.sampled_from(list(CLASSES)),
    max_size=70,
)


def circuit_of(found):
    return Circuit("gpt2", [Member(where, kind) for where, kind in found.items()], "a test")


CHAIN = Circuit(
    "gpt2",
    (
        Member("0.1@S2", "duplicate token"),
        Member("7.3@END", "S-inhibition"),
        Member("9.9@END", "name mover"),
    ),
)
LINKS = (
    Link("input@S1 -> 0.1.k@S2"),
    Link("0.1@S2 -> 7.3.v@END", -1.0, -1.2, -0.8, 0.001),
    Link("0.1@S2 -> 7.3.k@END"),
    Link("7.3@END -> 9.9.q@END", 0.5),
    Link("9.9@END -> logits@END"),
)


def test_a_member_is_a_node_with_a_class():
    member = Member("10.7@END", "negative name mover")
    assert member == Member(Node(Head(10, 7), "END"), "negative name mover")
    assert (member.part, member.role, member.layer) == (Head(10, 7), "END", 10)
    assert (member.label, str(member)) == ("10.7", "10.7@END")
    assert member.group == Group("negative name mover", "END")
    mlp = Member("m9@END")
    assert (mlp.part, mlp.kind, mlp.label) == (MLP(9), "MLP", "m9")


@pytest.mark.parametrize(
    ("node", "kind", "message"),
    [
        (Node(Head(-1, 0), "END"), "other", "whole numbers from 0"),
        (Node(Head(0, -3), "END"), "other", "whole numbers from 0"),
        (Node(MLP(-1), "END"), "MLP", "whole numbers from 0"),
        ("9.6@END", "name mouver", "9.6@END has the unknown class 'name mouver'.*name mover"),
        ("9.6@END", "MLP", "unknown class 'MLP'"),
        ("m9@END", "mover", "m9@END has the unknown class 'mover'; expected one of MLP"),
        ("9.6", "name mover", "a head or an MLP at a role"),
        (Node(Head(9, 6), ""), "name mover", "a head or an MLP at a role"),
        ("m9.17@END", "MLP", "a head or an MLP at a role"),
        ("input@IO", "other", "a head or an MLP at a role"),
    ],
)
def test_a_member_that_cannot_be(node, kind, message):
    with pytest.raises(ValueError, match=message):
        Member(node, kind)


def test_a_node_is_there_once():
    member, elsewhere = Member("9.6@END", "name mover"), Member("9.6@S2", "other")
    assert Circuit("gpt2", (member, elsewhere)).heads == (member, elsewhere)
    with pytest.raises(ValueError, match="member 9.6@END is given twice"):
        Circuit("gpt2", (member, Member("9.6@END", "other")))
    with pytest.raises(ValueError, match="member m3@END is given twice"):
        Circuit("gpt2", (Member("m3@END"), Member("m3@END")))
    with pytest.raises(ValueError, match=r"link 7.3@END -> 9.9.q@END is given twice"):
        Circuit("gpt2", CHAIN.members, links=(LINKS[3], LINKS[3]))


def test_heads_of():
    assert [h.label for h in CHAIN.heads_of("name mover")] == ["9.9"]
    assert CHAIN.heads_of("induction") == ()
    with pytest.raises(ValueError, match="unknown class 'movers'"):
        CHAIN.heads_of("movers")


@given(HEADS, st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_the_order_in_which_members_are_given_does_not_matter(found, seed):
    circuit, shuffled = circuit_of(found), list(found.items())
    Random(seed).shuffle(shuffled)
    other = circuit_of(dict(shuffled))
    assert other == circuit and hash(other) == hash(circuit)
    assert other.to_json() == circuit.to_json() and other.groups() == circuit.groups()
    assert list(other.nodes) == sorted(circuit.nodes)


def test_nor_does_that_of_links_and_in_drawings():
    one = Circuit("gpt2", CHAIN.members, links=LINKS)
    other = Circuit("gpt2", CHAIN.members[::-1], links=LINKS[::-1])
    assert other == one and other.to_json() == one.to_json()
    for draw in (circuit_svg, circuit_dot, circuit_mermaid):
        assert draw(other) == draw(one)
    paper = published_circuit("ioi", "gpt2")
    again = Circuit("gpt2", paper.members[::-1], paper.source, task="ioi")
    assert again == paper and circuit_svg(again) == circuit_svg(paper)


def test_published_connections_join_only_the_classes_that_are_there():
    duplicate, inhibition = Group("duplicate token", "S2"), Group("S-inhibition", "END")
    mover = Group("name mover", "END")
    assert set(published_connections(CHAIN)) == {
        Connection(Group("input", "S1"), duplicate, "kv"),
        Connection(Group("input", "S2"), duplicate, "q"),
        Connection(Group("input", "END"), inhibition, "q"),
        Connection(Group("input", "IO"), mover, "kv"),
        Connection(duplicate, inhibition, "kv"),
        Connection(inhibition, mover, "q"),
        Connection(mover, Group("logits", "END"), ""),
    }
    assert CHAIN.connections() == ()
    assert connections_of(CHAIN) == published_connections(CHAIN)


@given(HEADS)
@settings(max_examples=30, deadline=None)
def test_connections_respect_causality_and_touch_only_members(found):
    circuit = circuit_of(found)
    groups = set(circuit.groups())
    for sender, receiver, inputs in published_connections(circuit):
        assert sender in groups or sender.kind == "input"
        assert receiver in groups or receiver == Group("logits", "END")
        assert IOI_ROLES.index(sender.role) <= IOI_ROLES.index(receiver.role)
        if inputs in ("", "q"):
            assert sender.role == receiver.role
        assert "other" not in (sender.kind, receiver.kind)


def test_mlps_are_groups_after_the_heads():
    mlps = (Member("m10@END"), Member("m2@S2"), Member("m11@END"))
    circuit = Circuit("gpt2", (*mlps, *CHAIN.members))
    groups = list(circuit.groups().items())
    assert dict(groups[:3]) == CHAIN.groups()
    assert groups[-2:] == [
        (Group("MLP", "S2"), (mlps[1],)),
        (Group("MLP", "END"), (mlps[0], mlps[2])),
    ]
    assert circuit.heads == CHAIN.heads and circuit.mlps == (mlps[1], mlps[0], mlps[2])


def test_measured_links_make_the_connections():
    circuit = Circuit("gpt2", CHAIN.members, links=LINKS)
    duplicate, inhibition = Group("duplicate token", "S2"), Group("S-inhibition", "END")
    mover = Group("name mover", "END")
    assert circuit.connections() == connections_of(circuit)
    assert circuit.connections() == (
        Connection(Group("input", "S1"), duplicate, "k"),
        Connection(duplicate, inhibition, "kv"),
        Connection(inhibition, mover, "q"),
        Connection(mover, Group("logits", "END"), ""),
    )


def test_a_link_may_end_in_an_mlp_and_start_at_one():
    links = (
        Link("input@END -> m3@END"),
        Link("m3@END -> 9.9.q@END", -0.1),
        Link("9.9@END -> m9@END"),
        Link("m9@END -> logits@END"),
    )
    members = (*CHAIN.members, Member("m3@END"), Member("m9@END"))
    circuit = Circuit("gpt2", members, links=links)
    mover, mlps = Group("name mover", "END"), Group("MLP", "END")
    assert set(circuit.connections()) == {
        Connection(Group("input", "END"), mlps, ""),
        Connection(mlps, mover, "q"),
        Connection(mover, mlps, ""),
        Connection(mlps, Group("logits", "END"), ""),
    }
    assert Circuit.from_json(circuit.to_json()) == circuit
    assert "9.9@END" in circuit_dot(circuit)
    circuit_svg(circuit)


def test_a_link_joins_members_of_the_circuit():
    for link, lost in (("9.6@END -> logits@END", "9.6@END"), ("0.1@S1 -> 9.9.k@END", "0.1@S1")):
        with pytest.raises(ValueError, match=f"joins {lost}, which is not in the circuit"):
            Circuit("gpt2", CHAIN.members, links=(Link(link),))


@pytest.mark.parametrize(
    ("edge", "message"),
    [
        ("9.9@END -> logits.q@END", "has no input 'q'"),
        ("8.6@S2 -> 9.9.q@END", "changes position, which only keys and values of heads can"),
        ("8.6@S2 -> m9@END", "changes position"),
        ("8.6@S2 -> logits@END", "changes position"),
        ("8.6 -> 9.9.q@END", "at a role on both sides.*got 8.6"),
        ("8.6@END -> 9.9.q", "at a role on both sides.*got 9.9"),
        ("m8.17@END -> 9.9.q@END", "got m8.17@END"),
        ("9.9@END -> 8.6.q@END", "does not write into"),
        ("logits@END -> 8.6.q@END", "does not write into"),
    ],
)
def test_a_link_that_cannot_be(edge, message):
    with pytest.raises(ValueError, match=message):
        Link(edge)


def test_what_a_link_says():
    link = Link("8.6@S2 -> 9.9.k@END", -0.5, q_value=0.01)
    assert link.edge == Edge(Node(Head(8, 6), "S2"), Node(Head(9, 9), "END"), "k")
    assert (link.sender, link.receiver) == (Node(Head(8, 6), "S2"), Node(Head(9, 9), "END"))
    assert link.input == "k"
    assert str(link) == "8.6@S2 -> 9.9.k@END"
    assert link.record() == {
        "sender": "8.6", "sent_from": "S2", "receiver": "9.9", "received_at": "END", "inputs": "k",
        "effect": -0.5, "q_value": 0.01,
    }  # fmt: skip
    with pytest.raises(ValueError, match="effect of the link .* must be a finite number; got nan"):
        Link("8.6@S2 -> 9.9.k@END", float("nan"))
    ends = Link("input@IO -> 9.9.v@END"), Link("9.9@END -> logits@END")
    assert (ends[0].sender.part, ends[1].receiver.part) == (Input(), Logits())


def test_a_circuit_is_of_its_model():
    model = random_model()
    members = (Member("0.1@S2", "other"), Member("2.3@END", "other"))
    Circuit(model.name, members).require_model(model)
    Circuit(model.name, members, weights=model.fingerprint()).require_model(model)
    with pytest.raises(ValueError, match=r"belongs to the model 'gpt2', and this is.*for_model"):
        Circuit("gpt2", members).require_model(model)
    other = Circuit(model.name, members, weights=random_model(seed=1).fingerprint())
    with pytest.raises(ValueError, match=r"weights \w+, and this model of the same name"):
        other.require_model(model)
    other.for_model(model).require_model(model)
    with pytest.raises(ValueError, match="no Head 7.3"):
        Circuit(model.name, CHAIN.members).require_model(model)


def test_a_circuit_is_carried_over_on_purpose():
    model = random_model()
    members = (Member("0.1@S2", "other"), Member("2.3@END", "name mover"), Member("m2@END"))
    links = (Link("2.3@END -> logits@END", -1.0),)
    there = Circuit("gpt2", members, "a paper", links, task="ioi").for_model(model)
    assert there.members == members and there.links == ()
    assert (there.model, there.weights) == (model.name, model.fingerprint())
    assert (there.source, there.task) == ("a paper, carried over from gpt2", "ioi")
    there.require_model(model)
    with pytest.raises(ValueError, match="no Head 7.3"):
        CHAIN.for_model(model)


def test_the_route_from_a_token_follows_the_links():
    links = [
        Link("input@IO -> 0.1.v@IO+1"),
        Link("0.1@IO+1 -> 3.2.v@END"),
        Link("input@S2 -> 2.0.k@END"),
        Link("2.0@END -> 3.2.q@END"),
        Link("3.2@END -> logits@END"),
    ]
    assert [str(node) for node in route(links, "IO")] == [
        "input@IO", "0.1@IO+1", "3.2@END", "logits@END",
    ]  # fmt: skip
    assert route(links[1:], "IO") == () and route(links[:-1], "IO") == ()
    assert route([], "IO") == () and route(links, "S2") == ()  # S2 says where to look


def test_of_two_routes_the_one_that_favors_the_answer_is_taken():
    links = [Link(f"input@IO -> {head}.v@END") for head in ("4.0", "4.1", "4.2")] + [
        Link(f"{head}@END -> logits@END", effect)
        for head, effect in (("4.0", 0.5), ("4.1", -2.0), ("4.2", -0.1))
    ]
    assert str(route(links, "IO")[1]) == "4.1@END"
