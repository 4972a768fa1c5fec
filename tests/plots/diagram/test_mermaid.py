"""Mermaid text, against the part of its grammar that we use."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.circuits import CLASSES, Circuit, Member, known_circuit, published_circuit
from interp.circuits.published import published_connections
from interp.plots import circuit_mermaid

ID = r"[A-Za-z]\w*"
TEXT = r'"[^"\n<>]+"'
GRAMMAR = {
    "node": re.compile(rf"({ID})(?:\[{TEXT}\]|\[\[{TEXT}\]\]|\(\[{TEXT}\]\))$"),
    "subgraph": re.compile(rf"subgraph ({ID})\[{TEXT}\]$"),
    "edge": re.compile(rf"({ID}) (?:-- {TEXT} )?--> ({ID})$"),
    "style": re.compile(rf"style ({ID}) fill:#[0-9A-F]{{6}},stroke:#[0-9A-F]{{6}}$"),
}


def parse(text):
    """Everything that is declared and used; fails on a line outside the grammar."""
    first, *lines = text.splitlines()
    assert first == "flowchart BT"
    found = {name: [] for name in GRAMMAR}
    depth = 0
    for line in (line.strip() for line in lines):
        if line == "end":
            depth -= 1
            assert depth == 0
            continue
        name, match = next(
            (name, m) for name, rule in GRAMMAR.items() if (m := rule.match(line)) is not None
        )
        depth += name == "subgraph"
        assert depth <= 1
        found[name].append(match.groups())
    assert depth == 0
    declared = [name for kind in ("node", "subgraph") for (name,) in found[kind]]
    assert len(declared) == len(set(declared))
    used = {name for kind in ("edge", "style") for names in found[kind] for name in names}
    assert used <= set(declared)
    return found


def test_the_published_circuit():
    text = circuit_mermaid(published_circuit("ioi", "gpt2"))
    found = parse(text)
    assert len(found["subgraph"]) == 7
    assert len(found["node"]) == 26 + 5 + 1
    assert len(found["edge"]) == 17
    assert ("induction__S2", "S_inhibition__END") in found["edge"]
    assert 'negative_name_mover__END -- "\N{MINUS SIGN}" --> logits__END' in text
    assert 'backup_name_mover__END -- "+" --> logits__END' in text


def test_no_heads():
    assert parse(circuit_mermaid(Circuit("mini", ())))["node"] == [("logits__END",)]


@given(
    st.dictionaries(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.text(min_size=1, max_size=5)),
        st.sampled_from(list(CLASSES)),
        max_size=12,
    )
)
@settings(max_examples=30, deadline=None)
def test_any_position_name_gives_a_valid_chart(found):
    heads = tuple(Member(where, kind) for where, kind in found.items())
    parse(circuit_mermaid(Circuit("m", heads)))


@pytest.mark.parametrize("position", ["end", 'a"b', "<b>", "a;b", "#1"])
def test_markup_in_a_position_is_only_text(position):
    circuit = Circuit("m", (Member((0, 0, position), "other"),))
    line = circuit_mermaid(circuit).splitlines()[1]
    written = re.search(r' at (.*)"\]$', line).group(1)
    assert re.sub(r"#(\d+);", lambda m: chr(int(m.group(1))), written) == position


def test_a_circuit_of_another_task_with_mlps():
    circuit = published_circuit("greater_than", "gpt2")
    found = parse(circuit_mermaid(circuit))
    assert len(found["node"]) == 1 + len(circuit.heads) + len(circuit.mlps) + 1  # YY, logits
    assert len(found["edge"]) == len(published_connections(circuit))
    assert "MLP__END --> " not in circuit_mermaid(circuit)  # to the logits it has a sign
    assert "mover__YY --> MLP__YY" in circuit_mermaid(circuit)


def test_measured_connections_and_roles_of_other_tasks():
    text = circuit_mermaid(known_circuit("duplicate", n=1).circuit)
    assert 'input__X2 -- "q" --> duplicate_token__X2' in text
    assert 'duplicate_token__X2 -- "k" --> mover__END' in text
