"""What each component writes toward the answer, as bars."""

import plotly.graph_objects as go
import xarray as xr

from interp.plots.attention.style import dress
from interp.plots.palette import DIVERGING, INK


def attribution_bars(parts: xr.Dataset | xr.DataArray) -> go.Figure:
    """Draw what each component writes toward the answer, in the order of the model.

    A blue bar, above the line, is toward the answer; a red bar, below it, is against the answer.
    The line at the end of a bar is the interval of the mean.

    Args:
        parts: `mean_over_prompts` of `direct_logit_attribution`, with the dim component; or the
            attribution for one prompt or token

    Returns:
        The figure.

    Raises:
        ValueError: the dims are others
    """
    mean = parts["mean"] if isinstance(parts, xr.Dataset) else parts
    if mean.dims != ("component",):
        raise ValueError(
            f"the bars need the dim component alone, not {mean.dims}; take the mean over prompts "
            "(interp.patching.mean_over_prompts) or select one"
        )
    unit = str(mean.attrs.get("unit", ""))
    error = None
    if isinstance(parts, xr.Dataset):
        up, down = (parts["high"] - mean).values, (mean - parts["low"]).values
        error = {
            "type": "data",
            "symmetric": False,
            "array": up,
            "arrayminus": down,
            "color": INK,
            "thickness": 1.2,
            "width": 2,
        }
    shades = [DIVERGING[-3][1] if value >= 0 else DIVERGING[2][1] for value in mean.values]
    figure = go.Figure(
        go.Bar(
            x=mean.component.values,
            y=mean.values,
            marker={"color": shades},
            error_y=error,
            hovertemplate="<b>%{x}</b>  %{y:+.3f} " + unit + "<extra></extra>",
        )
    )
    crowded = mean.sizes["component"] > 40
    figure.update_xaxes(
        title="component",
        type="category",
        tickangle=-60,
        tickmode="linear",
        tickfont={"size": 9 if crowded else 11},
    )
    figure.update_yaxes(title=unit, zeroline=True, zerolinecolor=INK)
    return dress(figure, str(mean.attrs.get("title", "")), 420)
