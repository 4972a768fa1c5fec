"""Effects of a sweep over two parts of the model, as a heat map."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from interp.plots.labels import AXES, cell_label
from interp.plots.palette import FONT, INK, MUTED, ink_on, meaning, scale_of


def effect_heatmap(
    effects: xr.DataArray | xr.Dataset,
    *,
    labels: Mapping[str, Sequence[str]] | None = None,
    annotate: int = 6,
    limit: float | None = None,
) -> go.Figure:
    """Draw one colored cell for each combination of two parts: layer x head, layer x role, ...

    Rows are the first dim (with its first value at the top), columns the second. Blue cells help
    the task, red cells hurt it, whatever sign that is: effects say which (`effect`), and the line
    under the title repeats it. Values that say nothing of the kind are green above zero and purple
    below; if none is below, white to green from zero. Scales with two sides are symmetric, white at
    zero. The cells with the largest absolute values are labeled with their head (layer.head), or
    with their value if they are not heads. Gray cells have no value (NaN).

    Args:
        effects: an array with two dims; or a dataset from `mean_effect` or `normalized`, whose
            intervals are shown on hovering. The attrs `title` and `unit` label the figure, if
            present.
        labels: dim -> labels that replace its values, for instance `{"position":
            position_labels(task, tokenizer)}`
        annotate: number of cells to label
        limit: size at which the scale ends, see `shared_limit`; by default the largest size there
            is, or 1 for probabilities and fractions

    Returns:
        The figure.

    Raises:
        ValueError: there are not two dims, the labels do not fit, every value is missing, or the
            limit is not above 0

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
    scale = scale_of(values, mean.attrs, limit)
    written = [_written(mean, dim, labels or {}) for dim in mean.dims]
    names = [[cell_label(mean.dims, (row, column)) for column in written[1]] for row in written[0]]
    unit = str(mean.attrs.get("unit", ""))

    figure = go.Figure(
        go.Heatmap(
            z=values,
            text=_hover(names, effects, values, unit),
            hovertemplate="%{text}<extra></extra>",
            colorscale=scale.stops,
            zmin=scale.low,
            zmax=scale.high,
            zmid=0 if scale.low < 0 else None,
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
                font={"size": 10, "color": ink_on(scale.color(value))},
            )
    tilted = len(written[1]) * max(map(len, written[1])) > 100  # labels too wide side by side
    figure.update_layout(
        template="plotly_white",
        title=titled(mean.attrs),
        font={"family": FONT, "color": INK, "size": 12},
        xaxis=_axis(mean.dims[1], written[1]) | {"tickangle": -45 if tilted else 0},
        yaxis=_axis(mean.dims[0], written[0]) | {"autorange": "reversed"},
        plot_bgcolor="#E3E6EA",
        height=150 + 28 * max(len(written[0]), 6) + 50 * tilted,
        margin={"l": 50, "r": 20, "t": 62, "b": 50},
    )
    return figure


def titled(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """The title of a figure, with the meaning of its colors in a smaller line below.

    Args:
        attrs: attrs of the result, with `title` and `helps` if it has them

    Returns:
        What plotly's layout calls title.
    """
    words = {"text": meaning(attrs), "font": {"size": 11.5, "color": MUTED}}
    return {
        "text": str(attrs.get("title", "")),
        "x": 0.02,
        "font": {"size": 15},
        **({"subtitle": words} if words["text"] else {}),
    }


def shared_limit(*effects: xr.DataArray | xr.Dataset) -> float:
    """The end of one scale for several figures, so that their colors can be compared.

    Args:
        effects: what the figures show, in the same unit

    Returns:
        The largest size of any value; 1 if there is none but zero.

    Raises:
        ValueError: the units differ

    Example:
        >>> one = xr.DataArray([0.5, -2.0], attrs={"unit": "logits"})
        >>> shared_limit(one, one / 4)
        2.0
    """
    means = [one["mean"] if isinstance(one, xr.Dataset) else one for one in effects]
    units = {str(mean.attrs["unit"]) for mean in means if "unit" in mean.attrs}
    if len(units) > 1:
        raise ValueError(f"only values in one unit share a scale; these are in {sorted(units)}")
    sizes = [np.abs(mean.values.astype(float)) for mean in means]
    return (
        max((float(size[np.isfinite(size)].max(initial=0.0)) for size in sizes), default=0) or 1.0
    )


def head_heatmap(
    effects: xr.DataArray,
    *,
    interval: xr.DataArray | None = None,
    annotate: int = 6,
    limit: float | None = None,
) -> go.Figure:
    """Draw the effects of heads as `effect_heatmap` does, with layers down and heads across.

    Args:
        effects: dims `layer`, `head`; the attrs `title` and `unit` label the figure, if present
        interval: dims `layer`, `head`, `bound`, with bounds "low" and "high", shown on hovering
        annotate: number of heads to label
        limit: as for `effect_heatmap`

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
        return effect_heatmap(effects, annotate=annotate, limit=limit)
    if set(interval.dims) != {"layer", "head", "bound"}:
        raise ValueError(f"interval needs the dims (layer, head, bound), not {interval.dims}")
    bounds = {bound: interval.sel(bound=bound, drop=True) for bound in ("low", "high")}
    return effect_heatmap(xr.Dataset({"mean": effects, **bounds}), annotate=annotate, limit=limit)


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
