"""One head, or rollout or flow, as a heat map between tokens."""

import plotly.graph_objects as go
import xarray as xr

from interp.characters import escape
from interp.plots.attention.style import (
    WEIGHT,
    colorbar,
    dress,
    labels_of,
    places_of,
    require_dims,
    title_of,
)
from interp.plots.palette import FONT


def attention_heatmap(weights: xr.DataArray, *, largest: float | None = None) -> go.Figure:
    """Draw the weight from each row to each token as a heat map.

    Rows are the tokens that attend, or layers; columns are the tokens attended to. White is 0, dark
    blue is the largest weight.

    Args:
        weights: dims `query`, `key`, such as one head of `attention_patterns` or one layer of
            `attention_rollout`; or dims `layer`, `key`, for one token. The coords `query_token` and
            `key_token` label the axes, the attrs `title` and `unit` the figure, if present.
        largest: weight at the dark end of the scale; by default the largest weight

    Returns:
        The figure.

    Raises:
        ValueError: the dims are others, or a weight is negative or missing
    """
    rows = "layer" if "layer" in weights.dims and "query" not in weights.dims else "query"
    values = require_dims(weights, (rows, "key"), "attention_heatmap")
    names = {dim: _escaped(labels_of(weights, dim)) for dim in (rows, "key")}
    unit = str(weights.attrs.get("unit", ""))
    looking = [f"layer {row}" if rows == "layer" else row for row in places_of(weights, rows)]
    looked = places_of(weights, "key")
    hover = [_escaped([f"{row} \u2192 {key}" for key in looked]) for row in looking]
    figure = go.Figure(
        go.Heatmap(
            z=values,
            text=hover,
            hovertemplate="%{text}<br><b>%{z:.3f}</b> " + unit + "<extra></extra>",
            colorscale=list(zip((0.0, 0.5, 1.0), WEIGHT, strict=True)),
            zmin=0,
            zmax=largest or float(values.max()) or 1.0,
            xgap=1,
            ygap=1,
            colorbar=colorbar(unit),
        )
    )
    side = max(14, min(26, 640 // len(names["key"])))
    dress(figure, escape(title_of(weights), quote=False), 190 + side * max(len(names[rows]), 6))
    ticks = {"tickmode": "array", "showgrid": False, "zeroline": False, "automargin": True}
    font = {"family": FONT, "size": min(12, side - 3)}
    x, y = (
        {"tickvals": [*range(len(names[dim]))], "ticktext": names[dim]} for dim in ("key", rows)
    )
    tilt = -50 if side > 16 else -90  # vertical if labels are close together
    figure.update_xaxes(**ticks, **x, title="attended to", tickangle=tilt, tickfont=font)
    figure.update_yaxes(
        **ticks, **y, title="layer" if rows == "layer" else "attends", tickfont=font,
        autorange="reversed",
    )  # fmt: skip
    return figure


def _escaped(names: list[str]) -> list[str]:
    """Names that plotly does not interpret as markup."""
    return [escape(name, quote=False) for name in names]
