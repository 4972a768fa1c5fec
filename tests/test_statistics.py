"""Bootstrap intervals: laws, a naive twin, and coverage."""

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from scipy import stats

from interp.statistics import (
    Estimate,
    _resampled_means,
    _strata,
    bootstrap_interval,
    bootstrap_mean,
    bootstrap_ratio,
)


def normal(seed: int, *shape: int) -> np.ndarray:
    """Seeded normal values."""
    return np.random.default_rng(seed).normal(size=shape)


def test_naive_twin() -> None:
    values = normal(0, 30) + 2
    drawn = np.random.default_rng(7).integers(30, size=(400, 30))
    means = [values[row].mean() for row in drawn]
    low, high = np.quantile(means, [0.05, 0.95])
    ours = bootstrap_mean(values, level=0.9, resamples=400, seed=7)
    assert dataclasses.astuple(ours) == pytest.approx((values.mean(), low, high), abs=1e-12)


def test_chunks_do_not_change_the_samples() -> None:
    values = normal(0, 5000)  # 2 ** 21 // 5000 resamples a chunk, so 1000 take three
    drawn = np.random.default_rng(0).integers(5000, size=(1000, 5000))
    low, high = np.quantile(values[drawn].mean(-1), [0.025, 0.975])
    ours = bootstrap_mean(values, resamples=1000)
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=1e-12)


def test_agrees_with_scipy() -> None:
    values = np.random.default_rng(1).exponential(size=200)
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20000, rng=np.random.default_rng(0)
    ).confidence_interval
    ours = bootstrap_mean(values, resamples=20000)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.005)


def test_covers_as_often_as_it_says() -> None:
    values = normal(2, 1000, 60)  # 1000 experiments that share resamples but not values
    for level in (0.5, 0.95):
        low, high = bootstrap_interval(values, level=level, resamples=1000)
        covered = ((low < 0) & (high > 0)).mean()
        assert covered == pytest.approx(level, abs=0.04)


def test_heat_map_is_bounded_cell_by_cell() -> None:
    values = torch.tensor(normal(3, 2, 3, 40))
    low, high = bootstrap_interval(values, seed=5)
    assert low.shape == high.shape == (2, 3)
    for layer in range(2):
        for head in range(3):
            one = bootstrap_mean(values[layer, head], seed=5)
            assert (one.low, one.high) == pytest.approx((low[layer, head], high[layer, head]))


def test_seed_and_kind_of_array() -> None:
    values = normal(4, 50)
    assert bootstrap_mean(values, seed=1) == bootstrap_mean(torch.tensor(values), seed=1)
    assert bootstrap_mean(values, seed=1) != bootstrap_mean(values, seed=2)
    single = torch.tensor(values, dtype=torch.float32, requires_grad=True)
    assert bootstrap_mean(single).mean == pytest.approx(values.mean(), abs=1e-6)


def test_scaling_and_shifting() -> None:
    values = normal(5, 50)
    one, other = bootstrap_mean(values), bootstrap_mean(3 * values + 2)
    moved = [3 * x + 2 for x in dataclasses.astuple(one)]
    assert dataclasses.astuple(other) == pytest.approx(moved)
    assert one.low < one.mean < one.high
    wide = bootstrap_mean(values, level=0.99)
    assert wide.low < one.low < one.high < wide.high


def test_constant_values_have_no_spread() -> None:
    estimate = bootstrap_mean(np.full(20, 1.5))
    assert dataclasses.astuple(estimate) == pytest.approx((1.5, 1.5, 1.5))


def test_ratio_resamples_prompts_not_values() -> None:
    values = normal(6, 50) + 3
    whole = bootstrap_ratio(0.8 * values, values)
    assert dataclasses.astuple(whole) == pytest.approx((0.8, 0.8, 0.8))
    noise = 0.1 * normal(7, 50)
    drawn = np.random.default_rng(0).integers(50, size=(5000, 50))
    ratios = (values + noise)[drawn].mean(-1) / values[drawn].mean(-1)
    ours = bootstrap_ratio(values + noise, values)
    expected = ((values + noise).mean() / values.mean(), *np.quantile(ratios, [0.025, 0.975]))
    assert dataclasses.astuple(ours) == pytest.approx(expected)


def test_ratio_over_what_may_be_zero_is_unbounded() -> None:
    numerator, denominator = normal(8, 50) + 1, normal(9, 50)
    estimate = bootstrap_ratio(numerator, denominator)
    assert (estimate.low, estimate.high) == (-math.inf, math.inf)
    assert estimate.mean == pytest.approx(numerator.mean() / denominator.mean())
    with pytest.raises(ValueError, match="denominator's mean is zero"):
        bootstrap_ratio(np.ones(2), np.array([1.0, -1.0]))


