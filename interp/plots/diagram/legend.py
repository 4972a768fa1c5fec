"""The legend of a circuit diagram: one entry for each kind of mark in the diagram."""

import xarray as xr

from interp.plots.diagram.grid import LOGITS
from interp.plots.diagram.marks import rect, sign, text
from interp.plots.diagram.shapes import Layout, Rect, text_width
from interp.plots.palette import DIVERGING, MUTED

_SIZE, _LEFT, _GAP, _LINE = 12.5, 24.0, 26.0, 26.0

NAMES = {"q": "queries", "k": "keys", "v": "values"}

Entry = tuple[float, list[str]]  # its width, and its marks from (0, 0)


def legend(placed: Layout, effects: xr.DataArray | None, limit: float) -> tuple[list[str], float]:
    """Explain the marks, below the sentence, in as many lines as needed.

    Args:
        placed: the diagram
        effects: the effects that shade the heads, if any
        limit: the shades run from `-limit` to `limit`

    Returns:
        The marks, and the total height of diagram and legend.
    """
    read = {letter for wire in placed.wires for letter in wire.edge.inputs}
    entries = [_wire_entry()] if placed.wires else []
    entries += [_letter_entry(x, f"read as {NAMES[x]}") for x in ("q",) if x in read]
    if keys := "".join(x for x in "kv" if x in read):
        words = "keys and values" if len(keys) == 2 else NAMES[keys]
        entries.append(_letter_entry(" ".join(keys), f"read as {words}"))
    kinds = [wire.edge.sender.kind for wire in placed.wires if wire.edge.receiver == LOGITS]
    for meaning, some in (
        ("raises the logit difference", [k for k in kinds if not k.startswith("negative")]),
        ("lowers the logit difference", [k for k in kinds if k.startswith("negative")]),
    ):
        if some:
            entries.append(_sign_entry(some[0], meaning))
    if effects is not None:
        entries.append(_scale_entry(effects, limit))

    marks, x, y = [], _LEFT, placed.height
    for width, drawing in entries:
        if x > _LEFT and x + width > placed.width - _LEFT:
            x, y = _LEFT, y + _LINE
        marks.append(f'<g transform="translate({x:.1f} {y:.1f})">{"".join(drawing)}</g>')
        x += width + _GAP
    return marks, y + 30


def _label(x: float, words: str) -> str:
    return text(x, 12.0, words, size=_SIZE)


def _wire_entry() -> Entry:
    line = f'<path d="M0 8h26" stroke="{MUTED}" stroke-width="1.8"/>'
    words = "what a token carries; in color, what a class writes"
    return 32 + text_width(words, _SIZE), [line, _label(32.0, words)]


def _letter_entry(letters: str, meaning: str) -> Entry:
    start = 8 + text_width(letters, _SIZE)
    marks = [text(0.0, 12.0, letters, size=_SIZE, italic=True), _label(start, meaning)]
    return start + text_width(meaning, _SIZE), marks


def _sign_entry(kind: str, meaning: str) -> Entry:
    return 24 + text_width(meaning, _SIZE), [sign(9.0, 8.0, kind), _label(24.0, meaning)]


def _scale_entry(effects: xr.DataArray, limit: float) -> Entry:
    """A strip of the diverging scale with its ends and what it measures."""
    low, high = f"\N{MINUS SIGN}{limit:.2f}", f"+{limit:.2f}"
    words = ", ".join(str(effects.attrs[k]) for k in ("title", "unit") if effects.attrs.get(k))
    start = text_width(low, _SIZE) + 4
    cell = 110 / len(DIVERGING)
    strip = [
        rect(Rect(start + i * cell, 0.0, cell + 0.4, 15.0), color)
        for i, (_, color) in enumerate(DIVERGING)
    ]
    after = start + 114
    end = after + text_width(high, _SIZE) + 8
    return end + text_width(words, _SIZE), [
        *strip,
        _label(0.0, low),
        _label(after, high),
        _label(end, words),
    ]
