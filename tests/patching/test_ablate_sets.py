"""Sets of nodes against whole runs with hooks, and against the other knock-outs."""

from functools import partial

import numpy as np
import pytest
import torch

from interp.parts import Head, Node, as_node
from interp.patching import Ablation, Selection, ablate, effect
from tests.helpers import apart, random_model, random_task, unaligned
from tests.naive import ablation as twin
from tests.naive import ioi as naive

CIRCUIT = [(0, 1, "S2"), (0, 3, "END"), (1, 2, "S2"), (1, 2, "END"), (2, 0, "END"), (2, 3, "END")]
SETS = {
    "none": [],
    "last": [(2, 0, "END")],
    "mixed": [(2, 3, "END"), (0, 1, "S2")],
    "twice": [(1, 2, "S2"), (1, 2, "END")],
    "all": CIRCUIT,
}


@torch.inference_mode()
def test_the_model_without_nodes_is_the_papers():
    model, task = random_model(), random_task()
    found = ablate(model, task, SETS, value="group mean").logit_diff
    for name, nodes in SETS.items():
        expected = naive.removed(model, task, nodes)
        np.testing.assert_allclose(found.sel(set=name), expected, atol=1e-5)


@torch.inference_mode()
def test_the_circuit_without_nodes_is_the_papers():
    model, task = random_model(), random_task()
    only = Ablation("heads", keep=CIRCUIT, value="group mean")
    found = ablate(model, task, SETS, value="group mean", ablation=only).logit_diff
    for name, nodes in SETS.items():
        expected = naive.kept(model, task, [node for node in CIRCUIT if node not in nodes])
        np.testing.assert_allclose(found.sel(set=name), expected, atol=1e-5)


def test_one_node_is_one_cell_of_the_sweep():
    model, task = random_model(), random_task()
    nodes = {f"{i}.{h}": [(i, h, "S2")] for i in range(3) for h in range(4)}
    ours = effect(ablate(model, task, nodes, value="resample", metrics="rank"), "rank")
    sweep = ablate(model, task, "z", Selection(positions=["S2"]), value="resample", metrics="rank")
    expected = effect(sweep, "rank").transpose("layer", "head", "prompt").values.reshape(12, -1)
    np.testing.assert_array_equal(ours, expected)


def test_a_node_that_nothing_reads_changes_nothing():
    model, task = random_model(), random_task()
    found = ablate(model, task, {"last, not at END": [(2, 0, "S2")]}, value="group mean")
    unread = (task.positions["S2"] != task.positions["END"]).numpy()
    assert 0 < unread.sum() < len(task)
    same = (found.logit_diff[0] == found.logit_diff_clean).values
    np.testing.assert_array_equal(same, unread)


@pytest.mark.parametrize("value", ["resample", "group mean"])
def test_each_set_may_have_prompts_of_its_own_to_stand_in(value):
    model, task = random_model(), apart(random_task())
    others = {name: apart(random_task(seed=seed)) for seed, name in enumerate(SETS, 2)}
    others["all"] = others["last"]  # two sets share one
    found = ablate(model, task, SETS, value=value, reference=others)
    for name, nodes in SETS.items():
        alone = ablate(model, task, {name: nodes}, value=value, reference=others[name])
        np.testing.assert_allclose(found.logit_diff.sel(set=name), alone.logit_diff[0], atol=1e-6)
    with pytest.raises(ValueError, match=r"no reference for the sets \['all'\]"):
        ablate(model, task, SETS, reference={k: others[k] for k in SETS if k != "all"})


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ({}, "no sets"),
        ({"a": [(9, 0, "END")]}, "no Head 9.0"),
        ({"a": [(0, 0, "IO")]}, "no role 'IO'"),
    ],
)
def test_what_is_not_there_is_refused(sets, message):
    with pytest.raises(ValueError, match=message):
        ablate(random_model(), random_task(), sets)


@torch.inference_mode()
def test_what_is_resampled_is_said_at_the_same_role_wherever_it_stands():
    model, task = random_model(), apart(random_task())
    longer = unaligned(task)
    nodes = [Node(Head(0, 1), "S2"), Node(Head(1, 2), "END")]
    found = ablate(model, task, {"both": nodes}, value="resample", reference=longer).logit_diff[0]
    for i in range(len(task)):
        hooks = twin.hooks(model, task, i, nodes, "resample", reference=longer)
        assert float(found[i]) == pytest.approx(twin.difference(model, task, i, hooks), abs=1e-5)


aligned = partial(twin.hooks, by_position=True)
MIXED = {
    "everywhere": ["0.1", "m1", "m0.3", "m0.40", "1.2"],
    "roles": ["0.1@S2", "0.1@END", "m1@END", "m2.7@END", "2.0@END", "m0@S2"],
    "both": ["m0.3@S2", "m2", "1.3@END", "1.2", "m1.5"],
}


@pytest.mark.parametrize("inside", [None, "zero", "group mean"])
@pytest.mark.parametrize("value", ["zero", "mean", "group mean", "resample"])
@torch.inference_mode()
def test_sets_of_heads_mlps_and_neurons(value, inside):
    model, task = random_model(), apart(random_task(4))
    gone = inside and Ablation(
        ["0.1@S2", "1.2", "m2", "m1.5", "2.3@END"], value=inside, positions=["END", 1]
    )
    at = Selection(positions=["S2", 3])
    found = ablate(model, task, MIXED, at, value=value, ablation=gone).logit_diff
    for name, nodes in MIXED.items():
        for i in range(len(task)):
            hooks = []
            if gone:
                parts = gone.nodes(model)
                hooks = aligned(model, task, i, parts, inside, positions=gone.positions)
            nodes_ = [as_node(one) for one in nodes]
            hooks += aligned(model, task, i, nodes_, value, positions=at.positions)
            expected = twin.difference(model, task, i, hooks)
            assert float(found.sel(set=name)[i]) == pytest.approx(expected, abs=2e-5), (name, i)


@torch.inference_mode()
def test_sets_at_roles_where_roles_stand_elsewhere_in_the_partners():
    model, task = random_model(), unaligned(apart(random_task(6)))
    nodes = [as_node(one) for one in MIXED["roles"]]
    for value in ("resample", "group mean", "mean"):
        found = ablate(model, task, {"roles": nodes}, value=value).logit_diff[0]
        for i in range(len(task)):
            hooks = twin.hooks(model, task, i, nodes, value)
            expected = twin.difference(model, task, i, hooks)
            assert float(found[i]) == pytest.approx(expected, abs=2e-5), (value, i)
    with pytest.raises(ValueError, match="roles elsewhere"):
        ablate(model, task, MIXED, value="resample")
    at_roles = Selection(positions=["S2", "END"])
    found = ablate(model, task, MIXED, at_roles, value="resample").logit_diff
    assert found.sel(set="everywhere").notnull().all()