def test_ratio_stands_single_resamples_at_zero() -> None:
    # Six resamples in a million draw the zero ten times; nothing may warn or fail.
    denominator = np.array([0.0, 1.0, 1.0, 1.0, 1.0])
    estimate = bootstrap_ratio(np.ones(5), denominator, level=0.9)
    assert 1 <= estimate.low <= estimate.mean == 1.25 <= estimate.high < math.inf


def test_estimate_is_json_and_text() -> None:
    estimate = bootstrap_mean(torch.tensor(normal(10, 20)))
    numbers = json.loads(json.dumps(dataclasses.asdict(estimate)))
    assert list(numbers) == ["mean", "low", "high"]
    assert str(Estimate(0.12345, -1.0, 2.5)) == "0.123 [-1, 2.5]"
    assert f"{Estimate(0.993, 0.98, 1.0):.1%}" == "99.3% [98.0%, 100.0%]"


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([1.0], {}, "at least 2 prompts; there is 1"),
        ([1.0, 2.0, math.nan], {}, "value of prompt 2 is not finite"),
        ([1.0, math.inf], {}, "value of prompt 1 is not finite"),
        ([1.0, 2.0], {"level": 95.0}, "level must be between 0 and 1"),
        ([1.0, 2.0], {"resamples": 0}, "resamples must be at least 1"),
    ],
)
def test_what_has_no_interval(values: list[float], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bootstrap_mean(np.array(values), **options)
    with pytest.raises(ValueError, match=message):
        bootstrap_ratio(np.array(values), np.array(values), **options)


def test_ratio_needs_the_same_prompts() -> None:
    with pytest.raises(ValueError, match="for the same prompts"):
        bootstrap_ratio.__wrapped__(np.ones(3), np.ones(4))


def in_groups(seed: int) -> tuple[np.ndarray, list[str]]:
    """Values whose means differ far between groups of 2 to 6, and the groups."""
    names = [f"g{i}" for i, size in enumerate((2, 3, 4, 5, 6, 2, 3, 5)) for _ in range(size)]
    far = dict(zip(names, 10 * np.random.default_rng(99).normal(size=30), strict=True))
    return normal(seed, 30) + np.array([far[name] for name in names]), names


def test_what_lies_between_groups_adds_nothing() -> None:
    values, groups = in_groups(0)
    known = bootstrap_mean(values, groups=groups)
    unknown = bootstrap_mean(values)
    assert known.mean == unknown.mean
    assert (known.high - known.low) < 0.2 * (unknown.high - unknown.low)


def test_the_spread_of_resampled_means_is_that_of_new_prompts_of_the_same_groups() -> None:
    values, groups = in_groups(1)
    by_group = [values[[g == name for g in groups]] for name in sorted(set(groups))]
    expected = math.sqrt(sum(len(each) * each.var(ddof=1) for each in by_group)) / 30
    means = _resampled_means(values[None], _strata(values, groups), 0.95, 100_000, 0)
    assert means.std() == pytest.approx(expected, rel=0.01)
    assert means.mean() == pytest.approx(values.mean(), abs=0.01)


def test_known_groups_cover_as_often_as_they_should() -> None:
    true = in_groups(0)[0].mean() - normal(0, 30).mean()
    hits = []
    for seed in range(400):
        values, groups = in_groups(seed)
        found = bootstrap_mean(values, groups=groups, resamples=500, seed=seed)
        hits.append(found.low <= true <= found.high)
    assert 0.90 < np.mean(hits) < 0.98


def test_an_array_knows_its_groups() -> None:
    values, groups = in_groups(2)
    array = xr.DataArray(values, {"group": ("prompt", groups)}, ["prompt"])
    assert bootstrap_mean(array) == bootstrap_mean(values, groups=groups)
    assert bootstrap_ratio(array, array + 1) == bootstrap_ratio(values, values + 1, groups=groups)
    assert bootstrap_mean(array, groups=["all"] * 30) == bootstrap_mean(values)


@pytest.mark.parametrize(
    ("groups", "strata"),
    [
        ("aabbb", [[0, 1], [2, 3, 4]]),
        ("abcde", [[0, 1, 2, 3, 4]]),
        ("aabcc", [[0, 1], [2, 3, 4]]),  # the one alone is with the largest
        ("abacd", [[0, 2], [1, 3, 4]]),  # those alone are together
        ("aaaaa", [[0, 1, 2, 3, 4]]),
    ],
)
def test_no_prompt_is_drawn_from_alone(groups: str, strata: list[list[int]]) -> None:
    found = _strata(np.zeros(5), list(groups))
    assert sorted(sorted(one.tolist()) for one in found) == strata


def test_groups_are_one_a_prompt() -> None:
    with pytest.raises(ValueError, match="there are 3 prompts and 2 groups"):
        bootstrap_mean(np.zeros(3), groups=["a", "b"])
