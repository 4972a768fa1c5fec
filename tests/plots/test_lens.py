"""Figures of lenses show what was read, where it belongs, and can be read themselves."""

import numpy as np
import pytest
import torch
import xarray as xr

from interp.lens import cumulative, direct_logit_attribution, logit_lens
from interp.patching import mean_over_prompts
from interp.plots import attribution_bars, lens_heatmap, lens_lines
from interp.plots.palette import HELPS, HURTS, INK, PAPER
from tests.helpers import random_model, random_task


@pytest.fixture(scope="module")
def model():
    return random_model()


@pytest.fixture(scope="module")
def reading(model):
    return logit_lens(model, ids(30), k=3, answer=7)


def ids(n):
    return torch.arange(n) % 50


def bands(figure):
    """Cells and words of each band."""
    return figure.data[::2], figure.data[1::2]


def test_cells_are_the_first_choices_under_their_tokens(reading):
    figure = lens_heatmap(reading)
    cells, words = bands(figure)
    assert len(cells) == 3  # 30 tokens, at most 12 side by side: 10, 10, 10
    shades = np.concatenate([band.z for band in cells], 1)
    np.testing.assert_allclose(shades, reading.top_probability.values[..., 0])
    written = np.concatenate([np.reshape(band.text, (3, 10)) for band in words], 1)
    assert (written == reading.top_token.values[..., 0]).all()
    for i, axis in enumerate((figure.layout.xaxis, figure.layout.xaxis2, figure.layout.xaxis3)):
        assert list(axis.ticktext) == reading.token.values[10 * i : 10 * i + 10].tolist()
    assert tuple(figure.layout.yaxis.range) == (-0.5, 2.5)  # layer 0 at the bottom
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (0, 1)


def test_pointing_shows_the_runners_up(reading):
    figure = lens_heatmap(reading, color="kl_divergence")
    hover = bands(figure)[0][1].hovertext[2][4]  # layer 2, position 14
    at = reading.sel(layer=2, position=14)
    assert hover.startswith(f"<b>layer 2</b>, after {at.token.item()} (14)<br>")
    for word, chance in zip(at.top_token.values, at.top_probability.values, strict=True):
        assert f"{chance:.3f}  {word}" in hover
    assert hover.endswith(f"KL divergence {float(at.kl_divergence):.3g} nats")
    assert figure.layout.coloraxis.cmax == pytest.approx(float(reading.kl_divergence.max()))


def test_words_are_dark_on_light_and_light_on_dark(reading):
    """Certain cells are dark green, hopeless ones white."""
    sure = reading.copy()
    values = np.zeros(reading.top_probability.shape)
    values[1] = 1.0
    sure["top_probability"] = (reading.top_probability.dims, values)
    colors = np.reshape(bands(lens_heatmap(sure))[1][0].textfont.color, (3, 10))
    assert set(colors[1]) == {PAPER} and set(colors[[0, 2]].ravel()) == {INK}


def test_few_tokens_stand_in_one_band_and_words_are_no_markup(model):
    one = logit_lens(model, ids(5), k=1)
    one["top_token"] = one.top_token.copy(data=np.full(one.top_token.shape, " <b>immeasurable"))
    figure = lens_heatmap(one.assign_coords(token=("position", ["\n", " a", "b&c", " ", "d"])))
    assert len(figure.data) == 2
    assert set(figure.data[1].text) == {"&lt;b&gt;immea\u2026"}
    assert list(figure.layout.xaxis.ticktext) == ["\u21b5", "a", "b&amp;c", "\u2423", "d"]
    assert "&lt;b&gt;immeasurable" in figure.data[0].hovertext[0][0]


def test_lines_and_their_intervals(model):
    task = random_task()
    reading = logit_lens(model, task)
    means = {name: mean_over_prompts(reading[name]) for name in ("entropy", "kl_divergence")}
    figure = lens_lines(means)
    shades, lines = figure.data[::2], figure.data[1::2]
    for shade, line, (name, mean) in zip(shades, lines, means.items(), strict=True):
        assert line.name == name
        np.testing.assert_allclose(line.y, reading[name].mean("prompt"), rtol=1e-5)
        np.testing.assert_allclose(shade.y, [*mean["high"].values, *mean["low"].values[::-1]])
    assert figure.layout.yaxis.title.text == "nats"
    plain = lens_lines(reading.entropy.isel(prompt=0), log=True)
    assert len(plain.data) == 1 and plain.layout.yaxis.type == "log"


def test_attribution_figures(model):
    found = direct_logit_attribution(model, random_task())
    mean = mean_over_prompts(found)
    (bars,) = attribution_bars(mean).data
    assert list(bars.x) == found.component.values.tolist()
    np.testing.assert_allclose(bars.y, found.mean("prompt"), rtol=1e-5)
    np.testing.assert_allclose(bars.error_y.array, mean["high"] - mean["mean"])
    np.testing.assert_allclose(bars.error_y.arrayminus, mean["mean"] - mean["low"])
    toward, against = (
        bars.marker.color[int(bars.y.argmax())],
        bars.marker.color[int(bars.y.argmin())],
    )
    assert (toward, against) == (HELPS, HURTS)
    running = lens_lines(mean_over_prompts(cumulative(found)))
    assert running.layout.xaxis.ticktext[-1] == "2.b_out"
    assert attribution_bars(found.isel(prompt=0)).data[0].error_y.array is None


def test_mean_over_prompts_leaves_missing_values_out():
    values = xr.DataArray([[1.0, np.nan, 3.0] * 5, [np.nan] * 15], dims=("role", "prompt"))
    found = mean_over_prompts(values)
    assert float(found["mean"][0]) == 2 and np.isnan(found["mean"][1])
    assert 1 <= float(found["low"][0]) <= 2 <= float(found["high"][0]) <= 3
    np.testing.assert_array_equal(mean_over_prompts(values.T)["mean"], found["mean"])


def test_wrong_results(model, reading):
    task = random_task()
    with pytest.raises(ValueError, match=r"dims \(layer, position\).*'prompt'"):
        lens_heatmap(logit_lens(model, task))
    with pytest.raises(ValueError, match=r"select one head"):
        lens_heatmap(logit_lens(model, ids(4), site="z"))
    with pytest.raises(ValueError, match="no 'logit_diff'; it has"):
        lens_heatmap(reading, color="logit_diff")
    with pytest.raises(ValueError, match=r"has one dim, and this result has \('layer', 'prompt'\)"):
        lens_lines(logit_lens(model, task).entropy)
    with pytest.raises(ValueError, match="1 to 4 lines, got 0"):
        lens_lines({})
    with pytest.raises(ValueError, match="component alone"):
        attribution_bars(direct_logit_attribution(model, task, by="head"))
