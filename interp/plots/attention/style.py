"""What attention pictures share: the color scale of weights, and the labels of tokens."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from interp.plots.palette import FONT, INK, PAPER

WEIGHT = ("#FFFFFF", "#6AAED6", "#08306B")
"""White at 0, dark blue at the largest weight."""

_SPACE = "\N{OPEN BOX}"

_VISIBLE = str.maketrans({"\n": "\u21b5", "\r": "\u21b5", "\t": "\u21e5"})  # arrows


def token_label(token: str) -> str:
    r"""Write a token as a label, without its leading space and with line ends and tabs as arrows.

    Args:
        token: text of the token

    Returns:
        One line, never empty.

    >>> token_label(" Mary"), token_label("\n"), token_label(" ")
    ('Mary', '↵', '␣')
    """
    return token.translate(_VISIBLE).removeprefix(" ").replace(" ", _SPACE) or _SPACE


def labels_of(array: xr.DataArray, dim: str) -> list[str]:
    """Labels along a dimension: the tokens, if there are any, else the coordinates."""
    token = f"{dim}_token"
    if token in array.coords:
        return [token_label(str(text)) for text in array[token].values]
    return [str(label) for label in array[dim].values]


def places_of(array: xr.DataArray, dim: str) -> list[str]:
    """Distinct labels along a dimension: tokens, each followed by its position."""
    names = labels_of(array, dim)
    if f"{dim}_token" not in array.coords:
        return names
    return [f"{name} ({at})" for name, at in zip(names, array[dim].values, strict=True)]


def require_dims(array: xr.DataArray, dims: Sequence[str], name: str) -> np.ndarray:
    """Return the numbers with their dimensions in order; raise ValueError if there are others."""
    if set(array.dims) != set(dims):
        raise ValueError(
            f"{name} needs the dims ({', '.join(dims)}), not {array.dims}; "
            "select one of a dimension with .sel(layer=0, head=1), or take a mean over it"
        )
    values = array.transpose(*dims).values.astype(float)
    if not (values.size and np.isfinite(values).all() and values.min() >= 0):
        raise ValueError(f"{name} needs weights that are finite and not negative")
    return values


def title_of(weights: xr.DataArray) -> str:
    """The title, with the selected head, layer or token."""
    title = str(weights.attrs.get("title", ""))
    one = {dim: weights[dim].item() for dim in ("layer", "head") if _is_selected(weights, dim)}
    if len(one) == 2:
        return f"{title}, head {one['layer']}.{one['head']}"
    after = f"{title}, layer {one['layer']}" if "layer" in one else title
    if not _is_selected(weights, "query"):
        return after
    start = weights["query_token"].item() if "query_token" in weights.coords else ""
    position = weights["query"].item()
    named = f"\u201c{token_label(start)}\u201d ({position})" if start else str(position)
    return f"{after}, from {named}"


def _is_selected(weights: xr.DataArray, dim: str) -> bool:
    return dim in weights.coords and weights[dim].ndim == 0


def dress(figure: go.Figure, title: str, height: int) -> go.Figure:
    """Set a figure's title, fonts and margins, in place."""
    return figure.update_layout(
        template="plotly_white",
        title={"text": title, "x": 0.02, "font": {"size": 15}},
        font={"family": FONT, "color": INK, "size": 12},
        plot_bgcolor=PAPER,
        height=height,
        margin={"l": 50, "r": 20, "t": 50, "b": 50},
    )


def colorbar(unit: str) -> dict[str, object]:
    """The bar that shows what the colors mean."""
    return {"title": {"text": f"{unit}<br> ", "side": "top"}, "thickness": 12, "outlinewidth": 0}
