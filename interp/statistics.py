"""How sure a mean over prompts is: percentile bootstrap intervals.

Prompts are drawn with replacement, as many as there are, `resamples` times; the interval runs from
the (1 - level) / 2 to the (1 + level) / 2 quantile of the resampled statistic. Values of the same
prompt (all heads of a heat map, both sides of a ratio) are drawn together.

Tasks spread their prompts evenly over groups (templates in both orders), so that what lies between
the groups does not make their mean uncertain. Where the groups are known, prompts are drawn within
each, from a group of m prompts m - 1 of them, whose mean then varies as that of m new ones would;
prompts that are alone in their group are drawn from together.

Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13; McCarthy and
Snowden 1985, The bootstrap and finite population sampling, for m - 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor

Values = Float[Tensor, "*batch prompt"] | Float[np.ndarray, "*batch prompt"] | xr.DataArray
"""One value a prompt along the last axis; a DataArray knows their groups, as `group`."""


@dataclass(frozen=True)
class Estimate:
    """A statistic over prompts with its interval, in the unit of the values.

    Args:
        mean: the statistic on the prompts themselves: their mean, or the ratio of two means.
        low: lower end of the interval.
        high: upper end of the interval.

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


def bootstrap_mean(
    values: Values,
    *,
    groups: Sequence[str] | None = None,
    level: float = 0.95,
    resamples: int = 5000,
    seed: int = 0,
) -> Estimate:
    """Estimate a mean over prompts.

    Args:
        values: one value a prompt.
        groups: the group of each prompt, if they are spread evenly; by default those that a
            DataArray knows.
        level: probability that the interval should cover, a fraction.
        resamples: number of bootstrap samples.
        seed: seeds them.

    Returns:
        The mean with its interval, in the unit of the values.

    Raises:
        ValueError: there are fewer than two prompts, a value is not finite, groups are not as many
            as prompts, or an option is out of range.
    """
    low, high = bootstrap_interval(
        values, groups=groups, level=level, resamples=resamples, seed=seed
    )
    return Estimate(float(_float64(values).mean()), float(low), float(high))


def bootstrap_ratio(
    numerator: Values,
    denominator: Values,
    *,
    groups: Sequence[str] | None = None,
    level: float = 0.95,
    resamples: int = 5000,
    seed: int = 0,
) -> Estimate:
    """Estimate the ratio of two means over the same prompts, for instance F(C) / F(M).

    Args:
        numerator: one value a prompt.
        denominator: one value a prompt, in the same order of prompts.
        groups: as for `bootstrap_mean`.
        level: probability that the interval should cover, a fraction.
        resamples: number of bootstrap samples, of prompts, not of values.
        seed: seeds them.

    Returns:
        mean(numerator) / mean(denominator) with its interval. Where the denominator's own interval
        holds zero the ratio may be anything, and the interval runs from -inf to inf.

    Raises:
        ValueError: the two differ in their number of prompts, the denominator's mean is zero, or as
            for `bootstrap_mean`.
    """
    shapes = [_float64(values).shape for values in (numerator, denominator)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"numerator {shapes[0]} and denominator {shapes[1]} must have one value each "
            "for the same prompts"
        )
    if _float64(denominator).mean() == 0:
        raise ValueError("the denominator's mean is zero, so there is no ratio; report both means")
    ends = bootstrap_ratio_interval(
        numerator, denominator, groups=groups, level=level, resamples=resamples, seed=seed
    )
    return Estimate(*(float(end) for end in ends))


def bootstrap_interval(
    values: Values,
    *,
    groups: Sequence[str] | None = None,
    level: float = 0.95,
    resamples: int = 5000,
    seed: int = 0,
) -> tuple[Float[np.ndarray, "*batch"], Float[np.ndarray, "*batch"]]:
    """Bound many means over the same prompts at once, for instance those of all heads.

    Args:
        values: one value a prompt along the last axis, any axes before it.
        groups: as for `bootstrap_mean`.
        level: probability that each interval should cover, a fraction.
        resamples: number of bootstrap samples, the same for all means.
        seed: seeds them.

    Returns:
        Lower and upper ends of the intervals of the means over the last axis.

    Raises:
        ValueError: as for `bootstrap_mean`.
    """
    data, strata = _float64(values), _strata(values, groups)
    rows = data.reshape(-1, data.shape[-1])
    low, high = _quantiles(_resampled_means(rows, strata, level, resamples, seed), level)
    return low.reshape(data.shape[:-1]), high.reshape(data.shape[:-1])


