"""The heat map of head effects."""

import numpy as np
import pytest
import xarray as xr

from interp.plots import head_heatmap


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
    assert list(figure.data[0].y) == ["0", "1", "2"]
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
    with pytest.raises(ValueError, match="all of them are missing"):
        head_heatmap(effects() * np.nan)
