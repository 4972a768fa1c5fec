"""What an intervention did: effects and normalized effects, with their intervals.

    effect       metric of the changed run - metric of the run that was changed      its own unit
    normalized   (changed - corrupted) / (clean - corrupted), of the means           fraction

A normalized effect is 0 for the corrupted run and 1 for the clean run. It is a ratio of means over
prompts, not a mean of ratios, which would be dominated by single prompts with a small denominator.

Source: Wang et al. 2022 (arXiv 2211.00593), section 3.1; Heimersheim and Nanda 2024 (arXiv
2404.15255), section 3, for normalizing.
"""

import numpy as np
import xarray as xr

from interp.statistics import interval


def effect(result: xr.Dataset, metric: str | None = None) -> xr.DataArray:
    """The change by each intervention, on every prompt.

    Args:
        result: a result of `patch`, `path_patch`, `ablate` or `attribution_patch`
        metric: one of its metrics; None for the first

    Returns:
        The metric of the changed run minus that of the run that was changed, with the dims of
        `result`; negative if the intervention lowered the metric.

    Raises:
        ValueError: the result lacks the metric
    """
    metric = _known(result, metric)
    values = result[metric]
    base = result[f"{metric}_{_base_of(result)}"]
    return (values - base).transpose(*values.dims).assign_attrs(values.attrs).rename(metric)


def mean_effect(
    result: xr.Dataset, metric: str | None = None, *, level: float = 0.95
) -> xr.Dataset:
    """The mean effect over prompts, with its interval.

    Args:
        result: as for `effect`
        metric: one of its metrics; None for the first
        level: probability that each interval should cover, a fraction

    Returns:
        `mean`, `low` and `high`, in the metric's unit, without the dim prompt; NaN where no prompt
        has the position.
    """
    return mean_over_prompts(effect(result, metric), level=level)


def mean_over_prompts(values: xr.DataArray, *, level: float = 0.95) -> xr.Dataset:
    """The mean over prompts, with its interval.

    Args:
        values: any dims and prompt, such as the result of `effect` or `direct_logit_attribution`
        level: probability that each interval should cover, a fraction

    Returns:
        `mean`, `low` and `high`, without the dim prompt; NaN where no prompt has a value.
    """
    values = values.transpose(..., "prompt")
    return _estimate(values, xr.ones_like(values, dtype=float), level, values.attrs)


def normalized(result: xr.Dataset, metric: str | None = None, *, level: float = 0.95) -> xr.Dataset:
    """Effects on a scale from 0 (the corrupted run) to 1 (the clean run).

    Args:
        result: a result of `patch`, `path_patch` or `attribution_patch`
        metric: one of its metrics; None for the first
        level: probability that each interval should cover, a fraction

    Returns:
        `mean`, `low` and `high`, without the dim prompt; NaN where no prompt has the position. The
        interval runs from -inf to inf if the clean and the corrupted run cannot be told apart.

    Raises:
        ValueError: the result lacks the metric, or has only one run
    """
    metric = _known(result, metric)
    if f"{metric}_corrupted" not in result:
        raise ValueError(
            "normalizing needs both the clean and the corrupted run; this result has only "
            f"{[str(name) for name in result.data_vars]}"
        )
    values, corrupted = result[metric], result[f"{metric}_corrupted"]
    whole = (result[f"{metric}_clean"] - corrupted).broadcast_like(values)
    attrs = values.attrs | {"unit": "fraction", "title": f"{values.attrs['title']}, normalized"}
    change = (values - corrupted).transpose(*values.dims)
    return _estimate(change, whole.transpose(*values.dims), level, attrs)


def _estimate(
    numerator: xr.DataArray, denominator: xr.DataArray, level: float, attrs: dict
) -> xr.Dataset:
    """The ratio of the means over the prompts that have a value."""
    exists = np.isfinite(numerator.values)
    ratio, low, high = interval("ratio", numerator, denominator, where=exists, level=level)
    coords = {name: c for name, c in numerator.coords.items() if "prompt" not in c.dims}
    dims = numerator.dims[:-1]
    return xr.Dataset(
        {
            name: xr.DataArray(value, coords, dims, attrs=attrs)
            for name, value in (("mean", ratio), ("low", low), ("high", high))
        },
        attrs=attrs,
    )


def _base_of(result: xr.Dataset) -> str:
    return "corrupted" if result.attrs.get("direction") == "denoising" else "clean"


def first_metric(result: xr.Dataset) -> str:
    """The first metric of a result."""
    return str(next(iter(result.data_vars)))


def _known(result: xr.Dataset, metric: str | None) -> str:
    """The metric, checked to be in the result."""
    if metric is None:
        return first_metric(result)
    if metric not in result:
        raise ValueError(
            f"the result has no metric {metric!r}; it has "
            f"{[str(name) for name in result.data_vars]}"
        )
    return metric
