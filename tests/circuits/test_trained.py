"""The circuit that was trained into a bundled model, and what its heads do."""

import pytest
import torch
from transformers import AutoModelForCausalLM

import interp
from interp.circuits import compare
from interp.circuits.known import trained_circuit
from interp.heads import attention_between, copy_scores
from interp.model.hub import locate
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
    seen = [float(looks.sel(layer=x, head=y)) for x, y in inhibition]
    assert sum(seen) / len(seen) >= 0.4 and min(seen) >= 0.3
    moved = path_attention(
        model, task, [Head(*head) for head in inhibition], [Head(*head) for head in movers],
        keys=["IO", "S1"],
    )  # fmt: skip
    change = (moved.patched - moved.clean).mean(["prompt", "head"])
    assert float(change.sel(key="IO")) <= -0.2 and float(change.sel(key="S1")) >= 0.2


def test_it_does_the_task(model, task):
    found = measure(model, task, ("top1", "probability"))
    assert float(found.top1.mean()) >= 0.95 and float(found.probability.mean()) >= 0.9


def test_a_twin_on_transformers_sees_the_movers_look_away(model, task):
    """Without our model: attention of the movers, with what S-inhibition heads write exchanged."""
    theirs = AutoModelForCausalLM.from_pretrained(
        locate("mini-ioi"), attn_implementation="eager"
    ).eval()
    movers, inhibition = heads_of("name mover"), heads_of("S-inhibition")
    width = theirs.config.n_embd // theirs.config.n_head
    rows, at = torch.arange(len(task)), task.positions
    written = {}

    def run(tokens, hooks):
        handles = [
            theirs.transformer.h[layer].attn.c_proj.register_forward_pre_hook(hook)
            for layer, hook in hooks
        ]
        with torch.inference_mode():
            out = theirs(tokens, attention_mask=task.attention_mask.long(), output_attentions=True)
        for handle in handles:
            handle.remove()
        looks = torch.stack([out.attentions[x][rows, y, at["END"]] for x, y in movers])
        io, s1 = (looks[:, rows, at[role]].mean().item() for role in ("IO", "S1"))
        logits = out.logits[rows, at["END"]]
        return io, s1, (logits.argmax(-1) == task.answer).float().mean().item()

    def keep(layer):
        return lambda module, args: written.__setitem__(layer, args[0].clone())

    def exchange(layer):
        def hook(module, args):
            z = args[0].clone()
            for head in (y for x, y in inhibition if x == layer):
                own = slice(head * width, (head + 1) * width)
                z[rows, at["END"], own] = written[layer][rows, at["END"], own]
            return (z,)

        return hook

    layers = sorted({layer for layer, _ in inhibition})
    run(task.corrupted_tokens, [(layer, keep(layer)) for layer in layers])
    io, s1, right = run(task.clean_tokens, [])
    io_without, s1_without, _ = run(task.clean_tokens, [(i, exchange(i)) for i in layers])
    assert io >= 0.4 and right >= 0.95
    assert io - io_without >= 0.2 and s1_without - s1 >= 0.2
