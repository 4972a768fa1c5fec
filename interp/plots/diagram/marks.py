"""The marks of a circuit diagram as SVG elements: rectangles, text, wires, signs."""

from interp.characters import escape
from interp.plots.diagram.shapes import Rect, Wire
from interp.plots.palette import INK, MUTED, NODE_COLORS, PAPER

_CORNER = 6.0


def rect(place: Rect, fill: str, *, stroke: str = "", radius: float = 0.0, dash: str = "") -> str:
    """A filled rectangle, with a border if `stroke` has a color."""
    border = f' stroke="{stroke}" stroke-width="1.5"' if stroke else ""
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    where = f'x="{place.x:.1f}" y="{place.y:.1f}" width="{place.w:.1f}" height="{place.h:.1f}"'
    return f'<rect {where} rx="{radius:g}" fill="{fill}"{border}{dashes}/>'


def text(
    x: float,
    y: float,
    words: str,
    *,
    size: float,
    color: str = INK,
    bold: bool = False,
    italic: bool = False,
    anchor: str = "start",
) -> str:
    """A line of text; `y` is the baseline, `x` the end that `anchor` names."""
    style = (' font-weight="600"' if bold else "") + (' font-style="italic"' if italic else "")
    where = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {where} font-size="{size:g}" fill="{color}"{style}>{escape(words)}</text>'


def centered(
    place: Rect, below: float, words: str, *, size: float, color: str = INK, bold: bool = False
) -> str:
    """A line of text in the middle of a rectangle, its baseline `below` the top."""
    x, y = place.center, place.y + below
    return text(x, y, words, size=size, color=color, bold=bold, anchor="middle")


def path(wire: Wire, color: str, width: float) -> str:
    """A wire, as a line with rounded corners that ends under its arrowhead."""
    points = [*wire.points[:-1], (wire.points[-1][0], wire.points[-1][1] + 5)]
    commands = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        start, end = _toward(corner, before), _toward(corner, after)
        commands.append(f"L{start[0]:.1f} {start[1]:.1f}")
        commands.append(f"Q{corner[0]:.1f} {corner[1]:.1f} {end[0]:.1f} {end[1]:.1f}")
    commands.append(f"L{points[-1][0]:.1f} {points[-1][1]:.1f}")
    return f'<path d="{" ".join(commands)}" fill="none" stroke="{color}" stroke-width="{width}"/>'


def arrow(wire: Wire, color: str) -> str:
    """The arrowhead of a wire, which always points up."""
    x, y = wire.points[-1]
    return f'<path d="M{x:.1f} {y + 1:.1f} l-4.5 9 h9 z" fill="{color}"/>'


def sign(x: float, y: float, kind: str) -> str:
    """A disc in the class's color with a plus, or with a minus for negative movers."""
    negative = kind.startswith("negative")
    bars = f"M{x - 4.5:.1f} {y:.1f}h9" + ("" if negative else f"M{x:.1f} {y - 4.5:.1f}v9")
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="9" fill="{NODE_COLORS.get(kind, MUTED)}"/>'
        f'<path d="{bars}" stroke="{PAPER}" stroke-width="2.2"/>'
    )


def _toward(start: tuple[float, float], end: tuple[float, float]) -> tuple[float, float]:
    """The point a corner's radius from `start` toward `end`, or halfway if `end` is near."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    distance = abs(dx) + abs(dy)  # wires run along the axes
    share = min(_CORNER, distance / 2) / distance if distance else 0.0
    return start[0] + dx * share, start[1] + dy * share
