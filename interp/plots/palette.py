"""The colors of every figure: one for each class of heads, and one diverging scale.

The class colors are from Okabe and Ito's and Paul Tol's sets, which are distinct under the common
forms of color blindness; the diverging scale is ColorBrewer's RdBu, with red below zero and blue
above.
"""

from collections.abc import Mapping
from types import MappingProxyType

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
DIVERGING: tuple[tuple[float, str], ...] = tuple(
    (i / (len(_RDBU) - 1), color) for i, color in enumerate(_RDBU)
)
"""A plotly color scale: red at the lowest value, near-white in the middle, blue at the highest."""


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
