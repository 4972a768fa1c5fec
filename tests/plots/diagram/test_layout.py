"""The laws of a diagram's geometry, for any circuit."""

from itertools import combinations, pairwise
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from interp.circuits import (
    CLASSES,
    Circuit,
    Link,
    Member,
    known_circuit,
    published_circuit,
)
from interp.circuits.known import KNOWN
from interp.circuits.members import Connection, Group
from interp.circuits.published import published_connections
from interp.circuits.published.ioi import IOI_ROLES
from interp.plots import example_of
from interp.plots.diagram.layout import layout
from interp.plots.diagram.shapes import Rect, text_width, title_of


def tuple_of(member):
    return (*member.part, member.role)


HEADS = st.dictionaries(
    st.tuples(st.integers(0, 47), st.integers(0, 24), st.sampled_from(IOI_ROLES)),
    st.sampled_from(list(CLASSES)),
    max_size=70,
)
PUBLISHED = {tuple_of(h): h.kind for h in published_circuit("ioi", "gpt2").heads}
CROWD = {(i, j, "END"): kind for i, kind in enumerate(CLASSES) for j in range(30)}


def diagram(found, kind=Circuit):
    heads = tuple(Member(where, name) for where, name in found.items())
    return layout(kind("gpt2", heads))


class Wired(Circuit):
    """A circuit whose classes are connected at random, as measured ones may be."""

    def connections(self):
        rng = Random(len(self.heads))
        groups = list(self.groups())
        senders = [*groups, Group("input", "S1"), Group("input", "END")]
        found = {}
        for _ in range(3 * len(groups)):
            sender, receiver = rng.choice(senders), rng.choice([*groups, Group("logits", "END")])
            inputs = "" if receiver.kind == "logits" else rng.choice(["q", "kv", "v", "qkv"])
            if inputs not in ("", "q") or sender.role == receiver.role:
                found[sender, receiver] = Connection(sender, receiver, inputs)
        return tuple(found.values())


def any_circuit(test):
    laws = settings(max_examples=25, deadline=None)(given(HEADS)(test))
    for case in (PUBLISHED, CROWD, {}):
        laws = example(case)(laws)
    return laws


def overlap(a, b):
    return a.x < b.right and b.x < a.right and a.y < b.bottom and b.y < a.bottom


def inside(inner, outer):
    return (
        outer.x <= inner.x
        and inner.right <= outer.right
        and outer.y <= inner.y
        and inner.bottom <= outer.bottom
    )


def segments(wire):
    """The straight parts of a wire as thin rectangles."""
    for (x0, y0), (x1, y1) in pairwise(wire.points):
        assert x0 == x1 or y0 == y1
        yield Rect(min(x0, x1) - 0.5, min(y0, y1), abs(x1 - x0) + 1, abs(y1 - y0))


def label(wire):
    """Where the letters of a wire stand."""
    x, y = wire.points[-1]
    return Rect(x + 7, y + 7, 24.0, 14.0)


@any_circuit
def test_nothing_covers_anything(found):
    placed = diagram(found)
    solid = [box.rect for box in placed.boxes] + [token.rect for token in placed.tokens]
    for first, second in combinations([*solid, placed.logits], 2):
        assert not overlap(first, second)
    canvas = Rect(0.0, 0.0, placed.width, placed.height)
    assert all(inside(rect, canvas) for rect in [*solid, *placed.columns])


@any_circuit
def test_every_head_is_drawn_once_inside_its_box(found):
    placed = diagram(found)
    drawn = [head for box in placed.boxes for head, _ in box.pills]
    assert {tuple_of(h): h.kind for h in drawn} == found
    assert len(drawn) == len(found)
    for box in placed.boxes:
        assert all(head.group == box.group for head, _ in box.pills)
        assert all(inside(rect, box.rect) for _, rect in box.pills)
        assert not any(overlap(a, b) for (_, a), (_, b) in combinations(box.pills, 2))
        assert text_width(title_of(box.group), 13.0, bold=True) < box.rect.w


@any_circuit
def test_boxes_stand_in_their_column_and_later_stages_higher(found):
    placed = diagram(found)
    roles = [token.role for token in placed.tokens if token.role]
    columns = dict(zip(roles, placed.columns, strict=True))
    rects = {box.group: box.rect for box in placed.boxes}
    assert all(inside(rect, columns[group.role]) for group, rect in rects.items())
    for wire in placed.wires:
        if wire.edge.sender in rects and wire.edge.receiver in rects:
            assert rects[wire.edge.sender].y > rects[wire.edge.receiver].bottom


@any_circuit
def test_wires_join_their_ends_and_cross_no_box(found):
    placed = diagram(found)
    ends = {box.group: box.rect for box in placed.boxes}
    tokens = {token.role: token.rect for token in placed.tokens if token.role}
    for wire in placed.wires:
        sender, receiver, _ = wire.edge
        start = tokens[sender.role] if sender.kind == "input" else ends[sender]
        stop = placed.logits if receiver.kind == "logits" else ends[receiver]
        (x0, y0), (x1, y1) = wire.points[0], wire.points[-1]
        assert (start.x < x0 < start.right, y0) == (True, start.y)
        assert (stop.x < x1 < stop.right, y1) == (True, stop.bottom)
        for segment in segments(wire):
            assert not any(overlap(segment, rect) for rect in ends.values())


