"""What a lens reads: predictions by layer and token, and numbers layer by layer."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from interp.characters import escape
from interp.plots.attention.style import WEIGHT, dress, token_label
from interp.plots.palette import FONT, INK, KIND_COLORS, ink_on, mix

_ACROSS = 12  # number of tokens side by side, so that words fit into cells in a notebook
_LETTERS = 9
_ROW, _BETWEEN = 24, 46  # pixels
_LINES = (
    (KIND_COLORS["name mover"], "solid", "circle"),
    (KIND_COLORS["S-inhibition"], "dash", "diamond"),
    (KIND_COLORS["induction"], "dot", "square"),
    (KIND_COLORS["duplicate token"], "dashdot", "cross"),
)


def lens_heatmap(reading: xr.Dataset, *, color: str = "top_probability") -> go.Figure:
    """Draw what each layer would predict next at each token: its first choice in each cell.

    Tokens run from left to right, continuing below if there are more than a dozen; layers run from
    the bottom up, so the model's own prediction is the top row if resid_post is read. The word in a
    cell is the most probable next token after the token written under its column. Hovering over a
    cell shows the first choices with their probabilities. Long tokens are cut in the cell, but not
    on hovering.

    Args:
        reading: what `logit_lens` returns for a text; if it has heads, select one
        color: the value that colors the cells, white at 0: "top_probability" of the word,
            "entropy", "kl_divergence", or, with an answer, its "probability" or "rank"

    Returns:
        The figure.

    Raises:
        ValueError: the dims are not layer and position, or there is no such value

    Source: nostalgebraist 2020, "interpreting GPT: the logit lens".
    """
    shades = reading.get(color)
    if "top_token" not in reading or shades is None:
        raise ValueError(f"the reading has no {color!r}; it has {list(map(str, reading))}")
    if "top" in shades.dims:
        shades = shades.isel(top=0)
    if set(shades.dims) != {"layer", "position"}:
        raise ValueError(
            f"the figure needs a reading with the dims (layer, position), not {shades.dims}; read "
            "a text rather than a task, and select one head: reading.sel(head=1)"
        )
    values = shades.transpose("layer", "position").values.astype(float)
    words = reading.top_token.transpose("layer", "position", "top").values
    hover = _choices(reading, color, values)
    top = 1.0 if color.endswith("probability") else float(values.max()) or 1.0
    layers, n = reading.layer.values, values.shape[1]
    bands = -(-n // _ACROSS)
    width = -(-n // bands)
    plot = _ROW * len(layers)
    height = bands * plot + (bands - 1) * _BETWEEN
    figure = make_subplots(bands, 1, vertical_spacing=_BETWEEN / height if bands > 1 else 0)
    figure.update_xaxes(showgrid=False, zeroline=False, range=[-0.5, width - 0.5], tickangle=0)
    figure.update_yaxes(showgrid=False, zeroline=False, range=[-0.5, len(layers) - 0.5])
    figure.update_yaxes(
        tickvals=[*range(len(layers))], ticktext=[str(layer) for layer in layers], title="layer"
    )
    for band in range(bands):
        part = slice(band * width, min((band + 1) * width, n))
        tokens = [_short(str(token)) for token in reading.token.values[part]]
        figure.add_trace(
            go.Heatmap(
                z=values[:, part],
                hovertext=[row[part] for row in hover],
                hovertemplate="%{hovertext}<extra></extra>",
                coloraxis="coloraxis",
                xgap=1,
                ygap=1,
            ),
            row=band + 1,
            col=1,
        )
        figure.add_trace(_words(words[:, part, 0], values[:, part], top), row=band + 1, col=1)
        ticks = {"tickvals": [*range(len(tokens))], "ticktext": tokens}
        figure.update_xaxes(**ticks, row=band + 1, col=1)
    unit = str(shades.attrs.get("unit", ""))
    figure.update_layout(
        coloraxis={
            "colorscale": list(zip((0.0, 0.5, 1.0), WEIGHT, strict=True)),
            "cmin": 0,
            "cmax": top,
            "colorbar": {
                "title": {"text": unit, "side": "right"},
                "thickness": 12,
                "outlinewidth": 0,
                "lenmode": "pixels",
                "len": min(height + 20, 260),
                "y": 1,
                "yanchor": "top",
            },
        },
    )
    title = str(reading.attrs.get("title", ""))
    title = f"{title}: first choices, colored by {_in_words(color)}"
    return dress(figure, title, height + 110)


def lens_lines(
    values: xr.Dataset | xr.DataArray | Mapping[str, xr.Dataset | xr.DataArray],
    *,
    log: bool = False,
) -> go.Figure:
    """Draw a number layer by layer, or component by component; several numbers as separate lines.

    The shaded band around a line is the interval of its mean.

    Args:
        values: one dim, layer or component: a result of `mean_over_prompts`, with intervals, or a
            plain array; or a mapping from names to up to four of them. The attrs `title` and `unit`
            of the first label the figure.
        log: whether the vertical axis is logarithmic, for positive values of different sizes

    Returns:
        The figure.

    Raises:
        ValueError: there are other dims, or not one to four lines
    """
    lines: dict[str, Any]
    lines = {"": values} if isinstance(values, xr.Dataset | xr.DataArray) else dict(values)
    if not 0 < len(lines) <= len(_LINES):
        raise ValueError(f"the figure shows 1 to {len(_LINES)} lines, got {len(lines)}")
    figure = go.Figure()
    attrs: dict[str, Any] = {}
    dim, places = "layer", []
    for (name, line), (shade, dash, symbol) in zip(lines.items(), _LINES, strict=False):
        mean = line["mean"] if isinstance(line, xr.Dataset) else line
        if mean.ndim != 1:
            raise ValueError(
                f"a line has one dim, and {name or 'this result'} has {mean.dims}; take the mean "
                "over prompts (interp.patching.mean_over_prompts) or select one value"
            )
        dim = str(mean.dims[0])
        attrs = attrs or mean.attrs
        places = [str(place) for place in mean[dim].values]
        x = [*range(len(places))]
        hover = [f"{'layer ' if dim == 'layer' else ''}{place}" for place in places]
        if isinstance(line, xr.Dataset):
            low, high = line["low"].values, line["high"].values
            hover = [
                f"{at}<br>{a:.3g} to {b:.3g}" for at, a, b in zip(hover, low, high, strict=True)
            ]
            figure.add_scatter(
                x=[*x, *x[::-1]],
                y=[*high, *low[::-1]],
                mode="lines",
                fill="toself",
                fillcolor=shade,
                opacity=0.18,
                line={"width": 0},
                hoverinfo="skip",
                showlegend=False,
                legendgroup=name,
            )
        figure.add_scatter(
            x=x,
            y=mean.values,
            name=name,
            legendgroup=name,
            mode="lines+markers",
            line={"color": shade, "dash": dash, "width": 2},
            marker={"color": shade, "symbol": symbol, "size": 7},
            text=hover,
            hovertemplate="<b>%{y:.3g}</b> " + f"{attrs.get('unit', '')}, " + "%{text}"
            "<extra>%{fullData.name}</extra>",
        )
    crowded = len(places) * max(map(len, places), default=0) > 100
    figure.update_xaxes(
        title=dim,
        tickvals=[*range(len(places))],
        ticktext=places,
        tickangle=-60 if crowded else 0,
        tickfont={"size": 10 if crowded else 12},
        zeroline=False,
    )
    figure.update_yaxes(title=str(attrs.get("unit", "")), zerolinecolor=INK)
    if log:
        figure.update_yaxes(type="log", dtick="D2", exponentformat="power")
    figure.update_layout(
        showlegend=len(lines) > 1,
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom"},
    )
    return dress(figure, str(attrs.get("title", "")), 400)


def _words(words: np.ndarray, values: np.ndarray, top: float) -> go.Scatter:
    """The word in every cell, in an ink that is readable on the cell's color."""
    rows, columns = np.indices(words.shape)
    low, middle, high = WEIGHT
    inks = []
    for value in values.ravel() / top:
        shade = mix(low, middle, value * 2) if value < 0.5 else mix(middle, high, value * 2 - 1)
        inks.append(ink_on(shade))
    return go.Scatter(
        x=columns.ravel(),
        y=rows.ravel(),
        mode="text",
        text=[_short(str(word)) for word in words.ravel()],
        textfont={"family": FONT, "size": 11, "color": inks},
        hoverinfo="skip",
        showlegend=False,
    )


