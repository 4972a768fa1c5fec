"""The published circuit and figures, against the facts that lie beside the project."""

import math
import re
from pathlib import Path

import pytest

from interp.circuits import published_circuit
from interp.circuits.published import (
    IOI_EXCEPTIONS,
    IOI_FIGURES,
    IOI_GREEDY,
    IOI_IMPORTANCE,
    published_connections,
)

FACTS = Path(__file__).parents[2].parent / "shared" / "ioi" / "published.md"


def test_ioi_has_26_heads_with_one_position_each():
    circuit = published_circuit("ioi", "gpt2")
    assert len(circuit.heads) == len({head.label for head in circuit.heads}) == 26
    assert [len(heads) for heads in circuit.groups().values()] == [2, 3, 4, 4, 3, 8, 2]


@pytest.mark.skipif(not FACTS.exists(), reason=f"needs the published facts at {FACTS}")
def test_ioi_is_the_published_table():
    rows = re.findall(r"^\| ([\w -]+?) \| ([\d., ]+) \| (\S+) \|$", FACTS.read_text(), re.M)
    assert len(rows) == 7
    listed = {(kind, label, at) for kind, labels, at in rows for label in labels.split(", ")}
    ours = {(head.kind, head.label, head.role) for head in published_circuit("ioi", "gpt2").heads}
    assert ours == listed


def test_every_published_connection_is_there():
    edges = {
        (sender.kind, receiver.kind, inputs)
        for sender, receiver, inputs in published_connections(published_circuit("ioi", "gpt2"))
    }
    movers = ("name mover", "backup name mover", "negative name mover")
    assert edges == {
        ("input", "previous token", "q"),
        ("input", "previous token", "kv"),
        ("input", "duplicate token", "q"),
        ("input", "duplicate token", "kv"),
        ("input", "S-inhibition", "q"),
        ("previous token", "induction", "kv"),
        ("induction", "S-inhibition", "kv"),
        ("duplicate token", "S-inhibition", "kv"),
        *(("input", mover, "kv") for mover in movers),
        *(("S-inhibition", mover, "q") for mover in movers),
        *((mover, "logits", "") for mover in movers),
    }


def test_an_unknown_circuit_names_those_there_are():
    with pytest.raises(KeyError, match=r"\('ioi', 'gpt2'\)"):
        published_circuit("ioi", "gpt3")


@pytest.mark.parametrize("figure", IOI_FIGURES, ids=lambda figure: figure.key)
def test_a_figure_agrees_with_itself_and_not_with_nonsense(figure):
    assert figure.agrees(figure.value)
    assert figure.agrees(figure.low)
    assert figure.agrees(figure.high)
    assert not figure.agrees(figure.low - 0.01)
    assert not figure.agrees(figure.high + 0.01)
    assert not figure.agrees(math.nan)


@pytest.mark.skipif(not FACTS.exists(), reason=f"needs the published facts at {FACTS}")
def test_greater_than_is_the_published_list():
    (line,) = re.findall(r"Heads \(authors'\s+code\) (.*?)\. With 200", FACTS.read_text(), re.S)
    late, early, mlps = re.match(r"(.*) at END, early (.*); MLPs (.*)", line, re.S).groups()
    circuit = published_circuit("greater_than", "gpt2")
    at = {"END": late, "YY": early}
    for position, listed in at.items():
        heads = {head.label for head in circuit.heads if head.role == position}
        assert heads == set(re.split(r",\s*", listed))
    ranges = re.findall(r"(\d+)-(\d+)", mlps)
    layers = [layer for low, high in ranges for layer in range(int(low), int(high) + 1)]
    assert [mlp.layer for mlp in circuit.mlps] == layers
    assert {mlp.role for mlp in circuit.mlps if mlp.layer < 4} == {"YY"}


def test_the_flow_of_greater_than():
    edges = {tuple(one) for one in published_connections(published_circuit("greater_than", "gpt2"))}
    start, early, late = ("input", "YY"), ("mover", "YY"), ("mover", "END")
    low, high, logits = ("MLP", "YY"), ("MLP", "END"), ("logits", "END")
    assert edges == {
        (start, early, "qkv"), (start, low, ""), (early, low, ""), (low, late, "v"),
        (late, high, ""), (late, logits, ""), (high, logits, ""),
    }  # fmt: skip


@pytest.mark.skipif(not FACTS.exists(), reason=f"needs the published facts at {FACTS}")
def test_induction_is_the_published_list():
    (line,) = re.findall(r"Induction heads on repeated random tokens: (.*?)\.\s", FACTS.read_text())
    heads = published_circuit("induction", "gpt2").heads_of("induction")
    assert {head.label for head in heads} == set(line.split(", "))
    previous = published_circuit("induction", "gpt2").heads_of("previous token")
    assert [(head.label, head.role) for head in previous] == [("4.11", "FIRST+1")]


@pytest.mark.parametrize("task", ["pronoun", "agreement"])
def test_where_no_list_is_established_the_error_says_so(task):
    with pytest.raises(KeyError, match=f"No list of heads for '{task}' is established"):
        published_circuit(task, "gpt2")
    with pytest.raises(KeyError) as error:
        published_circuit("ioi", "mini")
    assert "established" not in str(error.value)


def test_the_constants_of_the_protocol_are_of_the_papers_heads():
    heads = {member.part for member in published_circuit("ioi", "gpt2").heads}
    assert all(heads.issuperset(some) for some in (*IOI_GREEDY, IOI_IMPORTANCE, IOI_EXCEPTIONS))
    assert len(IOI_IMPORTANCE) == len(set(IOI_IMPORTANCE)) == 11
    assert [len(some) for some in IOI_GREEDY] == [5, 6, 4, 7]


def test_the_naive_circuit_is_of_the_same_task():
    naive, paper = published_circuit("ioi naive", "gpt2"), published_circuit("ioi", "gpt2")
    assert (naive.task, paper.task) == ("ioi", "ioi")
    assert len(naive.heads) == 13
    assert set(naive.members) < set(paper.members)
