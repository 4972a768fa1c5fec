"""Model and circuit without the same nodes, one point per set."""

import plotly.graph_objects as go
import xarray as xr

from interp.circuits import CLASSES
from interp.plots.palette import FONT, INK, KIND_COLORS, KIND_SYMBOLS, MUTED

_FOUND = {"random": ("#A8B0B9", "circle", 6), "greedy": ("#B2182B", "x", 8)}


def completeness_scatter(
    result: xr.Dataset, *, metric: str | None = None, title: str = "Completeness"
) -> go.Figure:
    """Draw F(C without K) on x against F(M without K) on y, with the line on which they are equal.

    Classes have their own color, marker and label; sets from `random_sets` are gray dots, sets from
    `greedy_sets` are red crosses, and everything else is black. Hovering over a point shows its
    nodes.

    Args:
        result: what `completeness` returns, dims run ("full", "circuit"), set, prompt; if it has a
            coordinate `nodes` along set, hovering shows it
        metric: one of its metrics; by default the first
        title: title of the figure

    Returns:
        The figure.

    Raises:
        ValueError: the result lacks one of the runs, or the metric

    Source: Wang et al. 2022 (arXiv 2211.00593), figure 7.
    """
    runs = result["run"].values.tolist() if "run" in result.dims else []
    if not {"circuit", "full"} <= set(runs):
        raise ValueError(
            f"expected the runs 'full' and 'circuit', as completeness() returns them; got {runs}"
        )
    chosen = str(next(iter(result.data_vars))) if metric is None else metric
    if chosen not in result:
        raise ValueError(f"the result has no metric {chosen!r}; it has {list(result.data_vars)}")
    unit = str(result[chosen].attrs.get("unit", ""))
    means = result[chosen].mean("prompt")
    across, up = (means.sel(run=run).values for run in ("circuit", "full"))
    names = [str(name) for name in result["set"].values]
    nodes = [str(n) for n in result["nodes"].values] if "nodes" in result.coords else names
    groups: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        first = name.split()[0]
        groups.setdefault(first if first in _FOUND else name, []).append(i)
    figure = go.Figure()
    values = [*across, *up]
    room = 0.05 * (max(values) - min(values)) or 0.2
    ends = [min(values) - room, max(values) + room]
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
            size = 11 if name in CLASSES else 9
        figure.add_trace(
            go.Scatter(
                x=across[index],
                y=up[index],
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
        xaxis={"title": f"F(C without K), {unit}", "zerolinecolor": INK},
        yaxis={"title": f"F(M without K), {unit}", "zerolinecolor": INK},
        legend={"orientation": "v", "x": 1.02, "y": 1},
        height=480,
        margin={"l": 60, "r": 20, "t": 50, "b": 50},
    )
    return figure