@any_circuit
def test_wires_of_two_senders_cross_but_never_run_together(found):
    wires = diagram(found).wires
    parts = [(wire.edge.sender, part) for wire in wires for part in segments(wire)]
    for (one, a), (other, b) in combinations(parts, 2):
        if one != other and (a.w > a.h) == (b.w > b.h):
            grown = Rect(a.x - 2, a.y - 2, a.w + 4, a.h + 4)
            assert not overlap(grown, Rect(b.x, b.y, b.w, max(b.h, 0.1)))


@any_circuit
def test_what_leaves_a_box_does_not_line_up_with_what_enters_the_one_above(found):
    wires = diagram(found).wires
    for leaving in (wire for wire in wires if wire.edge.sender.kind != "input"):
        for entering in (wire for wire in wires if wire.edge.inputs):
            (x0, y0), (x1, y1) = leaving.points[0], entering.points[-1]
            if 0 < y0 - y1 < 100 and leaving.edge.sender != entering.edge.sender:
                assert abs(x0 - x1) > 8


@any_circuit
def test_letters_are_free(found):
    placed = diagram(found)
    read = [wire for wire in placed.wires if wire.edge.inputs]
    for one, other in combinations(read, 2):
        assert not overlap(label(one), label(other))
    for wire in read:
        assert not any(overlap(label(wire), box.rect) for box in placed.boxes)
        for other in placed.wires:
            assert not any(overlap(label(wire), part) for part in segments(other))


def test_the_sentence_must_have_the_positions():
    circuit = Circuit("gpt2", (Member("0.0@YY", "other"),))
    with pytest.raises(ValueError, match=r"lacks END, YY; pass example="):
        layout(circuit, example=[("The", ""), ("war", "XX")])
    with pytest.raises(ValueError, match="a role twice"):
        layout(circuit, example=[("a", "END"), ("b", "END")])
    placed = layout(circuit, example=[("17", "YY"), ("to", "END")])
    assert [token.text for token in placed.tokens] == ["17", "to"]


def test_a_sentence_without_io_leaves_out_what_reads_it():
    circuit = Circuit("gpt2", (Member("9.9@END", "name mover"),))
    placed = layout(circuit, example=[("to", "END")])
    assert [wire.edge.receiver.kind for wire in placed.wires] == ["logits"]


LAWS = (
    test_nothing_covers_anything,
    test_boxes_stand_in_their_column_and_later_stages_higher,
    test_wires_join_their_ends_and_cross_no_box,
    test_wires_of_two_senders_cross_but_never_run_together,
)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_the_laws_hold_for_any_connections(law, monkeypatch):
    monkeypatch.setitem(globals(), "diagram", lambda found: diagram_with(found, Wired))
    law()


diagram_with = diagram


def test_mlps_stand_above_the_heads_that_they_read():
    sentence = [("17", "XX"), ("45", "YY"), ("to", ""), ("17", "END")]
    placed = layout(published_circuit("greater_than", "gpt2"), example=sentence)
    tops = {tuple(box.group): box.rect.y for box in placed.boxes}
    order = [("MLP", "END"), ("mover", "END"), ("MLP", "YY"), ("mover", "YY")]
    assert sorted(tops, key=lambda group: tops[group]) == order
    drawn = {wire.edge for wire in placed.wires}
    assert drawn == set(published_connections(published_circuit("greater_than", "gpt2")))


def test_a_class_far_below_reaches_the_logits_past_the_others():
    heads = (
        Member("1.0@END", "induction"),
        Member("7.3@END", "S-inhibition"),
        Member("9.9@END", "name mover"),
    )
    placed = layout(Circuit("gpt2", heads))
    up = {w.edge.sender.kind: w for w in placed.wires if w.edge.receiver.kind == "logits"}
    assert set(up) == {"induction", "name mover"}
    assert len(up["name mover"].points) == 2
    tips = [wire.points[-1][0] for wire in up.values()]
    assert abs(tips[0] - tips[1]) > 20


@pytest.mark.parametrize("name", KNOWN)
def test_measured_links_are_drawn_upward_and_all_of_them(name):
    known = known_circuit(name, n=2)
    placed = layout(known.circuit, example=example_of(known.model, known.task))
    assert {wire.edge for wire in placed.wires} == set(known.circuit.connections())
    top = {box.group: box.rect.y for box in placed.boxes}
    for wire in placed.wires:
        if wire.edge.sender in top and wire.edge.receiver in top:
            assert top[wire.edge.sender] > top[wire.edge.receiver]


def test_an_example_is_a_prompt_in_pieces():
    known = known_circuit("duplicate", n=1)
    example = example_of(known.model, known.task)
    assert " ".join(text for text, _ in example) == known.task.clean[0]
    words = known.task.clean[0].split()
    assert {role: text for text, role in example if role} == {
        role: words[int(at)] for role, at in known.task.positions.items()
    }
    with pytest.raises(IndexError, match="no prompt 3"):
        example_of(known.model, known.task, prompt=3)


def test_a_token_that_is_only_read_keeps_its_role():
    head = Member("9.9@END", "name mover")
    links = (Link("input@IO+1 -> 9.9.v@END"), Link("9.9@END -> logits@END"))
    assert len(layout(Circuit("gpt2", (head,), links=links)).wires) == 2
