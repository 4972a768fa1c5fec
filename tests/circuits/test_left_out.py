"""Heads that matter and are not in the circuit."""

import numpy as np
import pytest

import interp
from interp.circuits import Circuit, left_out, why_left_out
from interp.circuits.left_out import EVERYWHERE, IN_CIRCUIT, WITHIN
from interp.patching import Ablation, measure


@pytest.fixture(scope="module")
def known():
    return interp.circuits.known_circuit("ioi", n=24, seed=0)


@pytest.fixture(scope="module")
def without(known):
    """The circuit that was built, without its last head."""
    kept = known.circuit.members[:-1]
    return Circuit(known.model.name, kept), known.circuit.members[-1]


def test_nothing_that_matters_is_outside_the_whole_circuit(known):
    found = left_out(known.model, known.task, known.circuit)
    assert found.attrs["mattering"] == found.sizes["head"] == 0


def test_a_head_that_was_taken_out_is_found_again(known, without):
    circuit, gone = without
    found = left_out(known.model, known.task, circuit)
    assert gone.label in found["head"].values
    lost = found.loss.sel(head=gone.label)
    alone = measure(known.model, known.task, ablation=Ablation([gone.label])).logit_diff
    np.testing.assert_allclose(
        lost.sel(where=EVERYWHERE), found.whole - alone.values, rtol=1e-4, atol=1e-4
    )
    most = max(known.task.positions, key=lambda role: float(lost.sel(where=role).mean()))
    assert most == gone.role and float(lost.sel(where=IN_CIRCUIT).mean()) > 0
    said = why_left_out(found, gone.label, list(known.task.positions))
    assert f"It acts at {gone.role}" in said and "The circuit lacks it" in said


def test_the_strongest_come_first_and_no_more_than_asked_for(known):
    empty = Circuit(known.model.name, known.circuit.members[:1])
    every = left_out(known.model, known.task, empty)
    loss = every.loss.sel(where=EVERYWHERE).mean("prompt").values
    assert (np.diff(loss) <= 0).all() and len(loss) > 1
    one = left_out(known.model, known.task, empty, most=1)
    assert one["head"].values.tolist() == every["head"].values[:1].tolist()
    assert one.attrs["mattering"] == every.attrs["mattering"]


def test_sentences_follow_the_figures(known, without):
    circuit, gone = without
    found = left_out(known.model, known.task, circuit).sel(head=[gone.label])
    roles = list(known.task.positions)
    found = found.copy(deep=True)
    found.loss.loc[{"where": roles}] = 0.0
    found.loss.loc[{"where": WITHIN}] = 0.0
    said = why_left_out(found, gone.label, roles)
    assert "many tokens at once" in said and "depends on the sentence around" in said


def test_a_share_is_a_fraction(known):
    with pytest.raises(ValueError, match="share"):
        left_out(known.model, known.task, known.circuit, share=1.5)
    with pytest.raises(ValueError, match="most"):
        left_out(known.model, known.task, known.circuit, most=0)
