"""Sets of nodes against whole runs with hooks, and against the other knock-outs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from interp.patching import Ablation, Selection, ablate, effect
from tests.helpers import random_model, random_task
from tests.naive import ioi as naive

CIRCUIT = [(0, 1, "S2"), (0, 3, "END"), (1, 2, "S2"), (1, 2, "END"), (2, 0, "END"), (2, 3, "END")]
SETS = {
    "none": [],
    "last": [(2, 0, "END")],
    "mixed": [(2, 3, "END"), (0, 1, "S2")],
    "twice": [(1, 2, "S2"), (1, 2, "END")],
    "all": CIRCUIT,
}


def apart(task):
    """The same prompts with S2 before END in each."""
    return replace(task, positions=task.positions | {"S2": task.positions["S2"] % 5})


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
    model, task = random_model(), random_task()
    ahead = torch.randint(3, 50, (len(task), 2), generator=torch.Generator().manual_seed(0))
    tokens = torch.cat([ahead, task.corrupted_tokens], 1)
    mask = torch.cat([torch.ones_like(ahead).bool(), task.attention_mask], 1)
    longer = replace(
        task,
        clean_tokens=F.pad(task.clean_tokens, (0, 2)),
        attention_mask=F.pad(task.attention_mask, (0, 2)),
        corrupted_tokens=tokens,
        corrupted_mask=mask,
        corrupted_positions={role: at + 2 for role, at in task.positions.items()},
    )
    nodes = {"both": [(0, 1, "S2"), (1, 2, "END")]}
    found = ablate(model, task, nodes, value="resample", reference=longer).logit_diff[0]
    for i in range(len(task)):
        real, there = task.attention_mask[i], mask[i]
        _, cache = model.run_with_cache(tokens[i][there][None])

        def say(z, hook, i=i, cache=cache):
            for layer, head, role in nodes["both"]:
                if layer == hook.layer():
                    at = int(task.positions[role][i])
                    z[0, at, head] = cache[hook.name][0, at + 2, head]
            return z

        names = lambda name: name.endswith("hook_z")  # noqa: E731
        logits = model.run_with_hooks(task.clean_tokens[i][real][None], fwd_hooks=[(names, say)])
        last = logits[0, -1]
        expected = float(last[task.answer[i]] - last[task.foil[i]])
        assert float(found[i]) == pytest.approx(expected, abs=1e-5)
