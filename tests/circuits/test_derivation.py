"""The derivation returns the circuits that are known, and says on what grounds."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

import interp
from interp.circuits import (
    KNOWN,
    NOISE,
    Circuit,
    Link,
    compare,
    derive,
    faithfulness,
    known_circuit,
    published,
)
from interp.circuits.behavior import class_of, node_behavior
from interp.circuits.known import induction
from interp.circuits.known.byhand import Workbench
from interp.circuits.known.words import word_tokenizer
from interp.circuits.search import _alone
from interp.patching import TOKENS, Ablation, Port, effect, path_patch
from interp.statistics import bootstrap_ratio
from tests.helpers import random_model, random_task
from tests.naive.node_paths import node_effect

N = 24


def assert_exact(known, found):
    assert set(found.heads) == set(known.circuit.heads)
    assert {link.key for link in found.links} == {link.key for link in known.circuit.links}
    assert (compare(found, known.circuit)[["precision", "recall"]] == 1.0).all(axis=None)


@pytest.fixture(scope="module", params=KNOWN)
def clean(request):
    known = known_circuit(request.param, n=N)
    return known, derive(known.model, known.task)


def test_it_is_the_known_circuit(clean):
    assert_exact(clean[0], clean[1].circuit)


@pytest.mark.parametrize("name", KNOWN)
def test_noise_up_to_the_stated_level_changes_nothing(name):
    known = known_circuit(name, n=N, seed=1, noise=NOISE)
    assert_exact(known, derive(known.model, known.task).circuit)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("noise", [0.0, NOISE / 2, NOISE])
@pytest.mark.parametrize("name", KNOWN)
def test_nor_do_other_seeds(name, noise, seed):
    known = known_circuit(name, n=N, seed=seed, noise=noise)
    assert_exact(known, derive(known.model, known.task).circuit)


def test_every_head_and_link_has_its_evidence(clean):
    known, derived = clean
    needed = {
        node: abs(effect.mean())
        for node, effect in zip(derived.nodes["node"].values, derived.nodes.values, strict=True)
    }
    for link, values in zip(derived.circuit.links, derived.effects, strict=True):
        assert str(link) == str(values["link"].item())
        assert link.effect == pytest.approx(float(values.mean()))
        assert link.low - 1e-9 <= link.effect <= link.high + 1e-9
        least = 0.02 * needed.get(f"{link.receiver} at {link.received_at}", np.inf)
        assert abs(link.effect) > min(least, derived.smallest) and link.q_value <= derived.fdr
    table = derived.heads()
    assert table["head"].tolist() == [h.label for h in derived.circuit.heads]
    assert (table["effect"].abs() > derived.smallest).all()
    assert (table["q_value"] <= derived.fdr).all() and (table["tells"] != "").all()
    assert table["effect"].between(table["low"], table["high"]).all()
    assert derived.tested > len(derived.links()) == len(known.circuit.links)
    assert Circuit.from_json(derived.circuit.to_json()) == derived.circuit


@torch.inference_mode()
def test_effects_are_those_of_whole_runs():
    known = known_circuit("duplicate", n=4, noise=NOISE)
    derived = derive(known.model, known.task, smallest=0.1)
    assert len(derived.circuit.links) == 5
    for link, values in zip(derived.circuit.links, derived.effects.values, strict=True):
        sender = (TOKENS, 0, link.sent_from)
        if link.sender != "input":
            sender = (*map(int, link.sender.split(".")), link.sent_from)
        ports = []
        if link.receiver != "logits":
            ports = [Port(*map(int, link.receiver.split(".")), link.received_at, link.inputs)]
        for i in range(4):
            value = node_effect(
                known.model, known.task, i, sender, ports, logits=link.receiver == "logits"
            )
            assert values[i] == pytest.approx(value, abs=2e-4), (link, i)


def model_with_a_backup():
    """Induction by hand, and a later head that does the same where nobody did it before."""
    tokenizer, n = word_tokenizer([induction.START, *induction.WORDS]), len(induction.WORDS)
    spaces = dict.fromkeys(("word", "before", "out"), n)
    bench = Workbench(
        "backup", tokenizer, spaces, n_layers=3, n_heads=3, d_head=24, n_ctx=10, seed=0
    )
    for i, word in enumerate(induction.WORDS):
        token = tokenizer.convert_tokens_to_ids(word)
        bench.embed(token, "word", i)
        bench.unembed(token, "out", i, 8.0)
    previous = bench.head(0).match("position", "position", 16.0, back=1).move("word", "before")
    mover, backup = (
        bench.head(layer).match("word", "before", 16.0).look("position", 8.0, at=0)
        .move("word", "out")
        for layer in (1, 2)
    )  # fmt: skip
    dim, attention = backup._take(1), bench.model.blocks[2].attn
    attention.W_Q[backup.head, :, dim] = 10 * bench._spaces["out"].sum(0)[:, None]
    attention.W_K[backup.head, :, dim] = 10 * bench._spaces["position"][0][:, None]
    return bench.model, previous.label, mover.label, backup.label


def test_a_head_that_writes_only_without_the_movers_is_their_backup():
    model, previous, mover, backup = model_with_a_backup()
    task = induction.draw(model, N, 0)
    derived = derive(model, task)
    kinds = {head.label: head.kind for head in derived.circuit.heads}
    assert kinds == {
        previous: "previous token", mover: "induction", backup: "backup mover"
    }  # fmt: skip
    gone = Ablation(
        heads=[tuple(map(int, mover.split(".")))], value="group mean", positions=["END"]
    )
    layer, head = map(int, backup.split("."))
    link = next(x for x in derived.circuit.links if x.sender == backup)
    for ablation, expected in ((gone, link.effect), (None, 0.0)):
        direct = effect(path_patch(model, task, ablation=ablation)).sel(layer=layer, head=head)
        assert float(direct.mean()) == pytest.approx(expected, abs=derived.smallest / 2)
    assert abs(link.effect) > derived.smallest and link.receiver == "logits"
    assert {(x.sender, x.inputs) for x in derived.circuit.links if x.receiver == backup} == {
        ("input", "q"), ("input", "v"), (previous, "k")
    }  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_nodes_that_are_known_get_their_links(name):
    known = known_circuit(name, n=N, seed=2)
    nodes = [tuple_of(h) for h in known.circuit.heads]
    assert_exact(known, derive(known.model, known.task, nodes=nodes).circuit)
    more = [*nodes, (known.model.config.n_layers - 1, 0, next(iter(known.task.positions)))]
    taken = derive(known.model, known.task, nodes=more)
    assert {tuple_of(h) for h in taken.circuit.heads} == set(more)
    assert {link.key for link in taken.circuit.links} == {x.key for x in known.circuit.links}
    with pytest.raises(ValueError, match="no role 'nowhere'"):
        derive(known.model, known.task, nodes=[(0, 0, "nowhere")])


@pytest.mark.parametrize("name", KNOWN)
def test_links_in_what_is_left_are_those_of_the_circuit(name):
    known = known_circuit(name, n=N, seed=2)
    nodes = [tuple_of(h) for h in known.circuit.heads]
    left = Ablation(heads="all", keep=nodes, value="group mean")
    assert_exact(known, derive(known.model, known.task, nodes=nodes, ablation=left).circuit)


def test_paths_are_patched_in_what_is_left():
    model, task = random_model(), random_task(12)
    gone = Ablation(heads=[(2, 0), (2, 2)], value="group mean")
    found = derive(model, task, nodes=[(2, 1, "END")], ablation=gone).nodes
    expected = effect(path_patch(model, task, ablation=gone)).sel(layer=2, head=1)
    np.testing.assert_allclose(found.sel(node="2.1 at END"), expected, atol=1e-5)
    whole = effect(path_patch(model, task)).sel(layer=2, head=1)
    assert abs(whole - expected).max() > 1e-2
    with pytest.raises(ValueError, match="for nodes that are known"):
        derive(model, task, ablation=gone)


def test_a_higher_smallest_effect_finds_less():
    known = known_circuit("ioi", n=N)
    found = derive(known.model, known.task, smallest=0.4).circuit
    few = compare(found, known.circuit).set_index("part")
    assert few.loc["links", "precision"] == 1.0
    assert 0 < few.loc["links", "recall"] < 1
    assert few.loc["negative name mover", "found"] == 0


def test_it_runs_on_the_bundled_model(capsys):
    model = interp.load("mini")
    task = interp.tasks.ioi(model.tokenizer, 8)
    derived = derive(model, task, smallest=0.1)
    alone = faithfulness(model, task, derived.circuit)
    ratio = bootstrap_ratio(alone["circuit"].values, alone["full"].values)
    with capsys.disabled():
        print(f"\nmini, 8 prompts: {len(derived.circuit.heads)} heads, F(C) / F(M) = {ratio:.2f}")
    assert np.isfinite(ratio.mean)
    assert derived.effects.sizes == {"link": len(derived.circuit.links), "prompt": 8}


def test_a_model_with_nothing_to_find():
    model, task = random_model(n_layers=1, n_heads=1), random_task(6)
    derived = derive(model, task, fdr=1e-12)
    assert derived.circuit.heads == derived.circuit.links == ()
    assert derived.heads().empty and derived.links().empty


@pytest.mark.parametrize("options", [{"smallest": 0.0}, {"fdr": 1.0}, {"smallest": float("nan")}])
def test_options_are_fractions(options):
    with pytest.raises(ValueError, match="fractions between 0 and 1"):
        derive(random_model(), random_task(), **options)
    with pytest.raises(ValueError, match="at least 2"):
        derive(random_model(), random_task(1))


def test_behavior_is_read_off_the_patterns():
    model, task = random_model(), random_task(5, lengths=(9,))
    found = node_behavior(model, task, [(1, 2, "END"), (2, 0, "S2")])
    _, cache = model.run_with_cache(task.clean_tokens)
    for node, (layer, head, role) in enumerate([(1, 2, "END"), (2, 0, "S2")]):
        for i in range(5):
            at, tokens = int(task.positions[role][i]), task.clean_tokens[i].tolist()
            row = cache["pattern", layer][i, head, at].tolist()
            earlier = [k for k in range(at) if tokens[k] == tokens[at]]
            expected = {
                "previous": row[at - 1] if at else 0.0,
                "duplicate": sum(row[k] for k in earlier),
                "induction": sum(row[k + 1] for k in earlier),
                "answer": sum(row[k] for k in range(at + 1) if tokens[k] == task.answer[i]),
                "foil": sum(row[k] for k in range(at + 1) if tokens[k] == task.foil[i]),
            }
            for name, value in expected.items():
                assert float(found[name][node, i]) == pytest.approx(value, abs=1e-5), name


HEAD = ("1.0", "END")
NOTHING = dict.fromkeys(
    ("previous", "duplicate", "induction", "answer", "foil", "copy", "anti_copy"), 0.0
)
MOVER = {("2.0", "END"): Member("2.0@END", "name mover")}


@pytest.mark.parametrize(
    ("looks", "told", "kind"),
    [
        ({"previous": 0.9}, [("2.0", "k", -1.0)], "previous token"),
        ({"duplicate": 0.3, "previous": 0.2}, [("2.0", "v", -1.0)], "duplicate token"),
        ({"induction": 0.9, "answer": 0.9}, [("logits", "", -1.0)], "induction"),
        ({"induction": 0.3, "answer": 0.6}, [("logits", "", -1.0)], "name mover"),
        ({"previous": 0.9}, [("logits", "", -1.0)], "name mover"),
        ({"answer": 0.6}, [("logits", "", 1.0)], "negative name mover"),
        ({"foil": 0.6}, [("2.0", "q", -1.0), ("logits", "", -0.5)], "S-inhibition"),
        ({"foil": 0.6}, [("2.0", "q", -0.4), ("logits", "", -0.5)], "name mover"),
        ({"foil": 0.1}, [("2.0", "q", -1.0)], "other"),
        ({"copy": 0.8}, [("2.0", "v", -1.0)], "name mover"),
        ({"copy": 0.3}, [("2.0", "v", -1.0)], "other"),
        ({"previous": 0.1}, [("1.5", "k", -1.0)], "other"),
    ],
)
def test_classes_follow_from_behavior(looks, told, kind):
    behavior = xr.Dataset({name: xr.DataArray(x) for name, x in {**NOTHING, **looks}.items()})
    links = [Link("1.0", "END", to, "END", inputs, effect) for to, inputs, effect in told]
    assert class_of(HEAD, behavior, links, MOVER, 0.2) == kind


def test_a_token_with_two_roles_counts_for_the_later():
    task = random_task(4)
    twice = replace(
        task, positions={"S2": task.positions["END"].clone(), "END": task.positions["END"]}
    )
    assert not _alone(twice)["S2"].any() and _alone(twice)["END"].all()
    assert _alone(task)["S2"].tolist() == (task.positions["S2"] != task.positions["END"]).tolist()


def test_compare_counts_by_class():
    paper = published("ioi", "gpt2")
    fewer = Circuit("gpt2", (*paper.heads[:-1], Member("0.0@END", "name mover")))
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


def test_derivation_leaves_no_hooks():
    known = known_circuit("induction", n=4)
    with torch.no_grad():
        derive(known.model, known.task)
    assert known.model.list_hooks() == {}
