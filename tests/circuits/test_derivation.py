"""The derivation returns the circuits that are known, and says on what grounds.

The file is longer than most, because one search is tested on many circuits.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

import interp
from interp.circuits import (
    Circuit,
    compare,
    derive,
    faithfulness,
    known_circuit,
)
from interp.circuits.discoveries import effect_p_values, q_values
from interp.circuits.known import KNOWN, NOISE, induction
from interp.circuits.known.byhand import Workbench
from interp.circuits.known.words import word_tokenizer
from interp.circuits.search import _alone
from interp.metrics import probability
from interp.parts import Head, Input, Logits, Node
from interp.patching import Ablation, NodePaths, effect, measure, path_patch
from interp.statistics import estimate_ratio
from tests.helpers import random_model, random_task
from tests.naive.node_paths import node_effect

N = 24


def assert_exact(known, found):
    assert set(found.heads) == set(known.circuit.heads)
    assert {link.edge for link in found.links} == {x.edge for x in known.circuit.links}
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
        for node, effect in zip(
            derived.nodes["node"].values, derived.nodes["logit_diff"].values, strict=True
        )
    }
    for link, values in zip(derived.circuit.links, derived.effects["logit_diff"], strict=True):
        assert str(link) == str(values["link"].item())
        assert link.effect == pytest.approx(float(values.mean()))
        assert link.low - 1e-9 <= link.effect <= link.high + 1e-9
        least = 0.02 * needed.get(str(link.receiver), np.inf)
        assert abs(link.effect) > min(least, derived.smallest) and link.q_value <= derived.fdr
    table = derived.heads()
    assert table["head"].tolist() == [h.label for h in derived.circuit.heads]
    assert (table["effect"].abs() > derived.smallest).all()
    assert (table["q_value"] <= derived.fdr).all() and (table["receivers"] != "").all()
    assert table["effect"].between(table["low"], table["high"]).all()
    assert derived.tested > len(derived.links()) == len(known.circuit.links)
    assert Circuit.from_json(derived.circuit.to_json()) == derived.circuit
    assert (derived.circuit.weights, derived.circuit.task) == (
        known.model.fingerprint(), known.task.name
    )  # fmt: skip
    derived.circuit.require_model(known.model)
    assert set(derived.found_by) == set(derived.circuit.nodes)
    assert set(derived.found_by.values()) == {("logit_diff",)}


@torch.inference_mode()
def test_effects_are_those_of_whole_runs():
    known = known_circuit("duplicate", n=4, noise=NOISE)
    derived = derive(known.model, known.task, smallest=0.1)
    assert len(derived.circuit.links) == 5
    for link, values in zip(
        derived.circuit.links, derived.effects["logit_diff"].values, strict=True
    ):
        for i in range(4):
            value = node_effect(known.model, known.task, i, link.sender, [link.edge.port])
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
    return bench.model, previous.part, mover.part, backup.part


def test_a_head_that_writes_only_without_the_movers_is_their_backup():
    model, previous, mover, backup = model_with_a_backup()
    task = induction.draw(model, N, 0)
    derived = derive(model, task)
    kinds = {head.part: head.kind for head in derived.circuit.heads}
    assert kinds == {
        previous: "previous token", mover: "induction", backup: "backup mover"
    }  # fmt: skip
    gone = Ablation([mover], value="group mean", positions=["END"])
    layer, head = backup
    link = next(x for x in derived.circuit.links if x.sender.part == backup)
    for ablation, expected in ((gone, link.effect), (None, 0.0)):
        direct = effect(path_patch(model, task, ablation=ablation)).sel(layer=layer, head=head)
        assert float(direct.mean()) == pytest.approx(expected, abs=derived.smallest / 2)
    assert abs(link.effect) > derived.smallest and link.receiver.part == Logits()
    into = [x for x in derived.circuit.links if x.receiver.part == backup]
    assert {(x.sender.part, x.input) for x in into} == {
        (Input(), "q"), (Input(), "v"), (previous, "k")
    }  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_nodes_that_are_known_get_their_links(name):
    known = known_circuit(name, n=N, seed=2)
    nodes = list(known.circuit.nodes)
    assert_exact(known, derive(known.model, known.task, nodes=nodes).circuit)
    last = Head(known.model.config.n_layers - 1, 0)
    more = [*nodes, Node(last, next(iter(known.task.positions)))]
    taken = derive(known.model, known.task, nodes=more)
    assert set(taken.circuit.nodes) == set(more)
    assert {x.edge for x in taken.circuit.links} == {x.edge for x in known.circuit.links}
    with pytest.raises(ValueError, match="no role 'nowhere'"):
        derive(known.model, known.task, nodes=["0.0@nowhere"])


@pytest.mark.parametrize("name", KNOWN)
def test_links_in_what_is_left_are_those_of_the_circuit(name):
    known = known_circuit(name, n=N, seed=2)
    nodes = list(known.circuit.nodes)
    left = Ablation("heads", keep=nodes, value="group mean")
    assert_exact(known, derive(known.model, known.task, nodes=nodes, ablation=left).circuit)


def test_paths_are_patched_in_what_is_left():
    model, task = random_model(), random_task(12)
    gone = Ablation(["2.0", "2.2"], value="group mean")
    found = derive(model, task, nodes=["2.1@END"], ablation=gone).nodes["logit_diff"]
    expected = effect(path_patch(model, task, ablation=gone)).sel(layer=2, head=1)
    np.testing.assert_allclose(found.sel(node="2.1@END"), expected, atol=1e-5)
    whole = effect(path_patch(model, task)).sel(layer=2, head=1)
    assert abs(whole - expected).max() > 1e-2
    with pytest.raises(ValueError, match="only applies to known nodes"):
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
    circuit, full = (alone["logit_diff"].sel(run=run).values for run in ("circuit", "full"))
    ratio = estimate_ratio(circuit, full)
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


def test_a_token_with_two_roles_counts_for_the_later():
    task = random_task(4)
    twice = replace(
        task, positions={"S2": task.positions["END"].clone(), "END": task.positions["END"]}
    )
    assert not _alone(twice)["S2"].any() and _alone(twice)["END"].all()
    assert _alone(task)["S2"].tolist() == (task.positions["S2"] != task.positions["END"]).tolist()


def with_roles(task, **roles):
    return replace(task, positions={name: torch.tensor(at) for name, at in roles.items()})


def test_of_three_roles_at_one_token_the_last_has_the_effects():
    task = with_roles(
        random_task(4), a=[1, 1, 2, 0], b=[1, 3, 2, 3], c=[5, 1, 2, 5], END=[8, 5] * 2
    )
    alone = {role: at.tolist() for role, at in _alone(task).items()}
    assert alone == {
        "a": [False, False, False, True],
        "b": [True, True, False, True],
        "c": [True, True, True, False],  # END of the last prompt
        "END": [True] * 4,
    }


@pytest.mark.parametrize("first", [True, False])
def test_nodes_and_links_stand_at_the_later_of_two_roles(first):
    """Another role at the tokens of A1+1, before it or after it in the order of roles."""
    known = known_circuit("induction", n=N)
    at = known.task.positions
    roles = {"A1": at["A1"], **({"X": at["A1+1"]} if first else {}), "A1+1": at["A1+1"]}
    roles |= {} if first else {"X": at["A1+1"]}
    task = replace(known.task, positions={**roles, "END": at["END"]})
    found = derive(known.model, task).circuit
    later, earlier = ("A1+1", "X") if first else ("X", "A1+1")

    def moved(node):
        return Node(node.part, later if node.role == "A1+1" else node.role)

    assert set(found.nodes) == {moved(node) for node in known.circuit.nodes}
    ends = {(x.sender, x.receiver, x.input) for x in known.circuit.links}
    assert {(x.sender, x.receiver, x.input) for x in found.links} == {
        (moved(sender), moved(receiver), letter) for sender, receiver, letter in ends
    }
    assert earlier not in {node.role for link in found.links for node in link.edge.port[:1]}


def of_answer(logits, task):
    return probability(logits, task.answer)


def test_a_node_counts_if_one_of_the_metrics_finds_it():
    known = known_circuit("ioi", n=N, noise=NOISE)
    model, task = known.model, known.task
    chosen, names = [of_answer, "logit_diff"], ("of_answer", "logit_diff")
    found = derive(model, task, metrics=chosen, smallest=0.2)
    direct = path_patch(model, task, metrics=chosen)
    values = {
        name: effect(direct, name).transpose("layer", "head", "prompt").values.reshape(16, N)
        for name in names
    }
    base = measure(model, task, chosen)
    least = {name: 0.2 * abs(float(base[name].mean())) for name in names}
    p = [effect_p_values(values[name], smallest=least[name]) for name in names]
    q = q_values(np.concatenate(p)).reshape(2, 16)
    by = {
        Node(Head(h // 4, h % 4), "END"): tuple(names[i] for i in (0, 1) if q[i, h] <= 0.05)
        for h in range(16)
    }
    assert found.metrics == names
    assert found.found_by == {node: some for node, some in by.items() if some}
    assert len(set(found.found_by.values())) > 1
    for node, i in ((n, 4 * n.part.layer + n.part.head) for n in found.found_by):
        one = found.nodes.sel(node=str(node))
        for j, name in enumerate(names):
            np.testing.assert_allclose(one[name], values[name][i], atol=1e-5)
            assert float(one["q_value"].sel(metric=name)) == pytest.approx(q[j, i], abs=1e-5)
    assert found.smallest == pytest.approx(least["of_answer"])
    assert found.nodes["logit_diff"].attrs["smallest"] == pytest.approx(least["logit_diff"])
    assert found.nodes["logit_diff"].attrs["unit"] == "logits"
    table = found.heads()
    assert table["found_by"].tolist() == [", ".join(some) for some in found.found_by.values()]
    for link, effects in zip(found.circuit.links, found.effects["of_answer"], strict=True):
        assert link.effect == pytest.approx(float(effects.mean()))


def test_the_first_metric_is_that_of_the_links():
    known = known_circuit("duplicate", n=N, noise=NOISE)
    one, other = (
        derive(known.model, known.task, metrics=chosen)
        for chosen in ("logit_diff", ["logit_diff", "accuracy"])
    )
    assert other.circuit.members == one.circuit.members
    assert [x.effect for x in other.circuit.links] == [x.effect for x in one.circuit.links]
    assert list(other.effects) == ["logit_diff", "accuracy"]
    assert "found_by" not in one.heads() and "found_by" in other.heads()
    with pytest.raises(ValueError, match="mean of rank over the prompts is 0"):
        derive(known.model, known.task, metrics="rank")


def test_what_is_gone_does_not_receive(monkeypatch):
    """In the model without its name movers these are no receivers, though they were found."""
    model, _, mover, _ = model_with_a_backup()
    received = []

    def receive(self, sent, ports):
        received.append((self, [port.node for port in ports]))
        return plain(self, sent, ports)

    plain = NodePaths.receive
    monkeypatch.setattr(NodePaths, "receive", receive)
    derived = derive(model, induction.draw(model, N, 0))
    whole = received[0][0]
    gone = Node(mover, "END")
    assert gone in derived.circuit.nodes
    assert any(gone in nodes for paths, nodes in received if paths is whole)
    without = [nodes for paths, nodes in received if paths is not whole]
    assert len(without) > 3 and not any(gone in nodes for nodes in without)


def test_a_derivation_without_order():
    known = known_circuit("duplicate", n=N)
    nodes = [str(node) for node in known.circuit.nodes]
    one, other = (derive(known.model, known.task, nodes=some) for some in (nodes, nodes[::-1]))
    assert one.circuit == other.circuit and one.to_json() == other.to_json()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_attention": 1.5}, "min_attention must be a probability"),
        ({"nodes": ["9.6"]}, "9.6 needs a role"),
        ({"nodes": ["9.6@END"]}, "no Head 9.6"),
        ({"nodes": ["m1@END"]}, "expected heads at roles"),
        ({"nodes": ["1.0@END", "1.0@END"]}, "given twice"),
        ({"metrics": []}, "no metric is chosen"),
    ],
)
def test_what_cannot_be_derived(options, message):
    with pytest.raises(ValueError, match=message):
        derive(random_model(), random_task(), **options)


def test_derivation_leaves_no_hooks():
    known = known_circuit("induction", n=4)
    with torch.no_grad():
        derive(known.model, known.task)
    assert known.model.list_hooks() == {}