def _choices(reading: xr.Dataset, color: str, values: np.ndarray) -> list[list[str]]:
    """The hover text of every cell: its place, the first choices, and the value of its color."""
    words = reading.top_token.transpose("layer", "position", "top").values
    chances = reading.top_probability.transpose("layer", "position", "top").values
    tokens = [_escaped(str(token)) for token in reading.token.values]
    rest = "" if color == "top_probability" else _in_words(color)
    unit = reading[color].attrs.get("unit", "")
    return [
        [
            f"<b>layer {layer}</b>, after {tokens[i]} ({i})<br>"
            + "<br>".join(
                f"{chance:.3f}  {_escaped(str(word))}"
                for word, chance in zip(words[row, i], chances[row, i], strict=True)
            )
            + (f"<br>{rest} {values[row, i]:.3g} {unit}" if rest else "")
            for i in range(len(tokens))
        ]
        for row, layer in enumerate(reading.layer.values)
    ]


def _in_words(color: str) -> str:
    return {"top_probability": "probability", "kl_divergence": "KL divergence"}.get(color, color)


def _escaped(token: str) -> str:
    """A token, in one line that plotly does not read as markup."""
    return escape(token_label(token), quote=False)


def _short(token: str) -> str:
    label = token_label(token)
    cut = label if len(label) <= _LETTERS else label[: _LETTERS - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return escape(cut, quote=False)
