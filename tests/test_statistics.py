"""Intervals over prompts: by hand, laws, and how often they hold the truth.

The file is longer than most: one function, with laws for each statistic and its coverage.
"""

import dataclasses
import inspect
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from scipy import stats

from interp.statistics import (
    Estimate,
    _labels,
    _strata,
    estimate_mean,
    estimate_ratio,
    interval,
    widened,
    within_fractions,
)
from tests.benchmarks.coverage import DISTRIBUTIONS, held


def normal(seed: int, *shape: int) -> np.ndarray:
    """Seeded normal values."""
    return np.random.default_rng(seed).normal(size=shape)


def by_hand(values: np.ndarray, level: float) -> tuple[float, float]:
    """The interval of a mean as the module's formula has it, value by value."""
    n, mean = len(values), float(values.mean())
    s = math.sqrt(sum((x - mean) ** 2 for x in values) / (n * (n - 1)))
    w = max(1, (n - 1) * (n - 2) / n)
    g = sum((x - mean) ** 3 for x in values) / (w * n**2 * s**3)

    def h(t: float) -> float:
        return (np.cbrt(1 + g * (t - g / 6)) - 1) * 3 / g

    t = stats.t.ppf((1 + level) / 2, n - 1)
    return mean - s * h(t), mean - s * h(-t)


@pytest.mark.parametrize("n", [3, 5, 30])
@pytest.mark.parametrize("level", [0.5, 0.95])
def test_naive_twin(n: int, level: float) -> None:
    values = np.random.default_rng(n).exponential(size=n)
    ours = estimate_mean(values, level=level)
    assert (ours.low, ours.high) == pytest.approx(by_hand(values, level), rel=1e-9)


@pytest.mark.parametrize("n", [2, 3, 6, 40])
def test_without_skewness_it_is_students(n: int) -> None:
    half = normal(n, n // 2)
    values = 3 + np.concatenate([half, -half, [0.0] * (n % 2)])
    theirs = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    ours = estimate_mean(values)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9)


def test_groups_of_two_values_are_welchs() -> None:
    """The difference of two means is n / m times a mean of two groups, one with its sign turned."""
    one, other = normal(1, 6) * 3 + 1, normal(2, 6)
    one, other = (np.concatenate([x, 2 * x.mean() - x]) for x in (one, other))  # no skewness
    theirs = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    groups = ["a"] * 12 + ["b"] * 12
    ours = estimate_mean(np.concatenate([2 * one, -2 * other]), groups=groups)
    # The degrees of freedom of 1947 are not quite those in use today.
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_a_long_tail_moves_both_ends_toward_it() -> None:
    values = np.random.default_rng(3).exponential(size=40)
    ours, students = estimate_mean(values), stats.ttest_1samp(values, 0).confidence_interval()
    assert ours.low > students.low and ours.high > students.high
    mirrored = estimate_mean(-values)
    assert (mirrored.low, mirrored.high) == pytest.approx((-ours.high, -ours.low))


def test_many_prompts_agree_with_bca() -> None:
    values = np.random.default_rng(1).exponential(size=200)
    theirs = stats.bootstrap(
        (values,), np.mean, method="BCa", n_resamples=20000, rng=np.random.default_rng(0)
    ).confidence_interval
    ours = estimate_mean(values)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)


@pytest.mark.parametrize(
    ("statistic", "name", "n", "groups", "least"),
    [
        *[
            ("mean", "normal", n, k, 0.935)
            for n in (3, 5, 10, 20, 100)
            for k in (1, 2)
            if n / k > 2
        ],
        ("mean", "normal", 2, 1, 0.935),
        ("mean", "normal", 100, 33, 0.935),
        ("mean", "normal", 10, 5, 0.935),
        *[("mean", "exponential", n, 1, least) for n, least in ((5, 0.90), (10, 0.92), (20, 0.93))],
        ("mean", "exponential", 100, 33, 0.935),
        *[("mean", "uniform", n, 1, 0.935) for n in (5, 10, 20, 100)],
        *[("ratio", "normal", n, k, 0.93) for n in (3, 5, 10, 100) for k in (1, 2)],
        *[("ratio", "exponential", n, 1, 0.89) for n in (5, 10, 100)],
        *[("difference", "normal", n, 1, 0.935) for n in (2, 5, 20)],
        *[("correlation", "normal", n, 1, 0.935) for n in (4, 5, 10, 100)],
    ],
)
def test_it_holds_the_truth_as_often_as_it_says(
    statistic: str, name: str, n: int, groups: int, least: float
) -> None:
    found = held(statistic, name, n=n, groups=groups, repeats=4000)
    assert least <= found <= (0.98 if statistic == "mean" else 1.0)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.99])
