"""A number for every head, as a layers x heads heat map."""

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from interp.plots.palette import DIVERGING, FONT, INK, diverging, ink_on


def head_heatmap(
    effects: xr.DataArray,
    *,
    interval: xr.DataArray | None = None,
    annotate: int = 6,
) -> go.Figure:
    """Draw one colored cell a head.

    Rows are layers (0 at the top, as in the paper), columns are heads. Blue is above zero, red
    below, white at zero; the scale is symmetric. The heads with the largest absolute values carry
    their label, layer.head. Gray cells have no value (NaN).

    Args:
        effects: Dims `layer`, `head`; attrs `title` and `unit` label the figure, if present.
        interval: Dims `layer`, `head`, `bound` with bounds "low" and "high", shown on hovering.
        annotate: Number of heads to label.

    Returns:
        The figure.

    Raises:
        ValueError: The dims are others, or every value is missing.

    Source: Wang et al. 2022, Figure 3 (b).
    """
    if set(effects.dims) != {"layer", "head"}:
        raise ValueError(
            f"head_heatmap needs the dims (layer, head), not {effects.dims}; "
            'take the mean over the others first: effects.mean("prompt", keep_attrs=True).'
        )
    if interval is not None and set(interval.dims) != {"layer", "head", "bound"}:
        raise ValueError(f"interval needs the dims (layer, head, bound), not {interval.dims}.")
    effects = effects.transpose("layer", "head")
    values = effects.values.astype(float)  # layer head
    if not np.isfinite(values).any():
        raise ValueError("head_heatmap needs at least one finite value; all of them are missing.")
    limit = float(np.nanmax(np.abs(values))) or 1.0
    layers, heads = _labels(effects, "layer"), _labels(effects, "head")
    unit = str(effects.attrs.get("unit", ""))

    figure = go.Figure(
        go.Heatmap(
            z=values,
            x=heads,
            y=layers,
            text=_hover(values, layers, heads, unit, interval),
            hovertemplate="%{text}<extra></extra>",
            colorscale=DIVERGING,
            zmin=-limit,
            zmax=limit,
            zmid=0,
            xgap=1,
            ygap=1,
            colorbar={
                "title": {"text": f"{unit}<br> ", "side": "top"},
                "thickness": 12,
                "outlinewidth": 0,
            },
        )
    )
    magnitude = np.nan_to_num(np.abs(values), nan=-1.0)
    for index in np.argsort(-magnitude, axis=None, kind="stable")[:annotate]:
        row, column = divmod(int(index), values.shape[1])
        value = values[row, column]
        if np.isfinite(value) and value != 0:
            figure.add_annotation(
                x=column,
                y=row,
                text=f"{layers[row]}.{heads[column]}",
                showarrow=False,
                font={"size": 10, "color": ink_on(diverging(value, limit))},
            )
    figure.update_layout(
        template="plotly_white",
        title={"text": str(effects.attrs.get("title", "")), "x": 0.02, "font": {"size": 15}},
        font={"family": FONT, "color": INK, "size": 12},
        xaxis={"title": "head", "type": "category", "showgrid": False},
        yaxis={"title": "layer", "type": "category", "autorange": "reversed", "showgrid": False},
        plot_bgcolor="#E3E6EA",
        height=150 + 28 * max(len(layers), 6),
        margin={"l": 50, "r": 20, "t": 50, "b": 50},
    )
    return figure


def _labels(array: xr.DataArray, dim: str) -> list[str]:
    return [str(label) for label in array[dim].values]


def _hover(
    values: np.ndarray,
    layers: list[str],
    heads: list[str],
    unit: str,
    interval: xr.DataArray | None,
) -> list[list[str]]:
    """The hover text of every cell, with its interval if there is one."""
    if interval is not None:
        bounds = interval.transpose("bound", "layer", "head")
        low, high = bounds.sel(bound="low").values, bounds.sel(bound="high").values

    def cell(row: int, column: int) -> str:
        text = f"<b>{layers[row]}.{heads[column]}</b>  {values[row, column]:+.3f} {unit}".rstrip()
        if interval is None:
            return text
        return f"{text}<br>{low[row, column]:+.3f} to {high[row, column]:+.3f}"

    return [[cell(row, column) for column in range(len(heads))] for row in range(len(layers))]
