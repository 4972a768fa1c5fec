"""Pruning against a naive twin."""

import pytest
import torch

from interp.circuits import prune_heads
from tests.helpers import random_model, random_task
from tests.naive import patching as naive


def naive_prune(model, task, threshold, everywhere=True):
    """The same search with whole runs of every prompt, and no shortcut but the order of trials."""
    everything = [(i, h, r) for i in range(2) for h in range(2) for r in task.positions]
    keep = everything
    current = float(naive.circuit_logit_diff(model, task, keep, everywhere).mean())
    whole = naive.logit_diff(model(task.clean_tokens, task.attention_mask), task).mean()
    for layer in (1, 0):
        for head in (0, 1):
            for drop in [[*task.positions], ["S2"], ["END"]]:
                trial = [e for e in keep if e[:2] != (layer, head) or e[2] not in drop]
                value = float(naive.circuit_logit_diff(model, task, trial, everywhere).mean())
                if abs(value - current) < threshold * abs(whole):
                    keep, current = trial, value
                    if len(drop) > 1:
                        break
    return keep


@pytest.mark.parametrize("threshold", [0.02, 0.1, 0.3])
@torch.inference_mode()
def test_pruning_is_the_naive_search(threshold):
    model, task = random_model(n_layers=2, n_heads=2), random_task(4)
    found = prune_heads(model, task, threshold=threshold)
    assert found == naive_prune(model, task, threshold)
    assert 0 < len(found) < 8


@torch.inference_mode()
def test_at_the_roles_alone_the_others_are_left_to_do_what_they_do():
    model, task = random_model(n_layers=2, n_heads=2), random_task(4)
    found = prune_heads(model, task, threshold=0.4, positions=list(task.positions))
    assert found == naive_prune(model, task, 0.4, everywhere=False)
    assert found != prune_heads(model, task, threshold=0.4)
    with pytest.raises(ValueError, match="no role 'IO'"):
        prune_heads(model, task, positions=["IO"])


def test_extreme_thresholds():
    model, task = random_model(n_layers=2, n_heads=2), random_task(4)
    kept = prune_heads(model, task, threshold=1e-9)
    assert set(kept) == {(i, h, r) for i in (0, 1) for h in (0, 1) for r in ("S2", "END")} - {
        (1, 0, "S2"),  # after the last layer only END is read
        (1, 1, "S2"),
    }
    assert prune_heads(model, task, threshold=1e9) == []


def test_pruning_leaves_no_hooks():
    model = random_model(n_layers=2, n_heads=2)
    prune_heads(model, random_task(4))
    assert model.list_hooks() == {}


@pytest.mark.parametrize("threshold", [0.0, -0.1, float("nan")])
def test_a_threshold_is_positive(threshold):
    with pytest.raises(ValueError, match="positive"):
        prune_heads(random_model(), random_task(), threshold=threshold)