def test_other_levels(level: float) -> None:
    assert held("mean", "normal", n=8, level=level, repeats=4000) == pytest.approx(level, abs=0.02)


def test_heat_map_is_bounded_cell_by_cell() -> None:
    values = torch.tensor(normal(3, 2, 3, 40))
    low, high = interval("mean", values)[1:]
    assert low.shape == high.shape == (2, 3)
    for layer in range(2):
        for head in range(3):
            one = estimate_mean(values[layer, head])
            assert (one.low, one.high) == pytest.approx((low[layer, head], high[layer, head]))


def test_kind_of_array() -> None:
    values = normal(4, 50)
    assert estimate_mean(values) == estimate_mean(torch.tensor(values))
    single = torch.tensor(values, dtype=torch.float32, requires_grad=True)
    assert estimate_mean(single).mean == pytest.approx(values.mean(), abs=1e-6)


@pytest.mark.parametrize("n", [2, 5, 50])
def test_scaling_and_shifting(n: int) -> None:
    values = normal(5, n)
    one, other = estimate_mean(values), estimate_mean(3 * values + 2)
    moved = [3 * x + 2 for x in dataclasses.astuple(one)]
    assert dataclasses.astuple(other) == pytest.approx(moved)
    assert one.low < one.mean < one.high
    wide = estimate_mean(values, level=0.99)
    assert wide.low < one.low < one.high < wide.high


def test_constant_values_have_no_spread() -> None:
    for values in (np.full(20, 1.5), np.full(2, 1.5), np.zeros(3)):
        estimate = estimate_mean(values)
        assert dataclasses.astuple(estimate) == pytest.approx((values[0],) * 3)


def test_one_prompt_has_a_mean_without_an_interval() -> None:
    one = estimate_mean(np.array([2.5]))
    assert one.mean == 2.5 and math.isnan(one.low) and math.isnan(one.high)
    one = estimate_ratio(np.array([2.0]), np.array([4.0]))
    assert one.mean == 0.5 and math.isnan(one.low) and math.isnan(one.high)
    mean, low, high = interval("mean", np.ones((2, 3, 1)))
    assert mean.shape == (2, 3) and np.isnan(low).all() and np.isnan(high).all()


def test_ratio_is_of_prompts_not_of_values() -> None:
    values = normal(6, 50) + 3
    whole = estimate_ratio(0.8 * values, values)
    assert dataclasses.astuple(whole) == pytest.approx((0.8, 0.8, 0.8))
    over = values + 0.1 * normal(7, 50)
    ours = estimate_ratio(over, values)
    drawn = np.random.default_rng(0).integers(50, size=(20000, 50))
    ratios = over[drawn].mean(-1) / values[drawn].mean(-1)
    assert ours.mean == pytest.approx(over.mean() / values.mean())
    width = np.subtract(*np.quantile(ratios, [0.975, 0.025]))
    assert ours.high - ours.low == pytest.approx(width, rel=0.08)


def test_ratio_over_what_may_be_zero_is_unbounded() -> None:
    numerator, denominator = normal(8, 50) + 1, normal(9, 50)
    estimate = estimate_ratio(numerator, denominator)
    assert (estimate.low, estimate.high) == (-math.inf, math.inf)
    assert estimate.mean == pytest.approx(numerator.mean() / denominator.mean())
    with pytest.raises(ValueError, match="denominator's mean is zero"):
        estimate_ratio(np.ones(2), np.array([1.0, -1.0]))
    ends = interval("ratio", np.zeros((1, 3)), np.zeros((1, 3)))
    assert all(np.isnan(end).all() for end in ends)


def test_difference_is_of_the_same_prompts() -> None:
    one, other = normal(10, 20) + 4, normal(11, 20)
    found = interval("difference", one, other)
    mean = estimate_mean(one - other)
    assert [float(end) for end in found] == pytest.approx(dataclasses.astuple(mean))


