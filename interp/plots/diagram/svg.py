"""The circuit diagram as SVG and as a page of its own.

Source: the figure follows Wang et al. 2022, Figure 2.
"""

from collections.abc import Iterable, Mapping
from html import escape

import numpy as np
import xarray as xr

from interp.circuits import KINDS, Circuit, CircuitHead, Group
from interp.plots.diagram.layout import layout
from interp.plots.diagram.legend import legend
from interp.plots.diagram.marks import arrow, centered, path, rect, sign, text
from interp.plots.diagram.shapes import (
    EXAMPLE,
    NOTE_SIZE,
    TITLE_SIZE,
    Box,
    Example,
    Layout,
    Rect,
    Token,
    Wire,
    title_of,
)
from interp.plots.palette import FONT, INK, KIND_COLORS, MUTED, PAPER, diverging, ink_on, mix

_BAND = "#F6F7F9"
_INPUT_NAMES = {"q": "queries", "k": "keys", "v": "values"}


def circuit_svg(
    circuit: Circuit,
    *,
    effects: xr.DataArray | None = None,
    example: Example = EXAMPLE,
) -> str:
    """Draw a circuit from the tokens (bottom) to the logits (top).

    Columns are token positions. A box holds the heads of one class, in the column where they act
    and in the class's color. A wire starts at the token or class that is read (gray: a token) and
    ends where its arrow says what it is read into: q for queries, k v for keys and values. The
    plus or minus on the way to the logits is the sign toward the logit difference. Pointing at a
    head shows what it is.

    Args:
        circuit: The heads, in any number.
        effects: Dims `layer`, `head`; shades each head on a scale centered at zero, red below,
            blue above. attrs `title` and `unit` label the scale, if present.
        example: The sentence in pieces, (text, role); its roles are the columns.

    Returns:
        An `<svg>` element without scripts, fonts or references to anything outside.

    Raises:
        ValueError: The sentence lacks END or the position of a head, or `effects` has other dims.
        KeyError: A head is outside `effects`.
    """
    placed = layout(circuit, example=example)
    values = {} if effects is None else _values(effects, circuit)
    unit = "" if effects is None else str(effects.attrs.get("unit", ""))
    limit = max((abs(v) for v in values.values() if np.isfinite(v)), default=0.0) or 1.0
    explanation, height = legend(placed, effects, limit)
    n_heads = len({head.label for head in circuit.heads})
    name = f"Circuit of {circuit.model}: {n_heads} heads"
    marks = [
        rect(Rect(0.0, 0.0, placed.width, height), PAPER),
        text(24.0, 25.0, name, size=17.0, bold=True),
        *(rect(column, _BAND, radius=10.0) for column in placed.columns),
        *_wires(placed.wires),
        *(mark for token in placed.tokens for mark in _token(token)),
        *_logits(placed, example),
        *(mark for box in placed.boxes for mark in _box(box, values, limit, unit)),
        *explanation,
    ]
    size = f'width="{placed.width:.0f}" height="{height:.0f}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
        f'viewBox="0 0 {placed.width:.0f} {height:.0f}" role="img" '
        f'aria-label="{escape(name)}" font-family="{escape(FONT)}">\n'
        f"<title>{escape(name)}</title>\n<desc>{escape(_description(circuit))}</desc>\n"
        + "\n".join(marks)
        + "\n</svg>\n"
    )


def circuit_html(
    circuit: Circuit,
    *,
    effects: xr.DataArray | None = None,
    example: Example = EXAMPLE,
) -> str:
    """Draw a circuit as a page that opens without a network.

    Args:
        circuit: As for `circuit_svg`.
        effects: As for `circuit_svg`.
        example: As for `circuit_svg`.

    Returns:
        A complete HTML document.

    Raises:
        ValueError: As for `circuit_svg`.
        KeyError: As for `circuit_svg`.
    """
    drawing = circuit_svg(circuit, effects=effects, example=example)
    title = escape(f"Circuit of {circuit.model}")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n"
        "body { margin: 0; background: #fff; color-scheme: light; overflow-x: auto; }\n"
        "svg { display: block; margin: 1rem auto; max-width: calc(100vw - 2rem); height: auto; "
        "min-width: 760px; }\n"
        "@media print { svg { min-width: 0; max-width: 100%; } @page { size: landscape; } }\n"
        f"</style>\n</head>\n<body>\n{drawing}</body>\n</html>\n"
    )


