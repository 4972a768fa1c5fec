"""Whole runs of a task: the hooked model's logits at END, on either side, with parts gone."""

import numpy as np
import pytest
import torch

from interp import metrics
from interp.patching import Ablation, ablate, measure, patch, run_task
from tests.helpers import apart, random_model, random_task, unaligned, unchecked, with_sets


@pytest.mark.parametrize("side", ["clean", "corrupted"])
@pytest.mark.parametrize("task", [random_task(), unaligned(random_task()), with_sets()])
@torch.inference_mode()
def test_logits_and_metrics_are_those_of_the_hooked_model(task, side):
    model = random_model()
    whole = model(task.tokens(side), task.mask(side))
    expected = whole[torch.arange(len(task)), task.roles(side)["END"]]
    logits = run_task(model, task, side=side)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
    names = ["logit_diff", "probability", "probability_diff", "accuracy", "rank"]
    found = measure(model, task, names, side=side)
    for name in names:
        function = getattr(metrics, name)
        foil = () if name in ("probability", "rank") else (task.foil,)
        value = function(expected, task.answer, *foil)
        np.testing.assert_allclose(found[name], value, atol=2e-5)
    assert found.logit_diff.attrs["title"] == f"{side.capitalize()} run"


@pytest.mark.parametrize("value", ["zero", "mean", "group mean", "resample"])
def test_the_runs_of_every_technique_are_those_of_measure(value):
    model, task = random_model(), apart(random_task(5))
    gone = Ablation(["0.1@END", "m1", "m2.3@S2"], value=value)
    for side in ("clean", "corrupted"):
        expected = measure(model, task, side=side, ablation=gone).logit_diff
        base = patch(model, task, "z", ablation=gone)[f"logit_diff_{side}"]
        np.testing.assert_allclose(base, expected, atol=1e-5)
    clean = measure(model, task, ablation=gone).logit_diff
    np.testing.assert_allclose(
        ablate(model, task, ablation=gone).logit_diff_clean, clean, atol=1e-5
    )
    sets = {"all": ["0.1@END", "m1", "m2.3@S2"]}
    np.testing.assert_allclose(
        ablate(model, task, sets, value=value).logit_diff[0], clean, atol=1e-5
    )


def test_progress_counts_the_batches():
    steps = []

    def count(some):
        steps.append(len(some))
        return some

    model, task = random_model(), random_task(7)
    measure(model, task, progress=count)
    assert steps == [3]  # of three prompts each


@pytest.mark.parametrize("call", [measure, run_task])
def test_a_side_that_there_is_not(call):
    with (
        unchecked(),
        pytest.raises(ValueError, match="side must be 'clean' or 'corrupted'; it is 'left'"),
    ):
        call(random_model(), random_task(2), side="left")
