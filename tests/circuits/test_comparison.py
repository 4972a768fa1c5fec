"""Precision and recall of a circuit against another, class by class."""

import numpy as np
import pytest

from interp.circuits import (
    Circuit,
    Member,
    compare,
    known_circuit,
    published_circuit,
)


def test_compare_counts_by_class():
    paper = published_circuit("ioi", "gpt2")
    fewer = Circuit(
        "gpt2", (*(h for h in paper.heads if h.label != "11.10"), Member("0.0@END", "name mover"))
    )
    table = compare(fewer, paper).set_index("part")
    assert table.loc["name mover", ["reference", "found", "shared"]].tolist() == [3, 4, 3]
    assert table.loc["name mover", "precision"] == 0.75
    assert table.loc["negative name mover", "recall"] == 0.5
    assert table.loc["any class", ["found", "shared"]].tolist() == [26, 25]
    assert table.loc["connections", "recall"] == 1.0
    assert "links" not in table.index
    nothing = compare(Circuit("gpt2", ()), paper).set_index("part")
    assert np.isnan(nothing.loc["any class", "precision"])
    assert nothing.loc["any class", "recall"] == 0.0


def test_compare_refuses_circuits_of_other_questions():
    one = Circuit("gpt2", (), weights="a", task="ioi")
    for other, words in (
        (Circuit("mini", ()), "of the model 'gpt2' and the reference of 'mini'"),
        (Circuit("gpt2", (), weights="b"), "of the weights 'a' and the reference of 'b'"),
        (Circuit("gpt2", (), task="acronym"), "of the task 'ioi' and the reference of 'acronym'"),
    ):
        with pytest.raises(ValueError, match=words):
            compare(one, other)
        with pytest.raises(ValueError, match="compare circuits of one model and one task"):
            compare(other, one)
    assert not compare(one, Circuit("gpt2", ())).empty


def test_compare_counts_mlps_and_links_in_any_order():
    paper = published_circuit("greater_than", "gpt2")
    fewer = Circuit("gpt2", (*paper.mlps[1:], *paper.heads))
    table = compare(fewer, paper).set_index("part")
    assert table.loc["MLPs", ["reference", "found", "shared"]].tolist() == [8, 7, 7]
    assert (
        "MLPs"
        not in compare(published_circuit("ioi", "gpt2"), published_circuit("ioi", "gpt2"))[
            "part"
        ].values
    )
    known = known_circuit("ioi", n=2).circuit
    turned = Circuit(known.model, known.members[::-1], links=known.links[::-1])
    assert compare(turned, known).equals(compare(known, known))