def _values(effects: xr.DataArray, circuit: Circuit) -> dict[CircuitHead, float]:
    if set(effects.dims) != {"layer", "head"}:
        raise ValueError(
            f"effects needs the dims (layer, head), not {effects.dims}; "
            'take the mean over the others first: effects.mean("prompt", keep_attrs=True).'
        )
    try:
        return {h: float(effects.sel(layer=h.layer, head=h.head)) for h in circuit.heads}
    except (KeyError, IndexError) as error:
        raise KeyError(
            f"The circuit of {circuit.model} has heads outside effects, which is "
            f"{effects.sizes['layer']} layers x {effects.sizes['head']} heads."
        ) from error


def _description(circuit: Circuit) -> str:
    """The circuit in words, for those who cannot see it."""
    groups = (
        f"{title_of(group)} at {group.position}: {', '.join(h.label for h in heads)}."
        for group, heads in circuit.groups().items()
    )
    flows = (
        f"{sender.kind} at {sender.position} to {receiver.kind} at {receiver.position}"
        + (f" ({' and '.join(_INPUT_NAMES[letter] for letter in inputs)})" if inputs else "")
        for sender, receiver, inputs in circuit.edges()
    )
    return " ".join(groups) + " Connections: " + "; ".join(flows) + "."


def _wires(wires: Iterable[Wire]) -> list[str]:
    """All wires; where two senders cross, the later one passes over with a gap in the earlier."""
    by_sender: dict[Group, list[Wire]] = {}
    for wire in wires:
        by_sender.setdefault(wire.edge.sender, []).append(wire)
    lines, labels = [], []
    for sender, group in by_sender.items():
        color = KIND_COLORS.get(sender.kind, MUTED)
        lines += [path(wire, _BAND, 6.0) for wire in group]
        for wire in group:
            lines += [path(wire, color, 1.8), arrow(wire, color)]
            x, y = wire.points[-1]
            if wire.edge.inputs:
                letters = " ".join(wire.edge.inputs)
                labels.append(text(x + 7, y + 18, letters, size=12.5, italic=True))
            else:
                labels.append(sign(x, (y + wire.points[0][1]) / 2 + 3, sender.kind))
    return lines + labels


def _token(token: Token) -> list[str]:
    place = token.rect
    if not token.role:
        return [centered(place, 20.0, token.text, size=15.0, color=MUTED)]
    return [
        rect(place, PAPER, stroke=MUTED, radius=5.0),
        centered(place, 20.0, token.text, size=15.0, bold=True),
        centered(place, place.h + 17, token.role, size=13.0, color=MUTED),
    ]


def _logits(placed: Layout, example: Example) -> list[str]:
    words = {role: piece for piece, role in example}
    pair = f": {words['IO']} minus {words['S1']}" if {"IO", "S1"} <= words.keys() else ""
    bar = rect(placed.logits, INK, radius=6.0)
    return [bar, centered(placed.logits, 22.0, "logits" + pair, size=15.0, bold=True, color=PAPER)]


def _box(box: Box, values: Mapping[CircuitHead, float], limit: float, unit: str) -> list[str]:
    kind, color = box.group.kind, KIND_COLORS[box.group.kind]
    tint, dash = mix(color, PAPER, 0.88), "5 4" if kind == "other" else ""
    marks = [
        rect(box.rect, tint, stroke=color, radius=8.0, dash=dash),
        centered(box.rect, 20.0, title_of(box.group), size=TITLE_SIZE, bold=True),
        centered(box.rect, 36.0, KINDS[kind], size=NOTE_SIZE, color=MUTED),
    ]
    for head, place in box.pills:
        value = values.get(head, np.nan)
        fill = diverging(value, limit) if np.isfinite(value) else PAPER
        about = f"{head.label}: {kind} head at {head.position}"
        if head in values:
            about += f", {value:+.3f} {unit}".rstrip()
        pill = rect(place, fill, stroke=color, radius=place.h / 2)
        label = centered(place, 16.0, head.label, size=13.0, color=ink_on(fill))
        marks.append(f"<g><title>{escape(about)}</title>{pill}{label}</g>")
    return marks
