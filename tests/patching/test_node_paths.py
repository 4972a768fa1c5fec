"""Paths between nodes against whole runs with hooks, and against `path_patch` where both apply."""

import numpy as np
import pytest
import torch

from interp.parts import MLP, Head, Input, Logits, Node, Port, as_node
from interp.patching import (
    Ablation,
    NodePaths,
    Receivers,
    Selection,
    ablate,
    effect,
    measure,
    path_patch,
)
from tests.helpers import on_sample, random_model, random_task
from tests.naive.node_paths import node_effect

SENDERS = ["1.2@S2", "input@S2", "0.1@END", "m0@END", "0.1@S2", "m1@S2", "input@END", "m1@END"]
LOGITS = Port(Node(Logits(), "END"))


def port(node, inputs=""):
    return Port(as_node(node), inputs)


def diff(found):
    (values,) = found.values()
    return values


@pytest.fixture(scope="module")
def model_and_task():
    return random_model(), random_task(4)


@pytest.mark.parametrize(
    "ports",
    [
        [port("2.3@END", "q")],
        [port("2.3@END", "k")],
        [port("2.0@END", "v")],
        [port("1.1@S2", "qkv")],
        [port("1.1@S2")],
        [port("1.1@END", "kv"), port("1.0@S2", "q"), port("2.2@END", "qkv")],
        [port("2.2@END", "k"), port("2.2@END", "v")],
        [port("m1@END")],
        [port("m0@S2")],
        [port("m2@END")],
        [port("m1@S2"), port("m1@END"), port("2.2@END", "v"), port("m2@END")],
        [LOGITS],
        [port("m1@END"), port("2.1@END", "q"), LOGITS],
    ],
    ids=lambda ports: " ".join(map(str, ports)),
)
@torch.inference_mode()
def test_effects_are_those_of_whole_runs(ports, model_and_task):
    model, task = model_and_task
    paths = NodePaths(model, task)
    sent = paths.send(SENDERS)
    assert sent.senders == sorted(as_node(one) for one in SENDERS)
    found = diff(paths.receive(sent, ports))
    assert np.abs(found).max() > 1e-3

    def twin(sender, i):
        return node_effect(model, task, i, sent.senders[sender], ports)

    values, expected = on_sample(found, (8, 4), twin, 16)
    assert values == pytest.approx(expected, abs=2e-5)


@torch.inference_mode()
def test_paths_to_the_logits_are_those_of_path_patch():
    model, task = random_model(), random_task()
    gone = Ablation([(1, 0), (2, 2)], value="group mean", positions=["END"])
    for ablation in (None, gone):
        paths = NodePaths(model, task, ablation=ablation)
        sent = paths.send([(i, h, "END") for i in range(3) for h in range(4)])
        at_end = Selection(positions=["END"])
        expected = effect(path_patch(model, task, selection=at_end, ablation=ablation))
        expected = expected.transpose("layer", "head", "prompt").values.reshape(12, -1)
        np.testing.assert_allclose(diff(paths.receive(sent, [LOGITS])), expected, atol=2e-5)
        base = measure(model, task, ablation=ablation).logit_diff
        np.testing.assert_allclose(diff(paths.base), base, atol=1e-5)
        mlps = paths.send([f"m{i}@END" for i in range(3)])
        of_mlps = path_patch(model, task, selection=at_end, site="mlp_out", ablation=ablation)
        np.testing.assert_allclose(diff(paths.receive(mlps, [LOGITS])), effect(of_mlps), atol=2e-5)


@torch.inference_mode()
def test_what_one_query_reads_is_a_query_of_path_patch():
    model, task = random_model(), random_task()
    paths = NodePaths(model, task)
    found = diff(paths.receive(paths.send(["0.3@S2", "0.2@S2"]), [port("1.2@S2", "q")]))
    into = Receivers("q", heads=[(1, 2)], positions=["S2"])
    expected = effect(path_patch(model, task, into, Selection(positions=["S2"])))
    np.testing.assert_allclose(found, expected.sel(layer=0, head=[2, 3]), atol=2e-5)


@torch.inference_mode()
def test_what_an_mlp_reads_is_what_it_reads_in_path_patch():
    model, task = random_model(), random_task()
    paths = NodePaths(model, task)
    found = diff(paths.receive(paths.send(["0.3@S2", "1.0@S2"]), [port("m1@S2")]))
    into = Receivers("mlp_in", layers=[1], positions=["S2"])
    expected = effect(path_patch(model, task, into, Selection(positions=["S2"])))
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(found[0], expected.sel(layer=0, head=3), atol=2e-5)
    np.testing.assert_allclose(found[1], expected.sel(layer=1, head=0), atol=2e-5)


