"""Estimates against exact effects."""

import numpy as np
import pytest
import xarray as xr

from interp.plots import agreement_scatter


def effects(values):
    attrs = {"unit": "logits", "title": "Estimated"}
    return xr.DataArray(np.array(values, float), dims=("layer", "head"), attrs=attrs)


EXACT, GUESS = effects([[0.0, 1.0], [-2.0, 3.0]]), effects([[0.1, 1.0], [0.0, np.nan]])


def test_worst_misses_are_named_and_the_rest_is_not():
    diagonal, rest, missed = agreement_scatter(GUESS, EXACT, annotate=1).data
    assert list(diagonal.x) == list(diagonal.y) == [-2, 1]
    assert list(zip(missed.text, missed.x, missed.y, strict=True)) == [("1.0", -2, 0)]
    assert missed.mode == "markers+text" and rest.mode == "markers"
    assert list(zip(rest.text, rest.x, rest.y, strict=True)) == [("0.0", 0, 0.1), ("0.1", 1, 1)]


def test_units_and_title():
    layout = agreement_scatter(GUESS, EXACT).layout
    assert layout.xaxis.title.text == "exact (logits)" and layout.title.text == "Estimated"
    assert layout.yaxis.title.text == "estimate (logits)"
    low, high = layout.xaxis.range
    assert low < -2 and high > 1


def test_other_cells_are_refused():
    with pytest.raises(ValueError, match="same dims"):
        agreement_scatter(GUESS.isel(head=[0]), EXACT)
    with pytest.raises(ValueError, match="no cell"):
        agreement_scatter(GUESS * np.nan, EXACT)
