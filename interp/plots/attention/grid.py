"""The patterns of all heads at once, as small multiples in the order of the model."""

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from interp.plots.attention.style import WEIGHT, colorbar, dress, require_dims


def attention_grid(patterns: xr.DataArray) -> go.Figure:
    """Draw the pattern of every head as a tile, with layers downward and heads to the right.

    In a tile, rows are queries and columns are keys, both from the top left: a diagonal is a head
    that looks at a fixed distance, a column one that looks at the same token from everywhere. White
    is 0, dark blue is 1 (or the largest weight, if that is larger). `AttentionView` shows the same
    interactively, with the tokens.

    Args:
        patterns: dims `layer`, `head`, `query`, `key`; the attrs `title` and `unit` label the
            figure, if present

    Returns:
        The figure.

    Raises:
        ValueError: the dims are others, or a weight is negative or missing
    """
    values = require_dims(patterns, ("layer", "head", "query", "key"), "attention_grid")
    n_layers, n_heads, n_queries, n_keys = values.shape
    gap = max(1, n_keys // 12)
    # One heat map of all tiles is drawn much faster than one heat map per tile.
    high, wide = n_queries + gap, n_keys + gap
    tiles = np.pad(values, ((0, 0), (0, 0), (0, gap), (0, gap)), constant_values=np.nan)
    sheet = tiles.swapaxes(1, 2).reshape(n_layers * high, n_heads * wide)[:-gap, :-gap]
    unit = str(patterns.attrs.get("unit", ""))
    figure = go.Figure(
        go.Heatmap(
            z=sheet.astype(np.float32),
            colorscale=list(zip((0.0, 0.5, 1.0), WEIGHT, strict=True)),
            zmin=0,
            zmax=max(1.0, float(values.max())),
            hoverinfo="skip",
            colorbar=colorbar(unit),
        )
    )
    dress(figure, str(patterns.attrs.get("title", "")), 130 + n_layers * min(90, 960 // n_heads))
    figure.update_layout(plot_bgcolor="#E3E6EA")
    axis = {"tickmode": "array", "showgrid": False, "zeroline": False}
    columns, rows = ([str(name) for name in patterns[dim].values] for dim in ("head", "layer"))
    centers = [np.arange(n) * size + (size - gap) / 2 - 0.5 for n, size in
               ((n_heads, wide), (n_layers, high))]  # fmt: skip
    figure.update_xaxes(**axis, title="head", tickvals=centers[0], ticktext=columns)
    figure.update_yaxes(
        **axis, title="layer", tickvals=centers[1], ticktext=rows, autorange="reversed"
    )
    return figure
