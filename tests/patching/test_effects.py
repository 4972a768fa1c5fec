"""Mean effects: their intervals are those of the groups of the task."""

import numpy as np
import pytest
import xarray as xr

from interp.patching import (
    Selection,
    effect,
    mean_effect,
    mean_over_prompts,
    normalized,
    patch,
)
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


@pytest.mark.parametrize("direction", ["denoising", "noising"])
def test_of_several_metrics_each_gives_what_it_gives_alone(direction):
    model, task, names = random_model(), random_task(6, (6,)), ["logit_diff", "probability"]
    both = patch(model, task, "resid_pre", direction=direction, metrics=names)
    for name in names:
        one = patch(model, task, "resid_pre", direction=direction, metrics=name)
        for call in (effect, mean_effect, normalized):
            xr.testing.assert_equal(call(both, name), call(one))
            assert call(both, name).attrs == call(one).attrs
        assert effect(both, name).name == name
        for call in (mean_effect, normalized):
            unit = "fraction" if call is normalized else effect(one).attrs["unit"]
            for part in call(both, name).data_vars.values():
                assert part.attrs["unit"] == unit
    assert not np.allclose(normalized(both)["mean"], normalized(both, "probability")["mean"])


def test_a_level_is_that_of_the_interval():
    """The narrower the level, the narrower the interval, around the same mean."""
    found = patch(random_model(), random_task(12), "z", Selection(over=["layer"]))
    found["logit_diff_clean"] = found.logit_diff_clean + 20  # told apart from the corrupted runs
    for call in (mean_effect, normalized, lambda x, **of: mean_over_prompts(effect(x), **of)):
        narrow, usual, wide = (call(found, level=level) for level in (0.5, 0.95, 0.99))
        np.testing.assert_array_equal(usual["mean"], narrow["mean"])
        assert (wide.high > usual.high).all() and (usual.high > narrow.high).all()
        assert (wide.low < usual.low).all() and (usual.low < narrow.low).all()
        np.testing.assert_array_equal(usual.to_array(), call(found).to_array())
