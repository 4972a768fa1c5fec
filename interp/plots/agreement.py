"""How far estimated effects are from exact ones, as a scatter plot."""

from itertools import cycle, islice

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from interp.plots.labels import cell_labels
from interp.plots.palette import DIVERGING, FONT, INK, MUTED

_MISSED = DIVERGING[1][1]
_SIDES = ("top left", "bottom right", "middle left", "middle right")


def agreement_scatter(
    estimated: xr.DataArray, exact: xr.DataArray, *, annotate: int = 6
) -> go.Figure:
    """Draw a point for each cell of a sweep: the exact effect on x, the estimate on y.

    On the dashed diagonal the two are equal. A point nearer to the horizontal axis than the
    diagonal is an underestimated effect; a point on the axis is a missed one. The cells farthest
    from the diagonal are red and labeled.

    Args:
        estimated: effects of `attribution_patch`, with any dims except prompt (`mean_effect`'s
            `mean`); the attrs `title` and `unit` label the figure, if present
        exact: effects of `patch` with the same dims, in the same unit
        annotate: number of cells to label

    Returns:
        The figure.

    Raises:
        ValueError: the two have different cells, or no cell has a value in both

    Source: Kramar et al. 2024 (arXiv 2403.00745), for comparing the two cell by cell.
    """
    names = cell_labels(exact)
    if cell_labels(estimated) != names:
        raise ValueError(
            f"estimates and exact effects need the same dims with the same values; they have "
            f"{dict(estimated.sizes)} and {dict(exact.sizes)}"
        )
    x, y = (array.values.astype(float).ravel() for array in (exact, estimated))
    both = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if not len(both):
        raise ValueError("no cell has both an estimate and an exact effect")
    missed = both[np.argsort(-np.abs(y - x)[both], kind="stable")[:annotate]]
    missed = missed[np.argsort(x[missed], kind="stable")]  # neighbors get labels on different sides
    rest = np.setdiff1d(both, missed)
    ends = [float(min(x[both].min(), y[both].min())), float(max(x[both].max(), y[both].max()))]
    room = 0.12 * (ends[1] - ends[0])  # for the labels
    unit = str(exact.attrs.get("unit", ""))

    figure = go.Figure(
        go.Scatter(
            x=ends,
            y=ends,
            mode="lines",
            line={"color": MUTED, "dash": "dash", "width": 1},
            hoverinfo="skip",
        )
    )
    for cells, mode, color in ((rest, "markers", INK), (missed, "markers+text", _MISSED)):
        figure.add_trace(
            go.Scatter(
                x=x[cells],
                y=y[cells],
                mode=mode,
                text=[names[i] for i in cells],
                textposition=list(islice(cycle(_SIDES), len(cells))),
                marker={"color": color, "size": 8, "opacity": 0.8},
                hovertemplate=f"<b>%{{text}}</b><br>exact %{{x:+.3f}} {unit}<br>"
                f"estimate %{{y:+.3f}} {unit}<extra></extra>",
            )
        )
    figure.update_layout(
        template="plotly_white",
        title={"text": str(estimated.attrs.get("title", "")), "x": 0.02, "font": {"size": 15}},
        font={"family": FONT, "color": INK, "size": 12},
        xaxis={
            "title": f"exact ({unit})",
            "zerolinecolor": INK,
            "range": [ends[0] - room, ends[1] + room] if room else None,
        },
        yaxis={"title": f"estimate ({unit})", "zerolinecolor": INK},
        showlegend=False,
        height=460,
        margin={"l": 60, "r": 20, "t": 50, "b": 60},
    )
    return figure
