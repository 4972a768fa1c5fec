"""Pruning against a naive twin, and the classes of heads on arrays written by hand."""

import numpy as np
import pytest
import torch
import xarray as xr

from interp.circuits import PAPER_ROLES, classify, prune_heads
from tests.helpers import random_model, random_task
from tests.naive import patching as naive

ROLES = list(PAPER_ROLES)


def naive_prune(model, task, threshold):
    """The same search with whole runs of every prompt, and no shortcut but the order of trials."""
    everything = [(i, h, r) for i in range(2) for h in range(2) for r in task.positions]
    keep = everything
    current = float(naive.circuit_logit_diff(model, task, keep).mean())
    whole = naive.logit_diff(model(task.clean_tokens, task.attention_mask), task).mean()
    for layer in (1, 0):
        for head in (0, 1):
            for drop in [[*task.positions], ["S2"], ["END"]]:
                trial = [e for e in keep if e[:2] != (layer, head) or e[2] not in drop]
                value = float(naive.circuit_logit_diff(model, task, trial).mean())
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


def arrays(direct=(), looks=()):
    """One layer of eight heads; entries are (head, value) and (head, query, key, value)."""
    roles = [*ROLES, "IO+1", "S2+2"]
    straight = xr.DataArray(
        np.zeros((1, 8, 2)),
        dims=["layer", "head", "prompt"],
        coords={"layer": [0], "head": range(8)},
        attrs={"model": "by hand"},
    )
    for head, value in direct:
        straight.loc[0, head] = [value - 1, value + 1]  # the mean counts, not each prompt
    attention = xr.DataArray(
        np.zeros((1, 8, len(roles), len(roles), 2)),
        dims=["layer", "head", "query", "key", "prompt"],
        coords={"layer": [0], "head": range(8), "query": roles, "key": roles},
    )
    for head, query, key, value in looks:
        attention.loc[0, head, query, key] = value
    return straight, attention


def found(keep, *given, **options):
    circuit = classify(keep, *given, **{"smallest": 0.4, **options})
    assert circuit.model == "by hand"
    return [(h.label, h.kind, h.position) for h in circuit.heads]


def test_direct_effects_make_movers_at_end():
    keep = [(0, 1, "END"), (0, 2, "END"), (0, 5, "END"), (0, 1, "S2")]
    assert found(keep, *arrays([(1, -0.5), (2, 0.5), (5, -0.39)])) == [
        ("0.1", "name mover", "END"),
        ("0.2", "negative name mover", "END"),
        ("0.5", "other", "END"),
        ("0.1", "other", "S2"),
    ]


@pytest.mark.parametrize(
    ("position", "key", "kind"),
    [
        ("END", "S2", "S-inhibition"),
        ("END", "S1", "S-inhibition"),
        ("END", "IO", "other"),
        ("S2", "S1", "duplicate token"),
        ("S2", "S1+1", "induction"),
        ("S1+1", "S1", "previous token"),
        ("IO+1", "IO", "previous token"),
        ("S2+2", "IO+1", "name mover"),
        ("S2+2", "S2", "S-inhibition"),
        ("S1", "IO", "other"),
    ],
)
def test_attention_decides_the_class(position, key, kind):
    given = arrays(looks=[(6, position, key, 0.5), (6, position, position, 0.3)])
    assert found([(0, 6, position)], *given) == [("0.6", kind, position)]
    assert found([(0, 6, position)], *given, min_attention=0.6) == [("0.6", "other", position)]
