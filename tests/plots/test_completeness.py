"""The completeness figure shows the means that it is given."""

import numpy as np
import pytest
import xarray as xr

from interp.plots import completeness_scatter
from interp.plots.palette import KIND_COLORS


def result():
    sets = ["none", "name mover", "both of them", "random 1", "random 2", "greedy 1"]
    values = np.arange(12.0).reshape(6, 2)
    one = xr.DataArray(values, {"set": sets}, ["set", "prompt"])
    nodes = ("set", ["", "9.6", "9.6 10.7", "10.7", "", "9.6"])
    runs = xr.concat([one + 1, one], xr.IndexVariable("run", ["full", "circuit"]))
    found = xr.Dataset({"logit_diff": runs.assign_attrs(unit="logits"), "accuracy": 0 * runs})
    return found.assign_coords(nodes=nodes)


def test_points_are_means_of_circuit_and_model():
    figure = completeness_scatter(result(), title="A title")
    traces = {trace.name: trace for trace in figure.data}
    assert list(traces["random"].x) == [6.5, 8.5]
    assert list(traces["random"].y) == [7.5, 9.5]
    assert list(traces["greedy"].x) == [10.5]
    assert traces["name mover"].marker.color == KIND_COLORS["name mover"]
    assert traces["both of them"].text == ("both of them<br>9.6 10.7",)
    assert figure.layout.title.text == "A title"
    assert figure.layout.xaxis.title.text == "F(C without K), logits"
    flat = completeness_scatter(result(), metric="accuracy").data[1]
    assert set(flat.x) == set(flat.y) == {0.0}


def test_the_line_is_where_both_are_equal():
    line = completeness_scatter(result()).data[0]
    assert list(line.x) == list(line.y)
    assert line.x[0] < 0.5
    assert line.x[1] > 11.5


def test_other_results_are_refused():
    with pytest.raises(ValueError, match="circuit"):
        completeness_scatter(result().sel(run=["full"]))
    with pytest.raises(ValueError, match="no metric 'rank'"):
        completeness_scatter(result(), metric="rank")
