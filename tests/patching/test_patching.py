"""Path patching, activation patching and mean ablation against their naive twins and their laws."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import interp.patching.runs
from interp.patching import direct_effect, group_means, head_effects, mean_ablation, run_task
from tests.helpers import random_model, random_task
from tests.naive import patching as naive

SHAPES = [
    {},
    {"n_layers": 1},
    {"n_heads": 1},
    {"n_layers": 1, "n_heads": 1, "d_mlp": 8},
]


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch):
    monkeypatch.setattr(interp.patching.runs, "ROWS", 3)  # several batches, the last one short


def close(found, expected):
    scale = np.abs(np.asarray(expected)).max()
    assert scale > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(scale, 1), rtol=0)


@pytest.mark.parametrize("sizes", SHAPES)
@pytest.mark.parametrize("task", [random_task(), random_task(1, (6,)), random_task(4, (1, 7))])
@torch.inference_mode()
def test_direct_effect_is_the_naive_one(sizes, task):
    task = replace(task, positions={"END": task.positions["END"]})
    model = random_model(**sizes)
    found = direct_effect(model, task)
    assert found.dims == ("layer", "head", "prompt")
    close(found.values, naive.direct_effect(model, task))


@torch.inference_mode()
def test_only_end_carries_a_direct_effect():
    model, task = random_model(), random_task()
    close(direct_effect(model, task).values, naive.direct_effect(model, task, positions="all"))


@pytest.mark.parametrize("sizes", SHAPES)
@torch.inference_mode()
def test_head_effects_are_the_naive_ones(sizes):
    model, task = random_model(**sizes), random_task(5)
    found = head_effects(model, task)
    assert list(found.position.values) == ["S2", "END"]
    close(found.values, naive.head_effects(model, task, ["S2", "END"]))


@pytest.mark.parametrize("keep", [[], [(0, 1, "S2"), (1, 0, "END"), (2, 3, "END"), (2, 3, "S2")]])
@torch.inference_mode()
def test_mean_ablation_is_the_naive_one(keep):
    model, task = random_model(), random_task()
    logits = run_task(model, task, hooks=mean_ablation(model, task, keep))
    rows = torch.arange(len(task))
    found = logits[rows, task.answer] - logits[rows, task.foil]
    close(found, naive.circuit_logit_diff(model, task, keep))


@torch.inference_mode()
def test_run_task_are_the_models():
    model, task = random_model(), random_task()
    whole = model(task.clean_tokens, task.attention_mask)
    expected = whole[torch.arange(7), task.positions["END"]]
    torch.testing.assert_close(run_task(model, task), expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_equal_prompts_have_no_effect():
    task = random_task()
    task = replace(task, corrupted_tokens=task.clean_tokens)
    model = random_model()
    assert np.abs(direct_effect(model, task)).max() < 1e-5
    assert np.abs(head_effects(model, task)).max() < 1e-5


@torch.inference_mode()
def test_keeping_every_head_everywhere_is_the_whole_model():
    model, task = random_model(), random_task(4, (6,))
    positions = {f"at {i}": torch.full((4,), i) for i in range(6)} | {"END": torch.full((4,), 5)}
    task = replace(task, positions=positions)
    everything = [(i, h, role) for i in range(3) for h in range(4) for role in positions]
    ablated = run_task(model, task, hooks=mean_ablation(model, task, everything))
    torch.testing.assert_close(ablated, run_task(model, task), atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_means_are_those_of_the_group():
    model, task = random_model(), random_task()
    means, group = group_means(model, task)
    assert means.shape == (3, 2, 9, 4, 8)
    same = [i for i in range(7) if task.group[i] == task.group[1]]
    _, cache = model.run_with_cache(task.corrupted_tokens[same, :6])
    torch.testing.assert_close(means[2, group[1], :6], cache["z", 2].mean(0), atol=1e-5, rtol=1e-5)


def test_results_say_what_they_are():
    found = direct_effect(random_model(), random_task())
    assert found.attrs["unit"] == "logits"
    assert found.attrs["model"] == "untrained"
    assert found.attrs["task"] == "random"
    assert found.attrs["version torch"] == torch.__version__


def test_unknown_roles_and_heads_are_refused():
    model, task = random_model(), random_task()
    with pytest.raises(ValueError, match="no role"):
        head_effects(model, task, roles=["S7"])
    with pytest.raises(ValueError, match="no role"):
        mean_ablation(model, task, [(0, 0, "S7")])
    with pytest.raises(ValueError, match=r"3\.0 is not in the model"):
        mean_ablation(model, task, [(3, 0, "END")])
