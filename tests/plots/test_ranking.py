"""The strongest effects with their intervals."""

import numpy as np
import pytest
import xarray as xr

from interp.plots import effect_ranking


def estimate(shift=0.0):
    values = np.array([[0.5, -2.0], [np.nan, 1.0]]) + shift
    mean = xr.DataArray(values, dims=("layer", "head"), attrs={"unit": "logits", "title": "T"})
    return xr.Dataset({"mean": mean, "low": mean - 0.25, "high": mean + 0.5})


def test_the_strongest_first_with_their_intervals():
    figure = effect_ranking(estimate(), n=2)
    (dots,) = figure.data
    assert list(dots.y) == ["0.1", "1.1"] and figure.layout.yaxis.autorange == "reversed"
    assert list(dots.x) == [-2, 1]
    assert list(dots.error_x.array) == [0.5, 0.5] and list(dots.error_x.arrayminus) == [0.25, 0.25]
    assert figure.layout.xaxis.title.text == "logits" and figure.layout.title.text == "T"


def test_cells_without_a_value_are_left_out():
    assert list(effect_ranking(estimate(), n=9).data[0].y) == ["0.1", "1.1", "0.0"]


def test_several_results_on_the_same_lines():
    before, after = effect_ranking({"before": estimate(), "after": estimate(3)}, n=2).data
    assert list(before.y) == list(after.y) == ["1.1", "0.0"]
    assert list(before.x) == [1, 0.5] and list(after.x) == [4, 3.5]
    assert before.name == "before" and before.marker.symbol != after.marker.symbol


def test_wrong_results():
    with pytest.raises(ValueError, match="1 to 3 results"):
        effect_ranking({})
    with pytest.raises(ValueError, match="n = 0"):
        effect_ranking(estimate(), n=0)
    with pytest.raises(ValueError, match="same dims"):
        effect_ranking({"a": estimate(), "b": estimate().isel(layer=[0])})
