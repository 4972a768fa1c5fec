"""What the weights alone show: the composition of heads, and the position embedding."""

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from interp.plots.palette import DIVERGING, FONT, INK, KIND_COLORS

_POSITIONS = 128  # cells along a side of the map, at most; more would slow down the page


def composition_heatmap(scores: xr.DataArray) -> go.Figure:
    """Draw the composition of every pair of heads, with earlier heads down and later heads across.

    Blue is above zero, red below, white at zero; the scale is symmetric, so pass scores minus those
    of random matrices. White lines separate layers; gray cells are not pairs, because the sender is
    not in an earlier layer. A blue row is a head that many heads read, a blue column a head that
    reads many.

    Args:
        scores: dims sender_layer, sender_head, layer, head, for one kind of composition. The attrs
            `title` and `unit` label the figure, if present.

    Returns:
        The figure.

    Raises:
        ValueError: the dims are others, or there is no pair

    Source: Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits".
    """
    dims = ("sender_layer", "sender_head", "layer", "head")
    if set(scores.dims) != set(dims):
        raise ValueError(
            f"composition_heatmap needs the dims {dims}, not {scores.dims}; select one kind: "
            'scores.sel(kind="k").'
        )
    scores = scores.transpose(*dims)
    values = scores.values.reshape(scores.sizes["sender_layer"] * scores.sizes["sender_head"], -1)
    if not np.isfinite(values).any():
        raise ValueError("there is no pair of heads in different layers")
    limit = float(np.nanmax(np.abs(values))) or 1.0
    senders, receivers = _heads(scores, *dims[:2]), _heads(scores, *dims[2:])
    unit = str(scores.attrs.get("unit", ""))
    figure = go.Figure(
        go.Heatmap(
            z=np.round(values, 4),
            x=receivers,
            y=senders,
            hovertemplate=f"<b>%{{y}} to %{{x}}</b>  %{{z:+.3f}} {unit}<extra></extra>",
            hoverongaps=False,
            colorscale=DIVERGING,
            zmin=-limit,
            zmax=limit,
            colorbar=_colorbar(unit),
        )
    )
    for axis, size, n in (
        ("x", scores.sizes["head"], scores.sizes["layer"]),
        ("y", scores.sizes["sender_head"], scores.sizes["sender_layer"]),
    ):
        for layer in range(1, n):
            at = layer * size - 0.5
            line = {"line": {"color": "white", "width": 1}}
            (figure.add_vline if axis == "x" else figure.add_hline)(at, **line)
    _style(figure, str(scores.attrs.get("title", "")), 640)
    every = {"type": "category", "showgrid": False, "tickmode": "array", "tickangle": 0}
    figure.update_xaxes(
        title="reads (layer.head)", tickvals=receivers[:: scores.sizes["head"]], **every
    )
    figure.update_yaxes(
        title="writes (layer.head)",
        tickvals=senders[:: scores.sizes["sender_head"]],
        autorange="reversed",
        **every,
    )
    return figure.update_layout(plot_bgcolor="#E3E6EA")


def similarity_heatmap(similarity: xr.DataArray) -> go.Figure:
    """Draw the similarity of all pairs of positions: blue alike, white unrelated, red opposite.

    If there are many positions, evenly spaced ones are shown.

    Args:
        similarity: dims pos, other, values from -1 to 1, from `position_similarity`

    Returns:
        The figure.

    Raises:
        ValueError: the dims are others
    """
    if set(similarity.dims) != {"pos", "other"}:
        raise ValueError(f"similarity_heatmap needs the dims (pos, other), not {similarity.dims}")
    step = -(-similarity.sizes["pos"] // _POSITIONS)
    shown = similarity.transpose("pos", "other")[::step, ::step]
    figure = go.Figure(
        go.Heatmap(
            z=np.round(shown.values, 3),
            x=shown["other"].values,
            y=shown["pos"].values,
            hovertemplate="positions %{y} and %{x}: %{z:+.2f}<extra></extra>",
            colorscale=DIVERGING,
            zmin=-1,
            zmax=1,
            colorbar=_colorbar(str(similarity.attrs.get("unit", "cosine"))),
        )
    )
    _style(figure, str(similarity.attrs.get("title", "")), 520)
    figure.update_xaxes(title="position", showgrid=False, constrain="domain")
    return figure.update_yaxes(
        title="position", showgrid=False, autorange="reversed", scaleanchor="x"
    )


def spectrum_lines(spectrum: xr.Dataset) -> go.Figure:
    """Draw which waves position embeddings are made of, one line for each embedding.

    Both axes are logarithmic: x is the period in tokens, with slow waves on the left; y is the
    fraction of the power at that period.

    Args:
        spectrum: what `position_spectrum` returns

    Returns:
        The figure.
    """
    styles = (
        {"color": KIND_COLORS["name mover"], "width": 2},
        {"color": KIND_COLORS["S-inhibition"], "width": 2, "dash": "dot"},
    )
    figure = go.Figure(
        [
            go.Scatter(
                x=line["period"].values,
                y=line.values,
                name=str(name),
                mode="lines",
                line=styles[i % len(styles)],
                hovertemplate="period %{x:.1f} tokens: %{y:.2%}<extra>%{fullData.name}</extra>",
            )
            for i, (name, line) in enumerate(spectrum.items())
        ]
    )
    first = next(iter(spectrum.values()))
    _style(figure, str(first.attrs.get("title", "")), 400)
    figure.update_xaxes(title="period (tokens)", type="log", autorange="reversed", dtick=1)
    figure.update_yaxes(title="fraction of the power", type="log", dtick=1, exponentformat="power")
    return figure.update_layout(legend={"x": 0.98, "y": 0.98, "xanchor": "right"})


def _heads(scores: xr.DataArray, layers: str, heads: str) -> list[str]:
    return [f"{layer}.{head}" for layer in scores[layers].values for head in scores[heads].values]


def _colorbar(unit: str) -> dict[str, object]:
    title = {"text": f"{unit}<br> ", "side": "top"}
    return {"title": title, "thickness": 12, "outlinewidth": 0}


def _style(figure: go.Figure, title: str, height: int) -> None:
    figure.update_layout(
        template="plotly_white",
        title={"text": title, "x": 0.02, "font": {"size": 15}},
        font={"family": FONT, "color": INK, "size": 12},
        height=height,
        margin={"l": 70, "r": 20, "t": 50, "b": 60},
    )
