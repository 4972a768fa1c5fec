"""How much heads attend to a token, against how much they write for it."""

from collections.abc import Sequence
from itertools import cycle, islice

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from interp.circuits import CLASSES, Member
from interp.parts import unit_of
from interp.plots.palette import FONT, INK, KIND_COLORS, KIND_SYMBOLS

_SIDES = ("top center", "bottom center", "middle right", "middle left")


def attention_scatter(
    attention: xr.DataArray,
    projection: xr.DataArray,
    heads: Sequence[Member],
) -> go.Figure:
    """Draw every head at its attention (x) and the projection of its output (y).

    Each class has its own color and marker. With a `prompt` dim, faint dots are the prompts and the
    labeled marker is their mean; without it there is only the labeled marker. Name movers lie on
    the right above zero, negative name movers on the right below zero.

    Args:
        attention: dims `layer`, `head` and optionally `prompt`: probability of attention from END
            to IO
        projection: with the same dims: the head's output along the direction of the logit
            difference, positive toward the answer. The attrs `unit` and `title` label the figure,
            if present.
        heads: the heads to show

    Returns:
        The figure.

    Raises:
        ValueError: the dims are others, or there are no heads
        KeyError: a head is outside the arrays

    Source: Wang et al. 2022, Figure 3 (c).
    """
    for name, array in (("attention", attention), ("projection", projection)):
        if set(array.dims) not in ({"layer", "head"}, {"layer", "head", "prompt"}):
            raise ValueError(
                f"{name} needs the dims (layer, head) or (prompt, layer, head), not {array.dims}"
            )
    if set(attention.dims) != set(projection.dims):
        raise ValueError(f"dims differ: attention {attention.dims}, projection {projection.dims}")
    if not heads:
        raise ValueError("attention_scatter needs at least one head")

    figure = go.Figure()
    for kind in CLASSES:
        members = [head for head in heads if head.kind == kind]
        if not members:
            continue
        x = [np.atleast_1d(_of(attention, head)) for head in members]
        y = [np.atleast_1d(_of(projection, head)) for head in members]
        if "prompt" in attention.dims:
            figure.add_trace(_prompts(kind, members, x, y))
        figure.add_trace(_means(kind, members, x, y))
    unit = str(projection.attrs.get("unit", "logits"))
    figure.update_layout(
        template="plotly_white",
        title={"text": str(projection.attrs.get("title", "")), "x": 0.02, "font": {"size": 15}},
        font={"family": FONT, "color": INK, "size": 12},
        xaxis={"title": "attention, END to IO (probability)", "range": [-0.04, 1.04]},
        yaxis={"title": f"output along the logit difference ({unit})", "zerolinecolor": INK},
        legend={"orientation": "h", "y": -0.2, "yanchor": "top"},
        height=460,
        margin={"l": 60, "r": 20, "t": 50, "b": 60},
    )
    return figure


def _of(array: xr.DataArray, head: Member) -> np.ndarray:
    try:
        return np.asarray(array.sel(layer=head.layer, head=unit_of(head.part)).values, dtype=float)
    except (KeyError, IndexError) as error:
        raise KeyError(
            f"head {head.label} is outside the array of {array.sizes['layer']} layers "
            f"x {array.sizes['head']} heads"
        ) from error


def _prompts(
    kind: str, members: list[Member], x: list[np.ndarray], y: list[np.ndarray]
) -> go.Scatter:
    return go.Scatter(
        x=np.concatenate(x),
        y=np.concatenate(y),
        mode="markers",
        marker={"color": KIND_COLORS[kind], "size": 4, "opacity": 0.25},
        text=[head.label for head, points in zip(members, x, strict=True) for _ in points],
        hovertemplate="%{text}<br>attention %{x:.2f}<br>output %{y:+.2f}<extra></extra>",
        legendgroup=kind,
        showlegend=False,
    )


def _means(
    kind: str, members: list[Member], x: list[np.ndarray], y: list[np.ndarray]
) -> go.Scatter:
    return go.Scatter(
        x=[points.mean() for points in x],
        y=[points.mean() for points in y],
        mode="markers+text",
        name=kind,
        marker={
            "color": KIND_COLORS[kind],
            "symbol": KIND_SYMBOLS[kind],
            "size": 11,
            "line": {"color": "white", "width": 0 if "open" in KIND_SYMBOLS[kind] else 1},
        },
        text=[head.label for head in members],
        textposition=list(islice(cycle(_SIDES), len(members))),  # so that neighbors rarely overlap
        hovertemplate="<b>%{text}</b><br>attention %{x:.2f}<br>output %{y:+.2f}<extra></extra>",
        legendgroup=kind,
    )
