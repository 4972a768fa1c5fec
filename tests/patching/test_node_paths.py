"""Paths between nodes against whole runs with hooks, and against `path_patch` where both apply."""

import numpy as np
import pytest
import torch

from interp.patching import (
    TOKENS,
    Ablation,
    NodePaths,
    Port,
    Receivers,
    ablate,
    effect,
    measure,
    path_patch,
)
from tests.helpers import random_model, random_task
from tests.naive.node_paths import node_effect

SENDERS = [(1, 2, "S2"), (TOKENS, 0, "S2"), (0, 1, "END"), (0, 1, "S2"), (TOKENS, 0, "END")]


@pytest.mark.parametrize(
    "ports",
    [
        [Port(2, 3, "END", "q")],
        [Port(2, 3, "END", "k")],
        [Port(2, 0, "END", "v")],
        [Port(1, 1, "S2", "qkv")],
        [Port(1, 1, "END", "kv"), Port(1, 0, "S2", "q"), Port(2, 2, "END", "qkv")],
    ],
)
@torch.inference_mode()
def test_effects_are_those_of_whole_runs(ports):
    model, task = random_model(), random_task(4)
    paths = NodePaths(model, task)
    sent = paths.send(SENDERS)
    found = paths.receive(sent, ports)
    assert np.abs(found).max() > 1e-3
    for sender, values in zip(sent.senders, found, strict=True):
        for i in range(len(task)):
            expected = node_effect(model, task, i, sender, ports)
            assert values[i] == pytest.approx(expected, abs=2e-5), (sender, i)


@torch.inference_mode()
def test_paths_to_the_logits_are_those_of_path_patch():
    model, task = random_model(), random_task()
    gone = Ablation(heads=[(1, 0), (2, 2)], value="group mean", positions=["END"])
    for ablation in (None, gone):
        paths = NodePaths(model, task, ablation=ablation)
        sent = paths.send([(i, h, "END") for i in range(3) for h in range(4)])
        expected = effect(path_patch(model, task, positions=["END"], ablation=ablation))
        expected = expected.transpose("layer", "head", "prompt").values.reshape(12, -1)
        np.testing.assert_allclose(paths.receive(sent, logits=True), expected, atol=2e-5)
        np.testing.assert_allclose(
            paths.base, measure(model, task, ablation=ablation).logit_diff, atol=1e-5
        )


@torch.inference_mode()
def test_what_one_query_reads_is_a_query_of_path_patch():
    model, task = random_model(), random_task()
    paths = NodePaths(model, task)
    found = paths.receive(paths.send([(0, 3, "S2"), (0, 2, "S2")]), [Port(1, 2, "S2", "q")])
    into = Receivers("q", heads=[(1, 2)], positions=["S2"])
    expected = effect(path_patch(model, task, into, positions=["S2"])).sel(layer=0, head=[3, 2])
    np.testing.assert_allclose(found, expected, atol=2e-5)


@torch.inference_mode()
def test_logits_and_nodes_in_a_model_without_some_heads():
    model, task = random_model(), random_task()
    paths = NodePaths(model, task, ablation=Ablation(heads=[(2, 1)], value="zero"))
    sent = paths.send([(0, 0, "END"), (1, 3, "END")])
    assert not paths.receive(sent, [Port(2, 1, "END", "qkv")]).any()  # it says nothing any more
    both = paths.receive(sent, [Port(2, 0, "END", "v")], logits=True)
    assert np.abs(both - paths.receive(sent, logits=True)).max() > 1e-3
    assert np.abs(both - paths.receive(sent, [Port(2, 0, "END", "v")])).max() > 1e-3


@torch.inference_mode()
def test_all_paths_of_the_last_heads_are_their_ablation():
    model, task = random_model(), random_task()
    paths = NodePaths(model, task)
    sent = paths.send([(2, head, "END") for head in range(4)])
    whole = effect(ablate(model, task, value="resample", layers=[2], positions=["END"]))
    expected = whole.sel(layer=2).transpose("head", "prompt")
    np.testing.assert_allclose(paths.receive(sent, logits=True), expected, atol=2e-5)


def test_where_no_path_leads_nothing_changes():
    model, task = random_model(), random_task()
    paths = NodePaths(model, task)
    sent = paths.send([(1, 0, "END"), (0, 0, "END"), (1, 0, "S2")])
    before = (task.positions["S2"] < task.positions["END"]).numpy()
    to_s2 = paths.receive(sent, [Port(1, 1, "S2", "qkv")])
    assert not to_s2[1:].any()  # of the same layer
    assert not to_s2[:, before].any()  # from later tokens
    to_end = paths.receive(sent, [Port(2, 1, "END", "q")])
    assert not to_end[2, before].any() and to_end[1].all()
    assert not paths.receive(sent).any()


def test_roles_at_one_token_are_one_node():
    model, task = random_model(), random_task(2, lengths=(6,))
    task.positions["S2"][:] = 5
    paths = NodePaths(model, task)
    sent = paths.send([(0, 0, "END")])
    one = paths.receive(sent, [Port(1, 1, "END", "qkv")])
    both = paths.receive(sent, [Port(1, 1, "END", "qkv"), Port(1, 1, "S2", "qkv")])
    np.testing.assert_array_equal(one, both)


def test_some_senders_are_the_same():
    model, task = random_model(), random_task()
    paths = NodePaths(model, task)
    sent, port = paths.send(SENDERS), Port(2, 1, "END", "v")
    some = sent.of([(0, 1, "S2"), (TOKENS, 0, "END")])
    assert some.senders == [(TOKENS, 0, "END"), (0, 1, "S2")]
    index = [sent.senders.index(one) for one in some.senders]
    np.testing.assert_allclose(
        paths.receive(some, [port]), paths.receive(sent, [port])[index], atol=1e-6
    )


def test_what_there_is_not():
    paths = NodePaths(random_model(), random_task())
    with pytest.raises(ValueError, match=r"head 3\.0 is not in the model"):
        paths.send([(3, 0, "END")])
    with pytest.raises(ValueError, match="no role 'IO'"):
        paths.send([(TOKENS, 0, "IO")])
    with pytest.raises(ValueError, match="no role 'IO'"):
        paths.receive(paths.send([(0, 0, "END")]), [Port(1, 0, "IO", "q")])
    with pytest.raises(ValueError, match="among q, k and v"):
        paths.receive(paths.send([(0, 0, "END")]), [Port(1, 0, "END", "z")])
