"""The heat map of head effects."""

import numpy as np
import pytest
import xarray as xr

from interp.plots import effect_heatmap, head_heatmap


def effects():
    values = np.zeros((3, 4))
    values[2, 1], values[0, 3], values[1, 0] = -2.0, 0.5, np.nan
    attrs = {"title": "Direct effect", "unit": "logits"}
    return xr.DataArray(values, dims=("layer", "head"), attrs=attrs)


def test_scale_is_centered_at_zero():
    for array in (effects(), -effects()):
        (cells,) = head_heatmap(array).data
        assert (cells.zmin, cells.zmax, cells.zmid) == (-2, 2, 0)


def test_layers_go_down_and_transposing_changes_nothing():
    figure = head_heatmap(effects())
    assert figure.layout.yaxis.autorange == "reversed"
    assert list(figure.layout.yaxis.ticktext) == ["0", "1", "2"]
    assert figure == head_heatmap(effects().transpose("head", "layer"))


def test_strongest_heads_are_named_in_their_cells():
    labels = head_heatmap(effects(), annotate=3).layout.annotations
    assert [(a.text, a.x, a.y) for a in labels] == [("2.1", 1, 2), ("0.3", 3, 0)]
    assert head_heatmap(effects(), annotate=0).layout.annotations == ()


def test_title_unit_and_interval_show():
    mean = effects()
    bounds = xr.concat([mean - 0.25, mean + 0.25], "bound").assign_coords(bound=["low", "high"])
    figure = head_heatmap(mean, interval=bounds)
    assert figure.layout.title.text == "Direct effect"
    assert figure.data[0].colorbar.title.text.startswith("logits")
    assert figure.data[0].text[2][1] == "<b>2.1</b>  -2.000 logits<br>-2.250 to -1.750"


def test_all_zero_is_drawn():
    assert head_heatmap(effects().fillna(0) * 0).data[0].zmax == 1


def test_wrong_arrays():
    with pytest.raises(ValueError, match=r"dims \(layer, head\).*mean\("):
        head_heatmap(effects().expand_dims("prompt"))
    with pytest.raises(ValueError, match="interval needs"):
        head_heatmap(effects(), interval=effects())
    with pytest.raises(ValueError, match=r"two dims.*\('prompt', 'layer', 'head'\)"):
        effect_heatmap(effects().expand_dims("prompt"))
    with pytest.raises(ValueError, match="2 labels for 'layer', which has 3"):
        effect_heatmap(effects(), labels={"layer": ["a", "b"]})
    with pytest.raises(ValueError, match="all of them are missing"):
        head_heatmap(effects() * np.nan)


def test_any_two_parts_in_their_order():
    values = np.array([[0.5, -1.0, 0.0], [0.25, np.nan, 2.0]])
    coords = {"role": ["S2", "END"], "source": [0, 1, 2]}
    array = xr.DataArray(values, coords, ("role", "source"), attrs={"unit": "logits"})
    figure = effect_heatmap(array, labels={"source": ["the", "cat", "the"]}, annotate=2)
    np.testing.assert_array_equal(figure.data[0].z, values)
    assert list(figure.layout.yaxis.ticktext) == ["S2", "END"]
    assert list(figure.layout.xaxis.ticktext) == ["the", "cat", "the"]  # alike, and apart
    assert list(figure.layout.xaxis.tickvals) == [0, 1, 2]
    assert figure.layout.xaxis.title.text == "position attended to"
    assert figure.layout.yaxis.title.text == "role"
    assert [(a.text, a.x, a.y) for a in figure.layout.annotations] == [
        ("+2.00", 2, 1), ("\u22121.00", 1, 0),
    ]  # fmt: skip
    assert figure.data[0].text[0][1] == "<b>S2, to cat</b>  -1.000 logits"


def test_intervals_follow_their_cells():
    mean = effects()
    estimate = xr.Dataset({"mean": mean, "low": (mean - 1).T, "high": mean + 2})
    text = effect_heatmap(estimate).data[0].text
    assert text[2][1].endswith("<br>-3.000 to +0.000")
    assert text[0][3].endswith("<br>-0.500 to +2.500")
