"""Verdicts follow from intervals, and sections begin with them."""

import numpy as np
import pytest
import xarray as xr

from analyses.common.verdicts import (
    LEADS,
    answered,
    any_effect,
    both,
    is_above,
    opening,
    share_of,
    side_of,
)
from interp.statistics import Estimate


@pytest.mark.parametrize(
    ("low", "high", "answer"),
    [
        (0.6, 0.8, "yes"),
        (0.1, 0.4, "no"),
        (0.4, 0.6, "cannot be told"),
        (0.5, 0.9, "cannot be told"),
    ],
)
def test_the_answer_is_the_side_of_the_bound_on_which_the_interval_lies(low, high, answer):
    estimate = Estimate((low + high) / 2, low, high)
    assert side_of(estimate, 0.5) == answer
    found = is_above(estimate, "the fraction is", 0.5)
    assert found.answer == answer and found.text.startswith(f"{LEADS[answer]}: the fraction is")
    assert f"[{low:.2f}, {high:.2f}], against 0.5" in found.text


@pytest.mark.parametrize(
    ("first", "second", "joined"),
    [
        ("yes", "yes", "yes"),
        ("yes", "no", "no"),
        ("cannot be told", "no", "no"),
        ("cannot be told", "yes", "cannot be told"),
    ],
)
def test_both_must_hold(first, second, joined):
    found = both(answered(first, "a is 1"), answered(second, "b is 2"))
    assert found.answer == joined and found.text == f"{LEADS[joined]}: a is 1; b is 2."


def effects(n_told, n=40, helps="negative"):
    mean = np.zeros(n)
    mean[:n_told] = -2.0
    attrs = {"unit": "logits", "helps": helps}
    mean = xr.DataArray(
        mean[None], {"layer": [0], "head": range(n)}, ("layer", "head"), attrs=attrs
    )
    return xr.Dataset({"mean": mean, "low": mean - 0.5, "high": mean + 0.5})


def test_a_few_heads_beyond_zero_are_chance():
    assert any_effect(effects(5)).answer == "yes"
    assert any_effect(effects(2)).answer == "cannot be told"  # a twentieth of 40
    assert any_effect(effects(0)).answer == "cannot be told"
    text = any_effect(effects(5)).text
    assert (
        text.startswith("Yes: 5 of 40 heads") and "0.0, \u22122.00 [\u22122.50, \u22121.50]" in text
    )


def test_the_largest_helps_or_hurts_by_the_sign_of_the_result():
    assert "helps the task" in any_effect(effects(5)).text
    assert "hurts the task" in any_effect(effects(5, helps="positive")).text


def test_a_section_begins_with_its_verdict():
    text = opening(share_of([True, False], "heads agree"), "What was done.", "")
    assert text == "No: 1 of 2 heads agree.\n\nWhat was done."
