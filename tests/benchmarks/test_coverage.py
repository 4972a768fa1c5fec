"""Intervals that cover: minutes long, `pytest -m slow`."""

import pytest

import interp
from tests.benchmarks.coverage import SIZES, coverage


@pytest.mark.slow
def test_intervals_hold_the_mean_of_many_prompts():
    found = coverage(interp.load("mini"))
    assert 0.93 <= found["draws"] <= 0.97
    assert found["seeds"] >= 0.93
    for few in SIZES:
        assert 0.92 <= found[f"draws of {few}"] <= 0.97
