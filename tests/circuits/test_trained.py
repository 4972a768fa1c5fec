"""The circuit that was trained into a bundled model, and what its heads do."""

import pytest
import torch

import interp
from interp.circuits import compare
from interp.circuits.known import trained_circuit
from interp.heads import attention_between, copy_scores
from interp.parts import Head, as_head
from interp.patching import measure, path_attention
from interp.tasks import ioi


@pytest.fixture(scope="module")
def model():
    return interp.load("mini-ioi")


@pytest.fixture(scope="module")
def task(model):
    return ioi(model.tokenizer, n=60, seed=5)


def heads_of(kind):
    return [as_head(member.part) for member in trained_circuit("mini-ioi").heads_of(kind)]


def test_it_belongs_to_these_weights(model):
    circuit = trained_circuit(model)
    circuit.require_model(model)
    assert circuit == trained_circuit("mini-ioi")
    found = compare(circuit, circuit).set_index("part")
    assert found.loc["any class", "recall"] == 1
    changed = interp.load("mini-ioi")
    with torch.no_grad():
        changed.blocks[0].attn.W_O[0, 0, 0] += 1e-3
    assert trained_circuit(changed) is None


@pytest.mark.parametrize("name", ["mini", "gpt2", "no such model"])
def test_other_models_were_not_trained_to_have_one(name):
    assert trained_circuit(name) is None


def test_name_movers_look_at_io_and_copy(model, task):
    looks = attention_between(model, task).sel(query="END", key="IO").mean("prompt")
    copies = copy_scores(model, task)["copy"].mean(["role", "prompt"])
    for layer, head in heads_of("name mover"):
        at = {"layer": layer, "head": head}
        assert float(looks.sel(at)) >= 0.4 and float(copies.sel(at)) >= 0.8


def test_inhibition_acts_through_the_movers_queries(model, task):
    movers, inhibition = heads_of("name mover"), heads_of("S-inhibition")
    looks = attention_between(model, task).sel(query="END", key="S2").mean("prompt")
    assert min(float(looks.sel(layer=x, head=y)) for x, y in inhibition) >= 0.4
    moved = path_attention(
        model, task, [Head(*head) for head in inhibition], [Head(*head) for head in movers],
        keys=["IO", "S1"],
    )  # fmt: skip
    change = (moved.patched - moved.clean).mean(["prompt", "head"])
    assert float(change.sel(key="IO")) <= -0.2 and float(change.sel(key="S1")) >= 0.2


def test_it_does_the_task(model, task):
    found = measure(model, task, ("top1", "probability"))
    assert float(found.top1.mean()) >= 0.95 and float(found.probability.mean()) >= 0.9