def test_any_statistic_by_the_jackknife() -> None:
    one, other = normal(12, 3, 30) + 4, normal(13, 3, 30) + 5
    means = interval(lambda x: x.mean(-1), one)
    np.testing.assert_allclose(means, interval("mean", one), rtol=1e-12)
    ratios = interval(lambda x, y: x.mean(-1) / y.mean(-1), one, other)
    np.testing.assert_allclose(ratios, interval("ratio", one, other), rtol=2e-3)
    groups = list("aabbb" * 6)
    np.testing.assert_allclose(
        interval(lambda x: x.mean(-1), one, groups=groups), interval("mean", one, groups=groups)
    )
    with pytest.raises(ValueError, match=r"one value per cell, of shape \(3,\)"):
        interval(lambda x: x, one)


def test_correlation() -> None:
    x = normal(14, 4, 30)
    y = 0.6 * x + 0.8 * normal(15, 4, 30)
    r, low, high = interval("correlation", x, y)
    for i in range(4):
        theirs = stats.pearsonr(x[i], y[i])
        assert r[i] == pytest.approx(theirs.statistic)
        bounds = theirs.confidence_interval(0.95)
        assert low[i] == pytest.approx(bounds.low, abs=0.15)
        assert high[i] == pytest.approx(bounds.high, abs=0.15)
    assert ((low < r) & (r < high) & (low >= -1) & (high <= 1)).all()
    same = interval("correlation", x[0], 2 * x[0] + 1)
    assert [float(end) for end in same] == pytest.approx([1, 1, 1])
    three = interval("correlation", x[0, :3], y[0, :3])
    assert [float(end) for end in three[1:]] == [-1, 1]
    assert np.isnan(interval("correlation", x[0], np.ones(30))).all()


