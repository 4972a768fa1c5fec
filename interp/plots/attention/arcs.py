"""One head as a graph: arcs from each token back to the tokens that it attends to."""

from itertools import accumulate

import numpy as np
import xarray as xr

from interp.characters import escape
from interp.plots.attention.style import WEIGHT, labels_of, places_of, require_dims, title_of
from interp.plots.diagram.marks import text
from interp.plots.diagram.shapes import text_width
from interp.plots.palette import FONT, INK, MUTED

_SIZE, _GAP, _MARGIN, _TALLEST = 14.0, 14.0, 24.0, 230.0


def attention_arcs(
    weights: xr.DataArray,
    *,
    threshold: float = 0.1,
    query: int | str | None = None,
) -> str:
    """Draw an arc above the text for each weight that is large enough.

    The right end of an arc is the token that attends, the left end is the token attended to; a disc
    over a token is its attention to itself. Width and darkness grow with the weight, up to the
    largest one drawn. Hovering over an arc shows its tokens and weight.

    Args:
        weights: dims `query`, `key`, with the same positions, such as one head of
            `attention_patterns` or of `attention_between`, averaged over prompts; the coord
            `key_token` has the text
        threshold: smallest weight to draw, above 0
        query: the position or role whose arcs to draw; by default all

    Returns:
        An `<svg>` element, on white.

    Raises:
        ValueError: the dims are others, queries and keys are not the same positions, a weight is
            negative or missing, the threshold is not above 0, or there is no such query
    """
    values = require_dims(weights, ("query", "key"), "attention_arcs")
    places = weights["key"].values.tolist()
    if weights["query"].values.tolist() != places:
        raise ValueError("attention_arcs needs queries and keys at the same positions")
    if not threshold > 0:
        raise ValueError(f"threshold must be above 0; it is {threshold}")
    if query is not None and query not in places:
        raise ValueError(
            f"there is no query {query}; the positions are {places[0]} to {places[-1]}"
        )
    names, spoken = labels_of(weights, "key"), places_of(weights, "key")
    widths = [text_width(name, _SIZE) + _GAP for name in names]
    ends = [_MARGIN + end for end in accumulate(widths)]
    x = [end - width / 2 for end, width in zip(ends, widths, strict=True)]
    shown = [
        (float(values[i, j]), i, j)
        for i, j in np.argwhere(values >= threshold).tolist()
        if query in (None, places[i])
    ]
    widest = max([abs(x[i] - x[j]) for _, i, j in shown], default=0.0)
    tall = min(_TALLEST, widest / 2)
    base = _MARGIN + max(tall, 24.0)
    largest = max([weight for weight, _, _ in shown], default=1.0)
    marks = [
        _arc(x[i], x[j], base, tall / (widest or 1.0) * abs(x[i] - x[j]), weight / largest,
             f"{spoken[i]} \u2192 {spoken[j]}: {weight:.3f}")
        for weight, i, j in sorted(shown)
    ]  # fmt: skip
    marks += [
        text(x[j], base + 24, name, size=_SIZE, anchor="middle", color=INK)
        for j, name in enumerate(names)
    ]
    marks += [
        text(x[j], base + 40, str(place), size=10.0, anchor="middle", color=MUTED)
        for j, place in enumerate(places)
        if spoken[j] != names[j]
    ]
    width, height = ends[-1] + _MARGIN, base + 52
    title = escape(f"{title_of(weights)}, {len(shown)} arcs of at least {threshold:g}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{title}" '
        f'font-family="{escape(FONT)}">\n<title>{title}</title>\n' + "\n".join(marks) + "\n</svg>\n"
    )


def _arc(start: float, end: float, base: float, height: float, share: float, about: str) -> str:
    """Half an ellipse from one token to another, or a disc over one token."""
    title, opacity = f"<title>{escape(about)}</title>", 0.2 + 0.8 * share
    if start == end:
        return (
            f'<circle cx="{start:.1f}" cy="{base:.1f}" r="{1.5 + 4.5 * share:.1f}" '
            f'fill="{WEIGHT[2]}" fill-opacity="{opacity:.2f}">{title}</circle>'
        )
    radii = f"{abs(start - end) / 2:.1f} {height:.1f}"
    curve = f"M{start:.1f} {base:.1f}A{radii} 0 0 0 {end:.1f} {base:.1f}"
    return (
        f'<path d="{curve}" fill="none" stroke="{WEIGHT[2]}" stroke-linecap="round" '
        f'stroke-width="{0.8 + 5 * share:.1f}" stroke-opacity="{opacity:.2f}">{title}</path>'
    )
