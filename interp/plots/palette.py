"""The colors of every figure: one for each class of heads, and the scales of numbers.

    red, blue         what hurts the task, what helps it: `DIVERGING`, white at zero
    purple, green     below and above zero, where neither helps or hurts: `SIGNED`, white at zero
    white to green    a size, a probability or another fraction, from zero: `SEQUENTIAL`

A head that helps the task is blue in every figure, whatever is measured: what it writes is positive
and what its ablation changes is negative, so results say in their attr `helps` which sign speaks
for the part ("positive" or "negative"), and `scale_of` turns the scale accordingly. Red and blue
are used for nothing else on a scale.

The class colors are from Okabe and Ito's and Paul Tol's sets, which are distinct under the common
forms of color blindness; the scales are ColorBrewer's RdBu, PRGn and Greens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from interp.circuits import CLASSES
from interp.circuits.classes import MLP_CLASS

KIND_COLORS: Mapping[str, str] = MappingProxyType(
    {
        "previous token": "#332288",
        "duplicate token": "#AA4499",
        "induction": "#009E73",
        "S-inhibition": "#E69F00",
        "name mover": "#0072B2",
        "backup name mover": "#3FA0DB",
        "negative name mover": "#D55E00",
        "S suppressor": "#9A4A2F",
        "mover": "#117F9C",
        "backup mover": "#44739E",
        "negative mover": "#882255",
        "foil suppressor": "#5F3A8C",
        "other": "#767676",
    }
)
NODE_COLORS: Mapping[str, str] = MappingProxyType({**KIND_COLORS, MLP_CLASS: "#6B5B00"})
"""The classes of heads, and MLPs."""

KIND_SYMBOLS: Mapping[str, str] = MappingProxyType(
    dict(
        zip(
            CLASSES,
            (
                "triangle-right",
                "square",
                "hexagon",
                "cross",
                "circle",
                "circle-open",
                "triangle-down",
                "triangle-down-open",
                "diamond",
                "star",
                "diamond-open",
                "square-open",
                "x",
            ),
            strict=True,
        )
    )
)
"""The plotly marker of each class, so that no figure depends on color alone."""

INK = "#1F2933"
MUTED = "#5B6673"
PAPER = "#FFFFFF"
FONT = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"

_RDBU = (
    "#67001F",
    "#B2182B",
    "#D6604D",
    "#F4A582",
    "#FDDBC7",
    "#F7F7F7",
    "#D1E5F0",
    "#92C5DE",
    "#4393C3",
    "#2166AC",
    "#053061",
)
Stops = tuple[tuple[float, str], ...]
"""A plotly color scale: fractions from 0 to 1, each with its color."""


def _stops(colors: Sequence[str]) -> Stops:
    return tuple((i / (len(colors) - 1), color) for i, color in enumerate(colors))


DIVERGING: Stops = _stops(_RDBU)
"""What hurts and what helps: red at the lowest value, near-white in the middle, blue at the top."""

HELPS, HURTS = _RDBU[-2], _RDBU[1]
"""The blue of what helps the task, and the red of what hurts it, where there are no shades."""

SIGNED: Stops = _stops(
    (
        "#40004B",
        "#762A83",
        "#9970AB",
        "#C2A5CF",
        "#E7D4E8",
        "#F7F7F7",
        "#D9F0D3",
        "#A6DBA0",
        "#5AAE61",
        "#1B7837",
        "#00441B",
    )
)
"""Signed numbers that are not about the task: purple at the lowest value, green at the highest."""

SEQUENTIAL: Stops = _stops(("#FFFFFF", "#74C476", "#00441B"))
"""Sizes and probabilities: white at 0, dark green at the largest."""

ACCENT = "#7B3294"
"""What stands out, for instance points that a search chose."""

_BOUNDED = ("probability", "fraction")
"""Units with 1 as their largest value."""


@dataclass(frozen=True, slots=True)
class Scale:
    """A color scale and the values at its ends.

    Args:
        stops: the colors
        low: value at its lower end
        high: value at its upper end
    """

    stops: Stops
    low: float
    high: float

    def color(self, value: float) -> str:
        """The color of a value; beyond the ends it is that of the end."""
        place = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        after = next(i for i, (at, _) in enumerate(self.stops) if place <= at or at == 1)
        after = max(after, 1)
        (start, one), (end, other) = self.stops[after - 1], self.stops[after]
        return mix(one, other, (place - start) / (end - start))


def sign_that_helps(attrs: Mapping[Any, Any]) -> int:
    """Which sign of a result speaks for a part that helps the task.

    Args:
        attrs: attrs of the result; its `helps` is "positive", "negative" or missing

    Returns:
        1 or -1, or 0 if the result does not say.
    """
    return {"positive": 1, "negative": -1}.get(str(attrs.get("helps", "")), 0)


def scale_of(
    values: np.ndarray, attrs: Mapping[Any, Any] = MappingProxyType({}), limit: float | None = None
) -> Scale:
    """The color scale of some numbers.

    Args:
        values: the numbers; NaN is ignored
        attrs: attrs of the result: `helps` as for `sign_that_helps`, and `unit`
        limit: size at which the scale ends, the same for figures that are to be compared; by
            default the largest size there is, or 1 for probabilities and fractions

    Returns:
        Red to blue, from `-limit` to `limit`, for what helps or hurts the task, with blue on the
        side that helps; without `helps`, white to green from 0 to the limit if nothing is negative,
        and else purple to green.

    Raises:
        ValueError: the limit is not above 0
    """
    if limit is not None and not limit > 0:
        raise ValueError(f"limit must be above 0; it is {limit}")
    finite = values[np.isfinite(values)]
    largest = limit or float(np.abs(finite).max(initial=0.0)) or 1.0
    helps = sign_that_helps(attrs)
    if helps:
        turned = tuple((1 - at, color) for at, color in reversed(DIVERGING))
        return Scale(DIVERGING if helps > 0 else turned, -largest, largest)
    bounded = str(attrs.get("unit", "")) in _BOUNDED and largest <= 1 and limit is None
    if finite.size and finite.min() >= 0:
        return Scale(SEQUENTIAL, 0.0, 1.0 if bounded else largest)
    return Scale(SIGNED, -largest, largest)


def shade(value: float, attrs: Mapping[Any, Any]) -> str:
    """The flat color of one value: blue if it helps the task, red if it hurts it.

    Args:
        value: the value
        attrs: as for `sign_that_helps`

    Returns:
        `HELPS` or `HURTS`; `INK` for zero, and if the result does not say what helps.
    """
    sign = sign_that_helps(attrs) * value
    return HELPS if sign > 0 else HURTS if sign < 0 else INK


def meaning(attrs: Mapping[Any, Any]) -> str:
    """What the colors of a figure of these values mean, as a sentence for its caption.

    Args:
        attrs: as for `sign_that_helps`

    Returns:
        For instance "Blue (negative) helps the task, red (positive) hurts it."; "" if the result
        does not say what helps.
    """
    sign = sign_that_helps(attrs)
    if not sign:
        return ""
    good, bad = ("positive", "negative") if sign > 0 else ("negative", "positive")
    return f"Blue ({good}) helps the task, red ({bad}) hurts it."


def diverging(value: float, limit: float) -> str:
    """The color of a value on the diverging scale.

    Args:
        value: the value; beyond the limits it gets the end color
        limit: end of the scale, which runs from `-limit` to `limit`; above 0

    Returns:
        A hex color.

    Raises:
        ValueError: the limit is not above 0

    >>> diverging(0.0, 2.0)
    '#F7F7F7'
    """
    if not limit > 0:
        raise ValueError(f"limit must be above 0; it is {limit}")
    place = (min(max(value / limit, -1.0), 1.0) + 1) / 2 * (len(_RDBU) - 1)
    low = min(int(place), len(_RDBU) - 2)
    return mix(_RDBU[low], _RDBU[low + 1], place - low)


def mix(start: str, end: str, fraction: float) -> str:
    """Mix two colors.

    Args:
        start: hex color at fraction 0
        end: hex color at fraction 1
        fraction: point between the two, from 0 to 1

    Returns:
        A hex color.
    """
    pairs = zip(_rgb(start), _rgb(end), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * fraction):02X}" for a, b in pairs)


def ink_on(background: str) -> str:
    """The text color, dark or white, that contrasts more with a background (WCAG 2).

    Args:
        background: hex color

    Returns:
        `INK` or `PAPER`.
    """
    return max((INK, PAPER), key=lambda text: contrast(text, background))


def contrast(first: str, second: str) -> float:
    """The WCAG 2 contrast ratio of two colors.

    Args:
        first: hex color
        second: hex color

    Returns:
        A ratio from 1 (equal) to 21 (black on white); text needs 4.5, shapes 3.
    """
    dark, light = sorted((_luminance(first), _luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def _luminance(color: str) -> float:
    parts = [c / 255 for c in _rgb(color)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
