"""Heads ordered by a number that each of them has."""

import numpy as np
import xarray as xr

from interp.parts import Head
from interp.patching.effects import mean_over_prompts


def strongest_heads(
    effects: xr.Dataset | xr.DataArray, n: int, *, told: bool = False
) -> list[Head]:
    """The heads with the largest absolute mean effects, the largest first.

    Args:
        effects: effects with dims layer and head, averaged over any other dims; or the result of
            `mean_effect`
        n: number of heads
        told: whether to leave out heads whose 95 % interval includes zero, as receivers of paths
            and anything else that is chosen for its effect should be; needs the result of
            `mean_effect`, or effects with a dim prompt

    Returns:
        At most n heads.

    Raises:
        ValueError: `told` is asked of means without intervals

    Example:
        >>> effects = xr.DataArray([[0.1, -2.0]], {"layer": [4], "head": [0, 1]}, ("layer", "head"))
        >>> strongest_heads(effects, 1)
        [Head(layer=4, head=1)]
    """
    if told:
        return _told(effects)[:n]
    values = effects["mean"] if isinstance(effects, xr.Dataset) else effects
    return heads_in_order(-abs(_mean(values)))[:n]


def _told(effects: xr.Dataset | xr.DataArray) -> list[Head]:
    """The heads whose interval excludes zero, the largest effect first."""
    if isinstance(effects, xr.DataArray):
        if "prompt" not in effects.dims:
            raise ValueError(
                "intervals are needed to leave out heads whose effect cannot be told from zero; "
                "pass the result of mean_effect, or effects on every prompt"
            )
        effects = mean_over_prompts(effects)
    sure = (effects["low"] > 0) | (effects["high"] < 0)
    kept = effects["mean"].where(sure)
    n = int(sure.sum())
    return heads_in_order(-abs(kept))[:n]


def heads_in_order(values: xr.DataArray) -> list[Head]:
    """All heads, ordered by a value that each has, the lowest first.

    Args:
        values: values with dims layer and head, averaged over any other dims

    Returns:
        The heads; equal values are in the order of the model, and NaN comes last.
    """
    mean = _mean(values).transpose("layer", "head")
    order = np.argsort(mean.values, axis=None, kind="stable")
    rows, columns = np.unravel_index(order, mean.shape)
    layers, heads = mean["layer"].values[rows], mean["head"].values[columns]
    return [Head(int(layer), int(head)) for layer, head in zip(layers, heads, strict=True)]


def _mean(values: xr.DataArray) -> xr.DataArray:
    return values.mean([dim for dim in values.dims if dim not in ("layer", "head")])