def bootstrap_ratio_interval(
    numerator: Values,
    denominator: Values,
    *,
    groups: Sequence[str] | None = None,
    level: float = 0.95,
    resamples: int = 5000,
    seed: int = 0,
) -> tuple[Float[np.ndarray, "*batch"], Float[np.ndarray, "*batch"], Float[np.ndarray, "*batch"]]:
    """Bound many ratios of means over the same prompts at once.

    Args:
        numerator: one value a prompt along the last axis, any axes before it.
        denominator: the same of the denominators; 0 (and 0 above) leaves a prompt out.
        groups: as for `bootstrap_mean`.
        level: probability that each interval should cover, a fraction.
        resamples: number of bootstrap samples, the same for all ratios.
        seed: seeds them.

    Returns:
        The ratios of the means, and lower and upper ends of their intervals: from -inf to inf where
        the denominator's own interval holds zero, NaN where all its values are zero.

    Raises:
        ValueError: as for `bootstrap_mean`.
    """
    strata, shape = _strata(numerator, groups), numerator.shape[:-1]
    over, under = (_float64(x).reshape(-1, x.shape[-1]) for x in (numerator, denominator))
    ratio, low, high = (np.full(len(over), np.nan) for _ in range(3))
    step = max(1, 2**23 // max(resamples, 1))  # bounds the resampled means to 64 MiB
    for start in range(0, len(over), step):
        part = slice(start, start + step)
        means = _resampled_means(
            np.concatenate([over[part], under[part]]), strata, level, resamples, seed
        ).reshape(2, -1, resamples)
        some = (under[part] != 0).any(-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio[part] = over[part].mean(-1) / under[part].mean(-1)
            ratios = means[0] / means[1]
        ratios = np.where(np.isnan(ratios), ratio[part][:, None], ratios)  # none was drawn
        sides = _quantiles(ratios, level)
        lowest, highest = _quantiles(means[1], level)
        sides[:, (lowest <= 0) & (highest >= 0)] = np.array([[-np.inf], [np.inf]])
        sides[:, ~some] = np.nan
        low[part], high[part] = sides
    return ratio.reshape(shape), low.reshape(shape), high.reshape(shape)


def _float64(values: Values) -> np.ndarray:
    array = values.detach().cpu().double().numpy() if isinstance(values, Tensor) else values
    return np.asarray(array, dtype=np.float64)


def _quantiles(
    samples: Float[np.ndarray, "*batch resample"], level: float
) -> Float[np.ndarray, "2 *batch"]:
    return np.quantile(samples, [(1 - level) / 2, (1 + level) / 2], axis=-1)


def _strata(values: Values, groups: Sequence[str] | None) -> list[Int[np.ndarray, "_"]]:
    """The prompts of each group, those that are alone in one together; all of them without groups.

    A single prompt that is alone joins the largest group, since nothing else could be drawn for it.
    """
    n = values.shape[-1]
    if groups is None and isinstance(values, xr.DataArray) and "group" in values.coords:
        groups = values["group"].values.tolist()
    if groups is None:
        return [np.arange(n)]
    if len(groups) != n:
        raise ValueError(f"there are {n} prompts and {len(groups)} groups; expected one a prompt")
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    members = sorted((np.flatnonzero(index == i) for i in range(index.max() + 1)), key=len)
    alone = [one for one in members if len(one) == 1]
    strata = members[len(alone) :]
    if len(alone) > 1 or not strata:
        strata.append(np.concatenate(alone))
    elif alone:
        strata[-1] = np.concatenate([strata[-1], *alone])
    return strata


def _resampled_means(
    rows: Float[np.ndarray, "row prompt"],
    strata: Sequence[Int[np.ndarray, "_"]],
    level: float,
    resamples: int,
    seed: int,
) -> Float[np.ndarray, "row resample"]:
    """Means of each row over resampled prompts."""
    n = rows.shape[1]
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, for instance 0.95; it is {level}")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1; it is {resamples}")
    if n < 2:
        raise ValueError(f"an interval needs at least 2 prompts; there is {n}")
    if not np.isfinite(rows).all():
        prompt = int(np.argwhere(~np.isfinite(rows))[0, 1])
        raise ValueError(f"the value of prompt {prompt} is not finite; leave it out or mend it")
    rng = np.random.default_rng(seed)
    means = np.empty((len(rows), resamples))
    chunk = max(1, 2**21 // n)  # bounds the weights below to 16 MiB
    for start in range(0, resamples, chunk):
        stop = min(start + chunk, resamples)
        weights = np.empty((stop - start, n))
        for members in strata:
            m = len(members)
            counts = _counts(rng, stop - start, m, m if len(strata) == 1 else m - 1)
            weights[:, members] = counts * (m / n)
        means[:, start:stop] = rows @ weights.T
    return means


def _counts(
    rng: np.random.Generator, resamples: int, n: int, drawn: int
) -> Float[np.ndarray, "resample prompt"]:
    """How often each of n prompts is drawn, as a fraction of what is drawn."""
    some = rng.integers(n, size=(resamples, drawn))
    flat = (some + np.arange(resamples)[:, None] * n).ravel()
    return np.bincount(flat, minlength=resamples * n).reshape(-1, n) / drawn
