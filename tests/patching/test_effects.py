"""Mean effects: their intervals are those of the groups of the task."""

import numpy as np

from interp.patching import Selection, effect, mean_effect, normalized, patch
from interp.statistics import interval
from tests.helpers import random_model, random_task


def test_a_result_knows_the_groups_of_its_prompts_and_intervals_go_by_them():
    task = random_task(12)
    found = patch(random_model(), task, "z", Selection(over=("layer", "head")))
    assert found["group"].values.tolist() == list(task.group)
    assert 1 < len(set(task.group)) < 12
    values = effect(found).transpose(..., "prompt").values
    known, unknown = (interval("mean", values, groups=g)[1:] for g in (task.group, None))
    mean = mean_effect(found)
    np.testing.assert_allclose((mean.low, mean.high), known, atol=1e-12)
    assert np.abs(np.array(known) - unknown).max() > 1e-3
    assert "group" not in mean.coords and "group" not in normalized(found).coords
