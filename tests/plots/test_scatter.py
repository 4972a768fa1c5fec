"""Attention against what is written."""

import numpy as np
import pytest
import xarray as xr

from interp.circuits import Member
from interp.plots import attention_scatter
from interp.plots.palette import KIND_COLORS

HEADS = (
    Member("1.0@END", "negative name mover"),
    Member("0.1@END", "name mover"),
    Member("1.1@END", "name mover"),
)


def arrays(prompts=5):
    rng = np.random.default_rng(0)
    dims = ("prompt", "layer", "head")
    attention = xr.DataArray(rng.uniform(size=(prompts, 2, 2)), dims=dims)
    projection = xr.DataArray(rng.normal(size=(prompts, 2, 2)), dims=dims)
    return attention, projection


def test_one_trace_of_labeled_means_a_class():
    attention, projection = arrays()
    figure = attention_scatter(attention.mean("prompt"), projection.mean("prompt"), HEADS)
    assert [trace.name for trace in figure.data] == ["name mover", "negative name mover"]
    movers = figure.data[0]
    assert list(movers.text) == ["0.1", "1.1"]
    assert movers.marker.color == KIND_COLORS["name mover"]
    assert movers.x == pytest.approx(attention.mean("prompt").values[[0, 1], [1, 1]])
    assert movers.y == pytest.approx(projection.mean("prompt").values[[0, 1], [1, 1]])


def test_prompts_are_dots_behind_the_same_means():
    attention, projection = arrays()
    figure = attention_scatter(attention, projection, HEADS)
    dots, means = figure.data[:2]
    assert list(dots.text) == ["0.1"] * 5 + ["1.1"] * 5
    assert dots.y[5:] == pytest.approx(projection.values[:, 1, 1])
    assert means.y[1] == pytest.approx(projection.values[:, 1, 1].mean())


def test_wrong_input():
    attention, projection = arrays()
    with pytest.raises(ValueError, match="dims differ"):
        attention_scatter(attention, projection.mean("prompt"), HEADS)
    with pytest.raises(ValueError, match="attention needs the dims"):
        attention_scatter(attention.rename(layer="block"), projection, HEADS)
    with pytest.raises(ValueError, match="at least one head"):
        attention_scatter(attention, projection, ())
    with pytest.raises(KeyError, match=r"9\.6 is outside the array of 2 layers x 2 heads"):
        attention_scatter(attention, projection, (Member("9.6@END", "other"),))
