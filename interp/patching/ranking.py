"""Heads ordered by a number that each of them has."""

import numpy as np
import xarray as xr

from interp.parts import Head


def strongest_heads(effects: xr.Dataset | xr.DataArray, n: int) -> list[Head]:
    """The heads with the largest absolute mean effects, the largest first.

    Args:
        effects: effects with dims layer and head, averaged over any other dims; or the result of
            `mean_effect`
        n: number of heads

    Returns:
        At most n heads.

    Example:
        >>> effects = xr.DataArray([[0.1, -2.0]], {"layer": [4], "head": [0, 1]}, ("layer", "head"))
        >>> strongest_heads(effects, 1)
        [Head(layer=4, head=1)]
    """
    values = effects["mean"] if isinstance(effects, xr.Dataset) else effects
    return heads_in_order(-abs(_mean(values)))[:n]


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
