"""Effects of a sweep over two parts of the model, as a heat map."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from interp.plots.labels import AXES, cell_label
from interp.plots.palette import DIVERGING, FONT, INK, diverging, ink_on


def effect_heatmap(
    effects: xr.DataArray | xr.Dataset,
    *,
    labels: Mapping[str, Sequence[str]] | None = None,
    annotate: int = 6,
) -> go.Figure:
    """Draw one colored cell for each combination of two parts: layer x head, layer x role, ...

    Rows are the first dim (with its first value at the top), columns the second. Blue is above
    zero, red below, white at zero; the scale is symmetric. The cells with the largest absolute
    values are labeled with their head (layer.head), or with their value if they are not heads. Gray
    cells have no value (NaN).

    Args:
        effects: an array with two dims; or a dataset from `mean_effect` or `normalized`, whose
            intervals are shown on hovering. The attrs `title` and `unit` label the figure, if
            present.
        labels: dim -> labels that replace its values, for instance `{"position":
            position_labels(task, tokenizer)}`
        annotate: number of cells to label

    Returns:
        The figure.

    Raises:
        ValueError: there are not two dims, the labels do not fit, or every value is missing

    Source: Wang et al. 2022, Figure 3 (b); Meng et al. 2022, Figure 1, for layers x tokens.
    """
    mean = effects["mean"] if isinstance(effects, xr.Dataset) else effects
    if mean.ndim != 2:
        raise ValueError(
            f"a heat map has two dims, and these effects have {mean.dims}; take the mean over the "
            'others (effects.mean("prompt", keep_attrs=True)) or select one value (effects.sel).'
        )
    values = mean.values.astype(float)  # row column
    if not np.isfinite(values).any():
        raise ValueError("a heat map needs at least one finite value; all of them are missing")
    limit = float(np.nanmax(np.abs(values))) or 1.0
    written = [_written(mean, dim, labels or {}) for dim in mean.dims]
    names = [[cell_label(mean.dims, (row, column)) for column in written[1]] for row in written[0]]
    unit = str(mean.attrs.get("unit", ""))

    figure = go.Figure(
        go.Heatmap(
            z=values,
            text=_hover(names, effects, values, unit),
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
    heads = set(mean.dims) == {"layer", "head"}
    magnitude = np.nan_to_num(np.abs(values), nan=-1.0)
    for index in np.argsort(-magnitude, axis=None, kind="stable")[:annotate]:
        row, column = divmod(int(index), values.shape[1])
        value = values[row, column]
        if np.isfinite(value) and value != 0:
            figure.add_annotation(
                x=column,
                y=row,
                text=names[row][column] if heads else f"{value:+.2f}".replace("-", "\u2212"),
                showarrow=False,
                font={"size": 10, "color": ink_on(diverging(value, limit))},
            )
    tilted = len(written[1]) * max(map(len, written[1])) > 100  # labels too wide side by side
    figure.update_layout(
        template="plotly_white",
        title={"text": str(mean.attrs.get("title", "")), "x": 0.02, "font": {"size": 15}},
        font={"family": FONT, "color": INK, "size": 12},
        xaxis=_axis(mean.dims[1], written[1]) | {"tickangle": -45 if tilted else 0},
        yaxis=_axis(mean.dims[0], written[0]) | {"autorange": "reversed"},
        plot_bgcolor="#E3E6EA",
        height=150 + 28 * max(len(written[0]), 6) + 50 * tilted,
        margin={"l": 50, "r": 20, "t": 50, "b": 50},
    )
    return figure


def head_heatmap(
    effects: xr.DataArray,
    *,
    interval: xr.DataArray | None = None,
    annotate: int = 6,
) -> go.Figure:
    """Draw the effects of heads as `effect_heatmap` does, with layers down and heads across.

    Args:
        effects: dims `layer`, `head`; the attrs `title` and `unit` label the figure, if present
        interval: dims `layer`, `head`, `bound`, with bounds "low" and "high", shown on hovering
        annotate: number of heads to label

    Returns:
        The figure.

    Raises:
        ValueError: the dims are others, or every value is missing

    Source: Wang et al. 2022, Figure 3 (b).
    """
    if set(effects.dims) != {"layer", "head"}:
        raise ValueError(
            f"head_heatmap needs the dims (layer, head), not {effects.dims}; "
            'take the mean over the others first: effects.mean("prompt", keep_attrs=True).'
        )
    effects = effects.transpose("layer", "head")
    if interval is None:
        return effect_heatmap(effects, annotate=annotate)
    if set(interval.dims) != {"layer", "head", "bound"}:
        raise ValueError(f"interval needs the dims (layer, head, bound), not {interval.dims}")
    bounds = {bound: interval.sel(bound=bound, drop=True) for bound in ("low", "high")}
    return effect_heatmap(xr.Dataset({"mean": effects, **bounds}), annotate=annotate)


def _written(array: xr.DataArray, dim: Hashable, labels: Mapping[str, Sequence[str]]) -> list[str]:
    """The label at each value of a dim."""
    given = labels.get(str(dim), array[dim].values)
    if len(given) != array.sizes[dim]:
        raise ValueError(
            f"labels has {len(given)} labels for {dim!r}, which has {array.sizes[dim]} values"
        )
    return [str(label) for label in given]


def _axis(dim: Hashable, written: list[str]) -> dict[str, object]:
    """An axis with a tick for each value; values with the same label stay separate."""
    return {
        "title": AXES.get(str(dim), str(dim)),
        "tickvals": list(range(len(written))),
        "ticktext": written,
        "showgrid": False,
        "zeroline": False,
    }


def _hover(
    names: list[list[str]], effects: xr.DataArray | xr.Dataset, values: np.ndarray, unit: str
) -> list[list[str]]:
    """The hover text of every cell, with its interval, if any."""
    text = [
        [f"<b>{name}</b>  {value:+.3f} {unit}".rstrip() for name, value in zip(*row, strict=True)]
        for row in zip(names, values, strict=True)
    ]
    if isinstance(effects, xr.DataArray):
        return text
    dims = effects["mean"].dims
    low, high = (effects[bound].transpose(*dims).values for bound in ("low", "high"))
    return [
        [
            f"{cell}<br>{low[row, column]:+.3f} to {high[row, column]:+.3f}"
            for column, cell in enumerate(line)
        ]
        for row, line in enumerate(text)
    ]
