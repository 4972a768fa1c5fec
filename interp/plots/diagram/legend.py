"""The legend of a circuit diagram: one entry for each kind of mark in the diagram."""

import xarray as xr

from interp.circuits import Circuit
from interp.circuits.published.connections import raises_metric
from interp.plots.diagram.grid import LOGITS
from interp.plots.diagram.marks import rect, sign, text
from interp.plots.diagram.shapes import Layout, Rect, text_width
from interp.plots.palette import MUTED, Scale

_SIZE, _LEFT, _GAP, _LINE = 12.5, 24.0, 26.0, 26.0

NAMES = {"q": "queries", "k": "keys", "v": "values"}

Entry = tuple[float, list[str]]  # its width, and its marks from (0, 0)


def legend(
    placed: Layout, circuit: Circuit, effects: xr.DataArray | None, scale: Scale
) -> tuple[list[str], float]:
    """Explain the marks, below the sentence, in as many lines as needed.

    Args:
        placed: the diagram
        circuit: the circuit
        effects: the effects that shade the heads, if any
        scale: the scale of the shades

    Returns:
        The marks, and the total height of diagram and legend.
    """
    read = {letter for wire in placed.wires for letter in wire.edge.inputs}
    entries = [_wire_entry()] if placed.wires else []
    if any(wire.dashed for wire in placed.wires):
        entries.append(_dashed_entry())
    entries += [_letter_entry(x, f"read as {NAMES[x]}") for x in ("q",) if x in read]
    if keys := "".join(x for x in "kv" if x in read):
        words = "keys and values" if len(keys) == 2 else NAMES[keys]
        entries.append(_letter_entry(" ".join(keys), f"read as {words}"))
    writers = [w.edge.sender for w in placed.wires if w.edge.receiver == LOGITS and not w.dashed]
    for verb, plus in (("raises", True), ("lowers", False)):
        some = [group.kind for group in writers if raises_metric(circuit, group) is plus]
        if some:
            entries.append(_sign_entry(some[0], f"{verb} the logit difference", plus))
    if effects is not None:
        entries.append(_scale_entry(effects, scale))

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


def _dashed_entry() -> Entry:
    line = f'<path d="M0 8h26" stroke="{MUTED}" stroke-width="1.8" stroke-dasharray="6 5"/>'
    words = "it acts, but by no single measured path: by several together, or by other tokens"
    return 32 + text_width(words, _SIZE), [line, _label(32.0, words)]


def _sign_entry(kind: str, meaning: str, plus: bool) -> Entry:
    disc = sign(9.0, 8.0, kind, plus=plus)
    return 24 + text_width(meaning, _SIZE), [disc, _label(24.0, meaning)]


def _scale_entry(effects: xr.DataArray, scale: Scale) -> Entry:
    """A strip of the scale with its ends, what it measures, and what its colors mean."""
    low, high = (f"{end:+.2f}".replace("-", "\N{MINUS SIGN}") for end in (scale.low, scale.high))
    named = [str(effects.attrs[k]) for k in ("title", "unit") if effects.attrs.get(k)]
    words = ", ".join([*named, "blue helps the task, red hurts it"])
    start = text_width(low, _SIZE) + 4
    cell = 110 / len(scale.stops)
    strip = [
        rect(Rect(start + i * cell, 0.0, cell + 0.4, 15.0), color)
        for i, (_, color) in enumerate(scale.stops)
    ]
    after = start + 114
    end = after + text_width(high, _SIZE) + 8
    return end + text_width(words, _SIZE), [
        *strip,
        _label(0.0, low),
        _label(after, high),
        _label(end, words),
    ]
