"""One rule for colors: a part that helps the task is blue in every figure, whatever its sign."""

import inspect

import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr

from interp import plots
from interp.circuits import Circuit, Member
from interp.patching import contribution
from interp.plots import (
    attribution_bars,
    circuit_svg,
    effect_heatmap,
    effect_ranking,
    head_heatmap,
    shared_limit,
)
from interp.plots.palette import HELPS, HURTS, Scale, scale_of

GOOD, BAD = (1, 0), (0, 2)  # a head that helps, and one that hurts


def effects(helps):
    """What is measured of heads where one helps and one hurts."""
    sign = 1 if helps == "positive" else -1
    values = np.zeros((2, 3))
    values[GOOD], values[BAD] = 2.0 * sign, -1.0 * sign
    attrs = {"helps": helps, "unit": "logits", "title": "T"}
    where = {"layer": [0, 1], "head": [0, 1, 2]}
    return xr.DataArray(values, where, ("layer", "head"), attrs=attrs)


def estimate(helps):
    mean = effects(helps)
    return xr.Dataset({"mean": mean, "low": mean - 0.1, "high": mean + 0.1})


def is_blue(color):
    red, _, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return blue > red


def of_cells(figure):
    (cells,) = figure.data
    stops = tuple((float(at), color) for at, color in cells.colorscale)
    scale = Scale(stops, cells.zmin, cells.zmax)
    return scale.color(cells.z[GOOD]), scale.color(cells.z[BAD])


def of_dots(figure):
    at = dict(zip(figure.data[0].y, figure.data[0].marker.color, strict=True))
    return at["1.0"], at["0.2"]


def of_bars(figure):
    return figure.data[0].marker.color


def of_svg(svg):
    def fill(head):
        return svg.partition(f'data-node="{head}"')[2].partition('fill="')[2][:7]

    return fill("1.0"), fill("0.2")


def drawn(helps):
    mean = effects(helps)
    flat = mean.values[[1, 0], [0, 2]]
    bars = xr.DataArray(flat, {"component": ["good", "bad"]}, ("component",), attrs=mean.attrs)
    circuit = Circuit("m", [Member("1.0@END", "mover"), Member("0.2@END", "mover")])
    return {
        "effect_heatmap": of_cells(effect_heatmap(estimate(helps))),
        "head_heatmap": of_cells(head_heatmap(mean)),
        "effect_ranking": of_dots(effect_ranking(estimate(helps))),
        "attribution_bars": of_bars(attribution_bars(bars)),
        "circuit_svg": of_svg(circuit_svg(circuit, effects=mean)),
    }


@pytest.mark.parametrize("helps", ["positive", "negative"])
def test_a_head_that_helps_is_blue_and_one_that_hurts_red(helps):
    for name, (good, bad) in drawn(helps).items():
        assert is_blue(good) and not is_blue(bad), name


def test_the_sign_changes_no_color():
    assert drawn("positive") == drawn("negative")


def test_every_figure_of_effects_is_under_the_law():
    """A plot function that takes effects is drawn above, or shades nothing by its values."""
    unshaded = {"shared_limit", "circuit_html", "circuit_png"}  # the last two draw circuit_svg
    takes = {
        name for name in plots.__all__
        if {"effects", "parts"} & set(inspect.signature(getattr(plots, name)).parameters)
    }  # fmt: skip
    assert takes - unshaded == set(drawn("positive"))


def test_every_figure_says_what_its_colors_mean():
    for helps, word in (("positive", "Blue (positive)"), ("negative", "Blue (negative)")):
        for figure in (effect_heatmap(estimate(helps)), effect_ranking(estimate(helps))):
            assert figure.layout.title.subtitle.text.startswith(f"{word} helps the task")


@pytest.mark.parametrize("unit", ["probability", "fraction"])
def test_probabilities_are_on_a_sequential_scale_from_zero_to_one(unit):
    values = xr.DataArray([[0.0, 0.2], [0.4, 0.1]], dims=("layer", "head"), attrs={"unit": unit})
    (cells,) = head_heatmap(values).data
    assert (cells.zmin, cells.zmax) == (0, 1)
    assert cells.colorscale[0][1] == "#FFFFFF"
    assert not any(color in (HELPS, HURTS) for _, color in cells.colorscale)


def test_a_change_of_a_probability_is_centered():
    values = effects("negative").assign_attrs(unit="probability")
    assert (head_heatmap(values).data[0].zmin, head_heatmap(values).data[0].zmax) == (-2, 2)


def test_red_and_blue_are_for_the_task_alone():
    values = effects("positive")
    del values.attrs["helps"]
    task = {color for _, color in head_heatmap(effects("positive")).data[0].colorscale}
    other = {color for _, color in head_heatmap(values).data[0].colorscale}
    assert (task & other) <= {"#F7F7F7"}
    cosine = xr.DataArray(np.eye(3), dims=("pos", "other"))
    assert not {c for _, c in plots.similarity_heatmap(cosine).data[0].colorscale} & (
        task - {"#F7F7F7"}
    )


def test_comparable_figures_share_their_range():
    one, other = effects("negative"), effects("positive") / 4
    limit = shared_limit(one, estimate("positive"), other.assign_attrs(unit="logits"))
    assert limit == 2
    (cells,) = effect_heatmap(other.assign_attrs(effects("positive").attrs), limit=limit).data
    assert (cells.zmin, cells.zmax) == (-2, 2)
    with pytest.raises(ValueError, match="one unit"):
        shared_limit(one, other.assign_attrs(unit="probability"))
    with pytest.raises(ValueError, match="above 0"):
        effect_heatmap(one, limit=0.0)


def test_scales_with_two_sides_are_centered():
    for attrs in ({"helps": "positive"}, {"helps": "negative"}, {}):
        scale = scale_of(np.array([-3.0, 1.0, np.nan]), attrs)
        assert (scale.low, scale.high) == (-3, 3) and scale.color(0.0) == "#F7F7F7"


def test_a_contribution_is_positive_where_it_helps():
    for helps in ("positive", "negative"):
        turned = contribution(effects(helps))
        assert turned.values[GOOD] == 2 and turned.values[BAD] == -1
        assert turned.attrs["helps"] == "positive"
    with pytest.raises(ValueError, match="keep_attrs"):
        contribution(effects("positive").assign_attrs(helps=""))


def test_rankings_keep_red_and_blue_for_the_task():
    figure = effect_ranking({"before": estimate("negative"), "after": estimate("negative")})
    assert isinstance(figure, go.Figure)
    assert figure.data[0].marker.symbol != figure.data[1].marker.symbol
    assert set(figure.data[0].marker.color) <= {HELPS, HURTS, "#1F2933"}
