"""Completeness and minimality against whole runs, and the paper's own sets by hand."""

import numpy as np
import pytest
import torch

from interp.circuits import (
    Circuit,
    class_sets,
    faithfulness,
    gap,
    greedy_sets,
    minimality,
    minimality_sets,
    only,
    published,
    random_sets,
    without,
)
from tests.helpers import random_model, random_task
from tests.naive import ioi as naive

OWN = Circuit(
    "random",
    (
        Member("0.1@S2", "duplicate token"),
        Member("0.2@S2", "induction"),
        Member("1.0@END", "S-inhibition"),
        Member("1.2@END", "name mover"),
        Member("2.0@END", "name mover"),
        Member("2.3@END", "negative name mover"),
    ),
)


def nodes(heads):
    return [tuple_of(h) for h in heads]


@torch.inference_mode()
def both(model, task, gone):
    """F(M without K) and F(C without K), by whole runs."""
    left = [head for head in OWN.heads if head not in gone]
    return (
        naive.removed(model, task, nodes(gone)).mean().item(),
        naive.kept(model, task, nodes(left)).mean().item(),
    )


def test_classes_and_chance():
    sets = class_sets(OWN)
    assert list(sets) == ["none", *{h.kind: None for h in OWN.heads}]
    assert [h.label for h in sets["name mover"]] == ["1.2", "2.0"]
    drawn = random_sets(OWN, 400, seed=3)
    assert drawn == random_sets(OWN, 400, seed=3) != random_sets(OWN, 400, seed=4)
    counts = [sum(head in chosen for chosen in drawn.values()) for head in OWN.heads]
    assert all(150 < count < 250 for count in counts)


def test_without_is_the_papers():
    model, task = random_model(), random_task()
    sets = {**class_sets(OWN), **random_sets(OWN, 4)}
    found = without(model, task, OWN, sets)
    for name, gone in sets.items():
        full, circuit = both(model, task, gone)
        assert float(found.full.sel(set=name).mean()) == pytest.approx(full, abs=1e-5)
        assert float(found.circuit.sel(set=name).mean()) == pytest.approx(circuit, abs=1e-5)
        assert float(gap(found).sel(set=name).mean()) == pytest.approx(circuit - full, abs=1e-5)
    alone = faithfulness(model, task, OWN)
    for side in ("full", "circuit"):
        np.testing.assert_allclose(found[side].sel(set="none"), alone[side], atol=1e-5)


def test_greedy_search_with_every_candidate_is_the_naive_one():
    model, task = random_model(), random_task()
    found = greedy_sets(model, task, OWN, runs=2, iterations=4, candidates=6)
    taken, now = [], abs(np.subtract(*both(model, task, [])))
    for _ in range(4):
        left = [head for head in OWN.heads if head not in taken]
        gaps = [abs(np.subtract(*both(model, task, [*taken, head]))) for head in left]
        if max(gaps) <= now:
            break
        now = max(gaps)
        taken.append(left[int(np.argmax(gaps))])
    assert taken
    assert found == {"greedy 1": tuple(taken), "greedy 2": tuple(taken)}


def test_greedy_runs_draw_candidates_of_their_own():
    model, task = random_model(), random_task()
    found = greedy_sets(model, task, OWN, runs=8, iterations=1, candidates=1)
    assert len(set(found.values())) > 1
    with pytest.raises(ValueError, match="at least one run"):
        greedy_sets(model, task, OWN, runs=0)


def test_the_papers_sets():
    sets = minimality_sets(published("ioi", "gpt2"))
    labels = {name: {h.label for h in heads} for name, heads in sets.items()}
    movers = ["9.9", "10.0", "9.6", "10.10", "10.6", "10.2", "10.1", "11.2", "9.7", "9.0", "11.9"]
    assert len(sets) == 26
    assert labels["9.9 END"] == set()
    assert labels["9.6 END"] == {"9.9", "10.0"}
    assert labels["9.7 END"] == set(movers[:8])
    assert labels["9.0 END"] == {*movers, "10.7", "11.10"} - {"9.0"}
    assert labels["11.9 END"] == {*movers, "10.7", "11.10"} - {"11.9"}
    assert labels["5.8 S2"] == labels["5.9 S2"] == {"10.7", "11.10"}
    assert labels["6.9 S2"] == {"5.5", "5.8", "5.9"}
    assert labels["2.2 S1+1"] == {"4.11"}
    by_layer = minimality_sets(published("ioi", "gpt2"), importance=lambda h: -h.layer)
    assert {h.label for h in by_layer["11.2 END"]} == set()


def test_minimality_is_the_papers():
    model, task = random_model(), random_task()
    sets = minimality_sets(OWN)
    found = minimality(model, task, OWN, sets).mean("prompt")
    for head in OWN.heads:
        name = f"{head.label} {head.role}"
        _, inside = both(model, task, sets[name])
        _, outside = both(model, task, [*sets[name], head])
        assert float(found.with_node.sel(node=name)) == pytest.approx(inside, abs=1e-5)
        assert float(found.change.sel(node=name)) == pytest.approx(outside - inside, abs=1e-5)


def test_only_nodes_of_the_circuit_can_be_knocked_out():
    model, task = random_model(), random_task()
    other = {"K": [Member("0.0@END", "other")]}
    with pytest.raises(ValueError, match=r"0\.0 at END, which the circuit does not have"):
        without(model, task, OWN, other)
    with pytest.raises(ValueError, match=r"no node '0\.0 END'"):
        minimality(model, task, OWN, {"0.0 END": ()})


def test_the_naive_circuit():
    naive_circuit = {h.label for h in published("ioi naive", "gpt2").heads}
    assert len(naive_circuit) == 13
    assert naive_circuit < {h.label for h in published("ioi", "gpt2").heads}


def test_what_is_left_of_a_circuit_is_what_is_left_of_its_nodes():
    nodes = [(head.layer, head.head, head.role) for head in OWN.heads]
    left = only(OWN, positions=["END"])
    assert left == only(nodes, positions=["END"])
    assert list(left.keep) == nodes and left.heads == "all" and left.positions == ["END"]