@torch.inference_mode()
def test_several_metrics_at_once_are_each_alone():
    model, task = random_model(), random_task()

    def top(logits, some):
        return logits.max(-1).values

    chosen = ["probability", "logit_diff", top, "kl_divergence"]
    ports = [port("2.2@END", "qv"), port("m1@END")]
    paths = NodePaths(model, task, metrics=chosen)
    found = paths.receive(paths.send(SENDERS), ports)
    names = ["probability", "logit_diff", "top", "kl_divergence"]
    assert list(found) == list(paths.base) == names
    for name, metric in zip(names, chosen, strict=True):
        alone = NodePaths(model, task, metrics=metric)
        np.testing.assert_allclose(found[name], diff(alone.receive(alone.send(SENDERS), ports)))
        np.testing.assert_allclose(paths.base[name], diff(alone.base))
    np.testing.assert_allclose(paths.base["kl_divergence"], 0, atol=1e-5)


@torch.inference_mode()
def test_logits_and_nodes_in_a_model_without_some_heads():
    model, task = random_model(), random_task()
    paths = NodePaths(model, task, ablation=Ablation([(2, 1)], value="zero"))
    sent = paths.send(["0.0@END", "1.3@END"])
    to_head = [port("2.0@END", "v")]
    both = diff(paths.receive(sent, [*to_head, LOGITS]))
    assert np.abs(both - diff(paths.receive(sent, [LOGITS]))).max() > 1e-3
    assert np.abs(both - diff(paths.receive(sent, to_head))).max() > 1e-3


@torch.inference_mode()
def test_all_paths_of_the_last_heads_are_their_ablation():
    model, task = random_model(), random_task()
    paths = NodePaths(model, task)
    sent = paths.send([(2, head, "END") for head in range(4)])
    last = Selection(layers=[2], positions=["END"])
    expected = effect(ablate(model, task, "z", last, value="resample")).sel(layer=2)
    found = diff(paths.receive(sent, [LOGITS]))
    np.testing.assert_allclose(found, expected.transpose("head", "prompt"), atol=2e-5)


def test_where_no_path_leads_nothing_changes():
    model, task = random_model(), random_task()
    paths = NodePaths(model, task)
    sent = paths.send(["1.0@END", "0.0@END", "1.0@S2", "m1@END"])
    assert list(map(str, sent.senders)) == ["0.0@END", "1.0@END", "1.0@S2", "m1@END"]
    before = (task.positions["S2"] < task.positions["END"]).numpy()
    to_s2 = diff(paths.receive(sent, [port("1.1@S2", "qkv")]))
    assert not to_s2[1:].any()  # of the same layer
    assert not to_s2[:, before].any()  # from later tokens
    to_end = diff(paths.receive(sent, [port("2.1@END", "q")]))
    assert not to_end[2, before].any() and to_end[1].all()
    to_mlp = diff(paths.receive(sent, [port("m1@S2")]))
    assert not to_mlp[3].any() and to_mlp[2].all()  # its own output, and a head of its layer
    assert not to_mlp[:2, before].any()
    assert not diff(paths.receive(sent, [port("m0@END")]))[1:].any()


def test_roles_at_one_token_are_one_node():
    model, task = random_model(), random_task(2, lengths=(6,))
    task.positions["S2"][:] = 5
    paths = NodePaths(model, task)
    sent = paths.send(["0.0@END"])
    for part, inputs in (("1.1", "qkv"), ("m1", "")):
        one, both = (
            diff(paths.receive(sent, [port(f"{part}@{role}", inputs) for role in roles]))
            for roles in (["END"], ["END", "S2"])
        )
        assert one.any()
        np.testing.assert_array_equal(one, both)


def test_some_senders_are_the_same():
    model, task = random_model(), random_task()
    paths = NodePaths(model, task)
    sent, ports = paths.send(SENDERS), [port("2.1@END", "v")]
    some = sent.of(["0.1@S2", Node(Input(), "END")])
    assert some.senders == [Node(Input(), "END"), Node(Head(0, 1), "S2")]
    index = [sent.senders.index(one) for one in some.senders]
    np.testing.assert_allclose(
        diff(paths.receive(some, ports)), diff(paths.receive(sent, ports))[index], atol=1e-6
    )


@pytest.mark.parametrize(
    ("senders", "ports", "message"),
    [
        (["3.0@END"], [LOGITS], "no Head 3.0"),
        (["m3@END"], [LOGITS], "no MLP m3"),
        (["input@IO"], [LOGITS], "no role 'IO'"),
        (["0.0"], [LOGITS], "0.0 is not a sender"),
        (["m0.1@END"], [LOGITS], "m0.1@END is not a sender"),
        (["logits@END"], [LOGITS], "logits@END is not a sender"),
        ([], [LOGITS], "at least one node as a sender"),
        (["0.0@END"], [], "at least one node as a receiver"),
        (["0.0@END"], [port("1.0@IO", "q")], "no role 'IO'"),
        (["0.0@END"], [port("1.0@END", "z")], "some of q, k and v"),
        (["0.0@END"], [port("m1@END", "q")], "no letter"),
        (["0.0@END"], [Port(Node(Logits(), "S2"))], "read at END"),
        (["0.0@END"], [Port(Node(Input(), "S2"))], "input@S2 is not a receiver"),
        (["0.0@END"], [Port(Node(MLP(1)))], "m1 is not a receiver"),
    ],
)
def test_what_there_is_not(senders, ports, message):
    paths = NodePaths(random_model(), random_task())
    with pytest.raises(ValueError, match=message):
        paths.receive(paths.send(senders), ports)
