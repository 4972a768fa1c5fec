"""The circuit diagram as SVG.

Source: the figure follows Wang et al. 2022, Figure 2.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import xarray as xr

from interp.characters import escape
from interp.circuits import Circuit, Member
from interp.circuits.classes import MLP_CLASS
from interp.circuits.members import Group
from interp.circuits.published.connections import connections_of
from interp.parts import unit_of
from interp.plots.diagram.grid import LOGITS
from interp.plots.diagram.layout import layout
from interp.plots.diagram.legend import NAMES, legend
from interp.plots.diagram.marks import arrow, centered, path, rect, sign, text
from interp.plots.diagram.shapes import (
    EXAMPLE,
    NOTE_SIZE,
    TITLE_SIZE,
    Box,
    Example,
    Layout,
    Piece,
    Rect,
    Wire,
    note_of,
    title_of,
)
from interp.plots.palette import FONT, INK, MUTED, NODE_COLORS, PAPER, diverging, ink_on, mix

_BAND = "#F6F7F9"


def circuit_svg(
    circuit: Circuit,
    *,
    effects: xr.DataArray | None = None,
    example: Example = EXAMPLE,
) -> str:
    """Draw a circuit, from the tokens (bottom) to the logits (top).

    Columns are token positions. A box holds the heads of one class, in the column where they act
    and in the color of the class. A wire starts at the token or class that is read (gray for
    tokens), and the label at its arrow is the input that reads it: q for queries, k v for keys and
    values. The plus or minus on the way to the logits is the sign toward the logit difference.
    Hovering over a head shows what it is.

    Args:
        circuit: the heads, in any number
        effects: dims `layer`, `head`; shades each head on a scale centered at zero, red below and
            blue above. The attrs `title` and `unit` label the scale, if present.
        example: the sentence in pieces (text, role), whose roles are the columns

    Returns:
        An `<svg>` element without scripts, fonts or references to anything outside.

    Raises:
        ValueError: the sentence lacks END or the position of a head, or `effects` has other dims
        KeyError: a head is outside `effects`
    """
    placed = layout(circuit, example=example)
    values = {} if effects is None else _values(effects, circuit)
    unit = "" if effects is None else str(effects.attrs.get("unit", ""))
    limit = max((abs(v) for v in values.values() if np.isfinite(v)), default=0.0) or 1.0
    explanation, height = legend(placed, effects, limit)
    n_heads, n_mlps = (len({n.label for n in some}) for some in (circuit.heads, circuit.mlps))
    name = f"Circuit of {circuit.model}: {n_heads} heads" + (f", {n_mlps} MLPs" if n_mlps else "")
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


def _values(effects: xr.DataArray, circuit: Circuit) -> dict[Member, float]:
    if set(effects.dims) != {"layer", "head"}:
        raise ValueError(
            f"effects needs the dims (layer, head), not {effects.dims}; "
            'take the mean over the others first: effects.mean("prompt", keep_attrs=True).'
        )
    try:
        return {h: float(effects.sel(layer=h.layer, head=unit_of(h.part))) for h in circuit.heads}
    except (KeyError, IndexError) as error:
        raise KeyError(
            f"the circuit of {circuit.model} has heads outside effects, which is "
            f"{effects.sizes['layer']} layers x {effects.sizes['head']} heads"
        ) from error


def _description(circuit: Circuit) -> str:
    """The circuit in words, for readers who cannot see it."""
    groups = (
        f"{title_of(group)} at {group.role}: {', '.join(h.label for h in heads)}."
        for group, heads in circuit.groups().items()
    )
    flows = (
        f"{sender.kind} at {sender.role} to {receiver.kind} at {receiver.role}"
        + (f" ({' and '.join(NAMES[letter] for letter in inputs)})" if inputs else "")
        for sender, receiver, inputs in connections_of(circuit)
    )
    return " ".join(groups) + " Connections: " + "; ".join(flows) + "."


def _wires(wires: Iterable[Wire]) -> list[str]:
    """All wires; where two senders cross, the later wire passes over a gap in the earlier one."""
    by_sender: dict[Group, list[Wire]] = {}
    for wire in wires:
        by_sender.setdefault(wire.edge.sender, []).append(wire)
    lines, labels = [], []
    for sender, group in by_sender.items():
        color = NODE_COLORS.get(sender.kind, MUTED)
        lines += [path(wire, _BAND, 6.0) for wire in group]
        for wire in group:
            lines += [path(wire, color, 1.8), arrow(wire, color)]
            x, y = wire.points[-1]
            if wire.edge.receiver.kind == LOGITS.kind:
                below = wire.points[-2][1]
                labels.append(sign(x, (y + below) / 2 + 3, sender.kind))
            elif wire.edge.inputs:
                letters = " ".join(wire.edge.inputs)
                labels.append(text(x + 7, y + 18, letters, size=12.5, italic=True))
    return lines + labels


def _token(token: Piece) -> list[str]:
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


def _box(box: Box, values: Mapping[Member, float], limit: float, unit: str) -> list[str]:
    kind, color = box.group.kind, NODE_COLORS[box.group.kind]
    tint, dash = mix(color, PAPER, 0.88), "5 4" if kind == "other" else ""
    marks = [
        rect(box.rect, tint, stroke=color, radius=8.0, dash=dash),
        centered(box.rect, 20.0, title_of(box.group), size=TITLE_SIZE, bold=True),
        centered(box.rect, 36.0, note_of(box.group), size=NOTE_SIZE, color=MUTED),
    ]
    for head, place in box.pills:
        value = values.get(head, np.nan)
        fill = diverging(value, limit) if np.isfinite(value) else PAPER
        what = kind if kind == MLP_CLASS else f"{kind} head"
        about = f"{head.label}: {what} at {head.role}"
        if head in values:
            about += f", {value:+.3f} {unit}".rstrip()
        pill = rect(place, fill, stroke=color, radius=place.h / 2)
        label = centered(place, 16.0, head.label, size=13.0, color=ink_on(fill))
        name = f'data-node="{escape(head.label)}" data-at="{escape(head.role)}"'
        marks.append(f"<g {name}><title>{escape(about)}</title>{pill}{label}</g>")
    return marks
