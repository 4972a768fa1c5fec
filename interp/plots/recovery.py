"""How much of a known circuit is recovered, against noise."""

import pandas as pd
import plotly.graph_objects as go

from interp.plots.palette import FONT, INK, KIND_COLORS

_STYLES = (
    {"color": KIND_COLORS["induction"], "symbol": "hexagon"},
    {"color": KIND_COLORS["duplicate token"], "symbol": "square"},
    {"color": KIND_COLORS["name mover"], "symbol": "circle"},
)


def recovery_lines(noise: pd.DataFrame, *, part: str = "links") -> go.Figure:
    """Draw precision (solid) and recall (dotted) against the level of noise, one color per model.

    Args:
        noise: tables from `compare` with the added columns `model` and `noise`, for up to three
            models
        part: the row of each table to draw

    Returns:
        The figure; both are fractions, with 1 at the top.

    Raises:
        ValueError: there are more than three models, or no such part
    """
    rows = noise[noise["part"] == part]
    names = list(dict.fromkeys(rows["model"]))
    if not 0 < len(names) <= len(_STYLES):
        raise ValueError(
            f"expected 1 to {len(_STYLES)} models with a row {part!r}; got {len(names)}"
        )
    figure = go.Figure()
    for name, style in zip(names, _STYLES, strict=False):
        one = rows[rows["model"] == name].sort_values("noise")
        for quantity, dash in (("precision", "solid"), ("recall", "dot")):
            figure.add_trace(
                go.Scatter(
                    x=one["noise"],
                    y=one[quantity],
                    name=f"{name}, {quantity}",
                    mode="lines+markers",
                    line={"color": style["color"], "dash": dash},
                    marker={"symbol": style["symbol"], "size": 9},
                    hovertemplate=f"{name}, {quantity} %{{y:.0%}} at %{{x:g}}<extra></extra>",
                )
            )
    figure.update_layout(
        template="plotly_white",
        title={"text": f"Recovery of {part}", "x": 0.02, "font": {"size": 15}},
        font={"family": FONT, "color": INK, "size": 12},
        xaxis={"title": "noise on the weights"},
        yaxis={"title": "fraction", "range": [0, 1.05], "tickformat": ".0%"},
        height=360,
        margin={"l": 60, "r": 20, "t": 60, "b": 50},
    )
    return figure