def test_estimate_is_json_and_text() -> None:
    estimate = estimate_mean(torch.tensor(normal(10, 20)))
    numbers = json.loads(json.dumps(dataclasses.asdict(estimate)))
    assert list(numbers) == ["mean", "low", "high"]
    assert str(Estimate(0.12345, -1.0, 2.5)) == "0.123 [-1, 2.5]"
    assert f"{Estimate(0.993, 0.98, 1.0):.1%}" == "99.3% [98.0%, 100.0%]"


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([], {}, "at least 1 prompt"),
        ([1.0, 2.0, math.nan], {}, "value of prompt 2 is not finite"),
        ([1.0, math.inf], {}, "value of prompt 1 is not finite"),
        ([1.0, 2.0], {"level": 95.0}, "level must be between 0 and 1"),
        ([1.0, 2.0], {"level": 0.0}, "level must be between 0 and 1"),
    ],
)
def test_what_has_no_interval(values: list[float], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        estimate_mean(np.array(values), **options)
    with pytest.raises(ValueError, match=message):
        estimate_ratio(np.array(values), np.array(values), **options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("median", np.ones(3)), "must be one of mean, .*'median'"),
        (("ratio", np.ones(3)), "a ratio takes 2 samples; got 1"),
        (("mean", np.ones(3), np.ones(3)), "a mean takes 1 samples; got 2"),
        (("difference", np.ones(3), np.ones(4)), "for the same prompts"),
        ((np.mean,), "at least one sample"),
        (("mean", np.array(1.0)), "along the last axis"),
    ],
)
def test_samples_that_do_not_fit(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(interval)(*arguments)


def test_ratio_needs_the_same_prompts() -> None:
    with pytest.raises(ValueError, match="for the same prompts"):
        inspect.unwrap(estimate_ratio)(np.ones(3), np.ones(4))


def test_cells_may_lack_prompts() -> None:
    values = normal(16, 4, 6) + 3
    there = np.array([[1] * 6, [1, 1, 0, 1, 0, 0], [0, 0, 0, 0, 1, 0], [0] * 6]).astype(bool)
    values[~there] = np.nan
    groups = list("aabbcc")
    mean, low, high = interval("mean", values, where=there, groups=groups)
    for cell in range(3):
        some = values[cell][there[cell]]
        kept = [group for group, is_there in zip(groups, there[cell], strict=True) if is_there]
        one = estimate_mean(some, groups=kept)
        found = (mean[cell], low[cell], high[cell])
        assert found == pytest.approx(dataclasses.astuple(one), nan_ok=True)
    assert np.isnan([low[2], high[2], mean[3], low[3], high[3]]).all() and mean[2] == values[2, 4]
    whole = np.where(there, 2.0, np.nan)
    ratio, *_ = interval("ratio", values, whole, where=there)
    np.testing.assert_allclose(ratio, mean / 2)
    with pytest.raises(ValueError, match="value of prompt 2 is not finite"):
        interval("mean", values, where=np.ones((4, 6), dtype=bool))


def in_groups(seed: int) -> tuple[np.ndarray, list[str]]:
    """Values whose means differ far between groups of 2 to 6, and the groups."""
    names = [f"g{i}" for i, size in enumerate((2, 3, 4, 5, 6, 2, 3, 5)) for _ in range(size)]
    far = dict(zip(names, 10 * np.random.default_rng(99).normal(size=30), strict=True))
    return normal(seed, 30) + np.array([far[name] for name in names]), names


def test_what_lies_between_groups_adds_nothing() -> None:
    values, groups = in_groups(0)
    known = estimate_mean(values, groups=groups)
    unknown = estimate_mean(values)
    assert known.mean == unknown.mean
    assert (known.high - known.low) < 0.2 * (unknown.high - unknown.low)
    moved = values + np.array([hash_of(name) for name in groups])
    other = estimate_mean(moved, groups=groups)
    assert other.high - other.mean == pytest.approx(known.high - known.mean)


def hash_of(name: str) -> float:
    """A number that belongs to a group."""
    return 7.0 * int(name[1:])


def test_the_error_is_that_of_new_prompts_of_the_same_groups() -> None:
    values, groups = in_groups(1)
    by_group = [values[[g == name for g in groups]] for name in sorted(set(groups))]
    error = math.sqrt(sum(len(each) * each.var(ddof=1) for each in by_group)) / 30
    shares = [len(each) * each.var(ddof=1) / 30**2 for each in by_group]
    welch = sum(shares) ** 2 / sum(
        a**2 / (len(each) + 1) for a, each in zip(shares, by_group, strict=True)
    )
    freedom = min(welch - 2, 30 - len(by_group))
    ours = estimate_mean(values, groups=groups, level=0.5)
    assert (ours.high - ours.low) / 2 == pytest.approx(error * stats.t.ppf(0.75, freedom), rel=0.04)


def test_degrees_of_freedom_are_at_most_the_prompts_less_the_groups() -> None:
    groups = list("aaabbbcccddd")
    values = np.array([-1.0, 0.0, 1.0] * 4) + np.repeat([3.0, -9.0, 0.0, 40.0], 3)
    ours = estimate_mean(values, groups=groups)
    half = math.sqrt(1 / 12) * stats.t.ppf(0.975, 12 - 4)  # equal variances of 1
    assert (ours.low, ours.high) == pytest.approx((ours.mean - half, ours.mean + half))


def test_known_groups_cover_as_often_as_they_should() -> None:
    true = in_groups(0)[0].mean() - normal(0, 30).mean()
    values = np.stack([in_groups(seed)[0] for seed in range(2000)])
    low, high = interval("mean", values, groups=in_groups(0)[1])[1:]
    assert 0.935 < ((low <= true) & (true <= high)).mean() < 0.97


def test_an_array_knows_its_groups() -> None:
    values, groups = in_groups(2)
    array = xr.DataArray(values, {"group": ("prompt", groups)}, ["prompt"])
    assert estimate_mean(array) == estimate_mean(values, groups=groups)
    assert estimate_ratio(array, array + 1) == estimate_ratio(values, values + 1, groups=groups)
    assert estimate_ratio(values, array + 1) == estimate_ratio(values, values + 1, groups=groups)
    assert estimate_mean(array, groups=["all"] * 30) == estimate_mean(values)


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
def test_no_prompt_is_alone(groups: str, strata: list[list[int]]) -> None:
    found = _strata(_labels(list(groups), 5))
    assert sorted(sorted(one.tolist()) for one in found) == strata


def test_groups_are_one_a_prompt() -> None:
    with pytest.raises(ValueError, match="there are 3 prompts and 2 groups"):
        estimate_mean(np.zeros(3), groups=["a", "b"])


def test_every_distribution_has_its_truth() -> None:
    draw: Callable[..., np.ndarray]
    for draw, true in DISTRIBUTIONS.values():
        values = draw(np.random.default_rng(0), (200_000,))
        assert values.mean() == pytest.approx(true, abs=0.03)


def test_the_interval_of_a_fraction_ends_at_0_and_1() -> None:
    values = np.array([1.0] * 99 + [0.0])
    low, high = (float(end) for end in interval("mean", values)[1:])
    assert high > 1  # what the formula gives
    assert estimate_mean(values) == Estimate(0.99, low, 1.0)
    wide = widened(estimate_mean(values), [0.9, 1.0, 0.95])
    assert wide.high > 1 and within_fractions(wide, values).high == 1
    assert within_fractions(wide, values * 2) == wide
    assert math.isnan(estimate_mean(np.array([1.0])).low)
