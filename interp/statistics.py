"""How certain a statistic over prompts is: one kind of interval for means, ratios and all the rest.

Intervals are computed in closed form, from the standard error and the skewness of the statistic;
nothing is resampled. Let R be the statistic, n the number of prompts, t a quantile of Student's
distribution and u the influence of each prompt on the statistic (for a mean its value, for a ratio
of means (x - R y) / mean(y), for any other function the jackknife's). Then

    error      s = sqrt(sum (u - mean)^2 / (n (n - 1)))
    skewness   g = sum (u - mean)^3 / (w n^2 s^3),   w = max(1, (n - 1) (n - 2) / n)
    interval   from  R - s h(t)  to  R - s h(-t),   h(t) = ((1 + g (t - g / 6))^(1/3) - 1) * 3 / g

h is Hall's transformation, which moves both ends toward the longer tail; without skewness the
interval is Student's. Percentiles of bootstrap means of 5 prompts would cover the true mean in 4 of
5 cases, not in 19 of 20; `python -m tests.benchmarks.coverage` prints how often these intervals do.
Below 5 prompts the intervals are as wide as normal values require, and a single prompt has none:
its ends are NaN. If all values are equal, the interval has width zero.

Tasks spread their prompts evenly over groups (templates in both orders), so differences between the
groups do not make their mean uncertain. Where the groups are known, deviations are taken within
each; prompts that are alone in their group form one group together. The degrees of freedom are then
Welch's, at most n minus the number of groups.

Source: Hall 1992, On the removal of skewness by transformation, equation 2.4, with the quantiles of
Student's t in place of the normal's; Welch 1947; Efron and Tibshirani 1993, An Introduction to the
Bootstrap, chapters 6 and 11, for the standard error and the jackknife.

The file is longer than most: the calls by statistic and their one formula belong together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = [
    "Estimate",
    "estimate_mean",
    "estimate_ratio",
    "interval",
    "widened",
    "within_fractions",
]

Values = Float[Tensor, "*batch prompt"] | Float[np.ndarray, "*batch prompt"] | xr.DataArray
"""One value per prompt along the last axis; a DataArray may carry their groups as `group`."""

Statistic = Literal["mean", "difference", "ratio", "correlation"]
"""The statistic: a mean, the difference or the ratio of two means (the first minus, or over, the
second), or the correlation of two samples (Pearson's)."""

_SAMPLES = {"mean": 1, "difference": 2, "ratio": 2, "correlation": 2}


@dataclass(frozen=True)
class Estimate:
    """A statistic over prompts with its interval, in the unit of the values.

    Args:
        mean: the statistic on the prompts themselves: their mean, or the ratio of two means
        low: lower end of the interval; NaN for a single prompt
        high: upper end of the interval; NaN for a single prompt

    Example:
        >>> f"{Estimate(3.5562, 3.41, 3.7):.2f}"
        '3.56 [3.41, 3.70]'
    """

    mean: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        """Format the three numbers alike."""
        return f"{self.mean:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"

    def __str__(self) -> str:
        """Show three significant digits."""
        return f"{self:.3g}"


def interval(
    statistic: Statistic | Callable[..., Any],
    *samples: Values,
    groups: Sequence[str] | None = None,
    where: Bool[np.ndarray, "*batch prompt"] | None = None,
    level: float = 0.95,
) -> tuple[Float[np.ndarray, "*batch"], Float[np.ndarray, "*batch"], Float[np.ndarray, "*batch"]]:
    """Bound a statistic over prompts, for many cells at once.

    Args:
        statistic: "mean" of one sample; "difference" or "ratio" of the means of two, or their
            "correlation"; or a smooth function of samples whose last axis is the prompts, which
            returns one value per cell
        samples: one value per prompt along the last axis, with any axes before it; all samples have
            the same shape and the same order of prompts
        groups: the group of each prompt, if prompts are spread evenly over groups; by default those
            that a DataArray carries
        where: True where a prompt has a value in a cell; None for everywhere. Other entries are
            left out, whatever the samples hold there.
        level: probability that each interval should cover, a fraction

    Returns:
        The statistic of each cell, and the lower and the upper end of its interval. The ends of a
        ratio are -inf and inf where the interval of the denominator's mean contains zero. All three
        are NaN where a cell has no prompt or the statistic does not exist, and both ends are NaN in
        a cell of one prompt.

    Raises:
        ValueError: the statistic is unknown or takes another number of samples; samples differ in
            shape; there is no prompt; a value is not finite; the number of groups is not that of
            the prompts; or the level is not between 0 and 1

    Example:
        >>> ends = interval("mean", np.array([[1.0, 2.0, 3.0, 4.0, 5.0]]))
        >>> [end.round(2).tolist() for end in ends]
        [[3.0], [1.04], [4.96]]
    """
    return _interval(statistic, samples, groups, where, level)


def estimate_mean(
    values: Values, *, groups: Sequence[str] | None = None, level: float = 0.95
) -> Estimate:
    """Estimate a mean over prompts.

    Args:
        values: one value per prompt
        groups: as for `interval`
        level: probability that the interval should cover, a fraction

    Returns:
        The mean with its interval, in the unit of the values. If every value is 0 or 1, the mean is
        a fraction, and the interval ends at 0 and 1.

    Raises:
        ValueError: as for `interval`
    """
    found = Estimate(*map(float, _interval("mean", [values], groups, None, level)))
    return within_fractions(found, values)


def within_fractions(estimate: Estimate, values: Values) -> Estimate:
    """End the interval of a fraction at 0 and 1.

    Args:
        estimate: an estimate from the values
        values: one value per prompt

    Returns:
        The estimate; if every value is 0 or 1, with ends from 0 to 1.
    """
    if not np.isin(_float64(values), (0.0, 1.0)).all():
        return estimate
    return Estimate(
        estimate.mean, *(float(np.clip(x, 0, 1)) for x in (estimate.low, estimate.high))
    )


def estimate_ratio(
    numerator: Values,
    denominator: Values,
    *,
    groups: Sequence[str] | None = None,
    level: float = 0.95,
) -> Estimate:
    """Estimate the ratio of two means over the same prompts, for instance F(C) / F(M).

    Args:
        numerator: one value per prompt
        denominator: one value per prompt, in the same order of prompts
        groups: as for `interval`
        level: probability that the interval should cover, a fraction

    Returns:
        mean(numerator) / mean(denominator) with its interval. Where the denominator's own interval
        contains zero, the ratio may be anything, and the interval runs from -inf to inf.

    Raises:
        ValueError: the denominator's mean is zero, or as for `interval`
    """
    found = _interval("ratio", [numerator, denominator], groups, None, level)
    if _float64(denominator).mean() == 0:
        raise ValueError("the denominator's mean is zero, so there is no ratio; report both means")
    return Estimate(*map(float, found))


def widened(estimate: Estimate, replicates: Sequence[float], *, level: float = 0.95) -> Estimate:
    """Widen an interval by a second source of noise, independent of the prompts.

    The interval over prompts takes for given what the statistic also depends on, such as the
    reference sample that means are taken over. Leaving out one of k equal parts of that sample in
    turn shows its share: the jackknife's standard error s = sqrt((k - 1) / k sum (r - mean r)^2).
    Both ends move away from the estimate to sqrt(distance^2 + (t s)^2).

    Args:
        estimate: a statistic with its interval over prompts
        replicates: the statistic without each part of the other sample in turn
        level: probability that the interval should cover the truth, a fraction

    Returns:
        The same statistic with the wider interval; unchanged if there are no replicates.

    Raises:
        ValueError: there is only one replicate, or one is not finite

    Source:
        Efron and Tibshirani 1993, chapter 11, for the jackknife; Zou and Donner 2008, Construction
        of confidence limits about effect measures, for joining the two.

    Example:
        >>> print(widened(Estimate(1.0, 0.7, 1.3), [0.9, 1.0, 1.1], level=0.5))
        1 [0.686, 1.31]
    """
    from scipy.special import stdtrit  # slow to import

    values = np.asarray(replicates, dtype=np.float64)
    if not len(values):
        return estimate
    k = len(values)
    if k == 1 or not np.isfinite(values).all():
        raise ValueError(f"a jackknife needs two replicates or more, all finite; got {values}")
    error = float(np.sqrt((k - 1) / k * ((values - values.mean()) ** 2).sum()))
    far = float(stdtrit(k - 1, (1 + level) / 2)) * error
    m = estimate.mean
    below, above = np.hypot(m - estimate.low, far), np.hypot(estimate.high - m, far)
    return Estimate(m, m - float(below), m + float(above))


def _interval(
    statistic: Any,
    samples: Sequence[Any],
    groups: Sequence[str] | None,
    where: np.ndarray | None,
    level: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    arrays, present = _checked(statistic, samples, where, level)
    if groups is None:
        groups = _groups_of(samples)
    shape = arrays[0].shape[:-1]
    rows = [array.reshape(-1, array.shape[-1]) for array in arrays]
    labels = _labels(groups, arrays[0].shape[-1])
    found = np.full((3, len(rows[0])), np.nan)
    for cells, prompts in _patterns(present, rows[0].shape):
        part = [row[np.ix_(cells, prompts)] for row in rows]
        found[:, cells] = _bounded(statistic, part, _strata(labels[prompts]), level)
    estimate, low, high = (each.reshape(shape) for each in found)
    return estimate, low, high


def _float64(values: Any) -> np.ndarray:
    array = values.detach().cpu().double().numpy() if isinstance(values, Tensor) else values
    return np.asarray(array, dtype=np.float64)


def _checked(
    statistic: Any, samples: Sequence[Any], where: np.ndarray | None, level: float
) -> tuple[list[np.ndarray], np.ndarray | None]:
    """The samples as arrays of float64, and which values are there."""
    if not callable(statistic):
        if statistic not in get_args(Statistic):
            raise ValueError(
                f"statistic must be one of {', '.join(get_args(Statistic))}, or a function of "
                f"samples; it is {statistic!r}" + _near(statistic)
            )
        if len(samples) != _SAMPLES[statistic]:
            raise ValueError(
                f"a {statistic} takes {_SAMPLES[statistic]} samples; got {len(samples)}"
            )
    if not samples:
        raise ValueError("a statistic needs at least one sample; got none")
    if isinstance(level, bool) or not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, for instance 0.95; it is {level}")
    arrays = [_float64(sample) for sample in samples]
    for array in arrays:
        if array.shape != arrays[0].shape:
            two = (
                ("numerator", "denominator") if statistic == "ratio" else ("one sample", "another")
            )
            raise ValueError(
                f"{two[0]} {arrays[0].shape} and {two[1]} {array.shape} must have one value each "
                "for the same prompts"
            )
    if arrays[0].ndim == 0 or arrays[0].shape[-1] == 0:
        raise ValueError("an interval needs at least 1 prompt, along the last axis; there is none")
    present = None if where is None else np.broadcast_to(where, arrays[0].shape)
    for array in arrays:
        wrong = ~np.isfinite(array) if present is None else ~np.isfinite(array) & present
        if wrong.any():
            prompt = int(np.argwhere(wrong)[0, -1])
            raise ValueError(
                f"the value of prompt {prompt} is not finite; leave it out or correct it"
            )
    return arrays, present


def _near(statistic: Any) -> str:
    near = get_close_matches(str(statistic), get_args(Statistic), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _groups_of(samples: Sequence[Any]) -> Sequence[str] | None:
    """The groups of the first sample that carries any."""
    for sample in samples:
        if isinstance(sample, xr.DataArray) and "group" in sample.coords:
            return list(sample["group"].values)
    return None


def _labels(groups: Sequence[str] | None, n: int) -> Int[np.ndarray, " prompt"]:
    """The number of each prompt's group."""
    if groups is None:
        return np.zeros(n, dtype=np.int64)
    if len(groups) != n:
        raise ValueError(f"there are {n} prompts and {len(groups)} groups; expected one per prompt")
    return np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)


def _patterns(
    present: np.ndarray | None, shape: tuple[int, int]
) -> list[tuple[Int[np.ndarray, " cell"], Int[np.ndarray, " prompt"]]]:
    """The cells that have the same prompts, and these prompts; cells without any are left out."""
    if present is None:
        return [(np.arange(shape[0]), np.arange(shape[1]))]
    patterns, index = np.unique(present.reshape(shape), axis=0, return_inverse=True)
    index = index.reshape(-1)
    return [
        (np.flatnonzero(index == i), np.flatnonzero(pattern))
        for i, pattern in enumerate(patterns)
        if pattern.any()
    ]


def _strata(labels: Int[np.ndarray, " prompt"]) -> list[np.ndarray]:
    """The prompts of each group; prompts that are alone in their group form one together.

    If only one prompt is alone, it joins the largest group, since it says nothing by itself.
    """
    members = sorted((np.flatnonzero(labels == i) for i in np.unique(labels)), key=len)
    alone = [one for one in members if len(one) == 1]
    strata = members[len(alone) :]
    if len(alone) > 1 or not strata:
        strata.append(np.concatenate(alone))
    elif alone:
        strata[-1] = np.concatenate([strata[-1], *alone])
    return strata


def _bounded(
    statistic: Statistic | Callable[..., Any],
    samples: list[Float[np.ndarray, "cell prompt"]],
    strata: list[np.ndarray],
    level: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The statistic and its interval for cells that have all these prompts."""
    if callable(statistic):
        estimate, influence = _jackknife(statistic, samples)
        return estimate, *_ends(estimate, influence, strata, level)
    if statistic == "correlation":
        return _correlation(samples[0], samples[1], strata, level)
    if statistic == "ratio":
        return _ratio(samples[0], samples[1], strata, level)
    values = samples[0] if statistic == "mean" else samples[0] - samples[1]
    estimate = values.mean(-1)
    return estimate, *_ends(estimate, values, strata, level)


def _ratio(
    over: np.ndarray, under: np.ndarray, strata: list[np.ndarray], level: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    below = under.mean(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = over.mean(-1) / below
        influence = (over - ratio[:, None] * under) / below[:, None]
    influence = np.where(np.isfinite(influence), influence, 0)
    low, high = _ends(ratio, influence, strata, level)
    lowest, highest = _ends(below, under, strata, level)
    anything = (lowest <= 0) & (highest >= 0)
    low, high = np.where(anything, -np.inf, low), np.where(anything, np.inf, high)
    none = (under == 0).all(-1)
    return tuple(np.where(none, np.nan, each) for each in (ratio, low, high))  # type: ignore[return-value]


def _correlation(
    x: np.ndarray, y: np.ndarray, strata: list[np.ndarray], level: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bound the correlation through Fisher's z, whose spread does not depend on it."""
    n = x.shape[-1]
    x, y = (each - each.mean(-1, keepdims=True) for each in (x, y))
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = (each / np.sqrt((each**2).mean(-1, keepdims=True)) for each in (x, y))
        r = np.clip((x * y).mean(-1), -1, 1)
        influence = (x * y - r[:, None] * (x**2 + y**2) / 2) / (1 - r**2)[:, None]
        z = np.arctanh(r)
    if n < 4:  # Fisher's n - 3 is not positive: nothing is known
        return r, *(np.where(np.isnan(r) | (n == 1), np.nan, end) for end in (-1.0, 1.0))
    influence = np.where(np.isfinite(influence), influence, 0)
    spread = np.sqrt((influence**2).mean(-1, keepdims=True))  # 1 for normal values, and never less
    influence = influence / np.clip(spread, 1e-12, 1) * np.sqrt((n - 1) / (n - 3))
    low, high = _ends(np.where(np.isfinite(z), z, 0), influence, strata, level)
    sure = np.abs(r) == 1
    return r, *(np.where(np.isnan(r) | sure, r, np.tanh(end)) for end in (low, high))


def _jackknife(
    statistic: Callable[..., Any], samples: list[np.ndarray]
) -> tuple[Float[np.ndarray, " cell"], Float[np.ndarray, "cell prompt"]]:
    """A statistic, and how much each prompt moves it."""
    cells, n = samples[0].shape
    estimate = np.asarray(statistic(*samples), dtype=np.float64)
    if estimate.shape != (cells,):
        raise ValueError(
            f"the statistic of samples of shape {(cells, n)} must be one value per cell, of shape "
            f"{(cells,)}; its shape is {estimate.shape}"
        )
    if n == 1:
        return estimate, np.zeros((cells, 1))
    without = [statistic(*(np.delete(sample, i, -1) for sample in samples)) for i in range(n)]
    return estimate, (n - 1) * (estimate[:, None] - np.stack(without, -1))


def _ends(
    estimate: Float[np.ndarray, " cell"],
    influence: Float[np.ndarray, "cell prompt"],
    strata: list[np.ndarray],
    level: float,
) -> tuple[Float[np.ndarray, " cell"], Float[np.ndarray, " cell"]]:
    """Both ends of the interval of an estimate, from each prompt's influence on it."""
    from scipy.special import stdtrit  # slow to import

    n = influence.shape[-1]
    if n == 1:
        return np.full_like(estimate, np.nan), np.full_like(estimate, np.nan)
    variance, fourth, third = (np.zeros(len(estimate)) for _ in range(3))
    weight = 0.0
    for members in strata:
        m = len(members)
        deviation = influence[:, members]
        deviation = deviation - deviation.mean(-1, keepdims=True)
        square = deviation**2
        share = square.sum(-1) * m / (m - 1) / n**2
        variance += share
        fourth += share**2 / (m + 1)
        third += (square * deviation).sum(-1)
        weight += (m - 1) * (m - 2) / m
    error = np.sqrt(variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = np.clip(variance**2 / fourth - 2, 1, n - len(strata))
        skewness = third / max(weight, 1) / n**2 / error**3
    freedom = np.where(np.isfinite(freedom), freedom, 1)
    skewness = np.where(np.isfinite(skewness), skewness, 0) if weight else np.zeros_like(error)
    t = stdtrit(freedom, (1 + level) / 2)
    return estimate - error * _hall(t, skewness), estimate - error * _hall(-t, skewness)


def _hall(
    t: Float[np.ndarray, " cell"], skewness: Float[np.ndarray, " cell"]
) -> Float[np.ndarray, " cell"]:
    """The quantile of a skewed studentized statistic that belongs to Student's t."""
    small = np.abs(skewness) < 1e-6
    safe = np.where(small, 1.0, skewness)
    return np.where(small, t, (np.cbrt(1 + safe * (t - safe / 6)) - 1) * 3 / safe)
