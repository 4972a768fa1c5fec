"""Model and circuit without the same nodes, one point a set."""

import plotly.graph_objects as go
import xarray as xr

from interp.circuits import KINDS
from interp.plots.palette import FONT, INK, KIND_COLORS, KIND_SYMBOLS, MUTED

_FOUND = {"random": ("#A8B0B9", "circle", 6), "greedy": ("#B2182B", "x", 8)}


def completeness_scatter(result: xr.Dataset, *, title: str = "Completeness") -> go.Figure:
    """Draw F(C without K) across and F(M without K) up, and the line on which the two are equal.

    A class carries its color and marker and its name; sets of `random_sets` are gray dots, those of
    `greedy_sets` red crosses, everything else is black. Point at one for its nodes.

    Args:
        result: what `without` returns: `circuit` and `full`, dims set, prompt; a coordinate `nodes` along set
            is shown on hovering.
        title: title of the figure.

    Returns:
        The figure.

    Raises:
        ValueError: the result lacks one of the two.

    Source: Wang et al. 2022 (arXiv 2211.00593), figure 7.
    """
    if not {"circuit", "full"} <= set(result.data_vars):
        raise ValueError(
            f"expected `circuit` and `full`, as `without` gives them; got {list(result.data_vars)}"
        )
    means = result[["circuit", "full"]].mean("prompt")
    names = [str(name) for name in result["set"].values]
    nodes = [str(n) for n in result["nodes"].values] if "nodes" in result.coords else names
    groups: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        first = name.split()[0]
        groups.setdefault(first if first in _FOUND else name, []).append(i)
    figure = go.Figure()
    values = [float(v) for one in means.data_vars.values() for v in one.values]
    ends = [min(values) - 0.2, max(values) + 0.2]
    figure.add_trace(
        go.Scatter(x=ends, y=ends, mode="lines", line={"color": MUTED, "dash": "dot"},
                   hoverinfo="skip", showlegend=False)
    )  # fmt: skip
    for name in [*_FOUND, *(g for g in groups if g not in _FOUND)]:  # classes on top
        if name not in groups:
            continue
        index = groups[name]
        if name in _FOUND:
            color, symbol, size = _FOUND[name]
        else:
            color, symbol = KIND_COLORS.get(name, INK), KIND_SYMBOLS.get(name, "diamond")
            size = 11 if name in KINDS else 9
        figure.add_trace(
            go.Scatter(
                x=means["circuit"].values[index],
                y=means["full"].values[index],
                mode="markers",
                name=name,
                marker={"color": color, "symbol": symbol, "size": size},
                text=[f"{names[i]}<br>{nodes[i]}" for i in index],
                hovertemplate="<b>%{text}</b><br>circuit %{x:.2f}, model %{y:.2f}<extra></extra>",
            )
        )
    figure.update_layout(
        template="plotly_white",
        title={"text": title, "x": 0.02, "font": {"size": 15}},
        font={"family": FONT, "color": INK, "size": 12},
        xaxis={"title": "F(C without K), logits", "zerolinecolor": INK},
        yaxis={"title": "F(M without K), logits", "zerolinecolor": INK},
        legend={"orientation": "v", "x": 1.02, "y": 1},
        height=480,
        margin={"l": 60, "r": 20, "t": 50, "b": 50},
    )
    return figure
