"""The strongest effects of a sweep with their intervals, one line each."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from interp.plots.labels import cell_labels
from interp.plots.palette import DIVERGING, FONT, INK

_MARKERS = (
    {"color": INK, "symbol": "circle"},
    {"color": DIVERGING[1][1], "symbol": "diamond-open"},
    {"color": DIVERGING[-2][1], "symbol": "square-open"},
)


def effect_ranking(effects: xr.Dataset | Mapping[str, xr.Dataset], *, n: int = 12) -> go.Figure:
    """Draw a dot for each of the strongest effects, with the interval as a bar.

    The strongest is at the top; to the right of the zero line the metric rises, to the left it
    falls. Several results (before and after something, say) are drawn on the same lines, each with
    its own marker; cells are ranked by their largest absolute value in any result.

    Args:
        effects: what `mean_effect` or `normalized` returns, with any dims; or a mapping from names
            to up to three of them
        n: number of cells to draw

    Returns:
        The figure.

    Raises:
        ValueError: there are no results or more than three, their cells differ, or `n` is not above
            0
    """
    series = {"": effects} if isinstance(effects, xr.Dataset) else dict(effects)
    if not 0 < len(series) <= len(_MARKERS) or n < 1:
        raise ValueError(
            f"a ranking shows 1 to {len(_MARKERS)} results and at least one cell; got "
            f"{len(series)} results and n = {n}"
        )
    first = next(iter(series.values()))["mean"]
    names = cell_labels(first)
    if any(cell_labels(one["mean"]) != names for one in series.values()):
        raise ValueError("the results of a ranking need the same dims with the same values")
    size = np.stack([np.abs(one["mean"].values.ravel()) for one in series.values()])
    size = np.where(np.isfinite(size), size, -1.0).max(0)  # cell
    order = [int(i) for i in np.argsort(-size, kind="stable")[:n] if size[i] >= 0]

    unit = str(first.attrs.get("unit", ""))
    figure = go.Figure()
    for (label, one), marker in zip(series.items(), _MARKERS, strict=False):
        mean, low, high = (one[key].values.ravel()[order] for key in ("mean", "low", "high"))
        figure.add_trace(
            go.Scatter(
                x=mean,
                y=[names[i] for i in order],
                mode="markers",
                name=label,
                marker={**marker, "size": 9},
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": high - mean,
                    "arrayminus": mean - low,
                    "color": marker["color"],
                    "thickness": 1.5,
                    "width": 4,
                },
                customdata=np.stack([low, high], -1),
                hovertemplate=f"<b>%{{y}}</b>  %{{x:+.3f}} {unit}<br>"
                "%{customdata[0]:+.3f} to %{customdata[1]:+.3f}<extra></extra>",
            )
        )
    figure.update_layout(
        template="plotly_white",
        title={"text": str(first.attrs.get("title", "")), "x": 0.02, "font": {"size": 15}},
        font={"family": FONT, "color": INK, "size": 12},
        xaxis={"title": unit, "zeroline": True, "zerolinecolor": INK},
        yaxis={"type": "category", "autorange": "reversed"},
        showlegend=len(series) > 1,
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom"},
        height=140 + 24 * len(order),
        margin={"l": 60, "r": 20, "t": 60, "b": 50},
    )
    return figure
