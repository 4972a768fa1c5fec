"""The circuit diagram as a page, with each head linked to its evidence.

The page needs no network. With evidence, pointing at a head (or moving to it with the tab key)
shows its numbers and its attention next to the diagram, and clicking pins them.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files

import numpy as np
import xarray as xr
from jinja2 import Environment, StrictUndefined, Template
from jinja2.loaders import PackageLoader
from markupsafe import Markup

from interp.characters import printable
from interp.circuits import Circuit, Member
from interp.parts import Head, unit_of
from interp.plots.attention.style import labels_of, require_dims
from interp.plots.attention.view import packed
from interp.plots.diagram.shapes import EXAMPLE, Example, note_of
from interp.plots.diagram.svg import circuit_svg

Score = xr.Dataset | xr.DataArray
"""One number per head, dims `layer`, `head`; or a dataset with `mean`, `low` and `high`."""


def circuit_html(
    circuit: Circuit,
    *,
    effects: xr.DataArray | None = None,
    example: Example = EXAMPLE,
    scores: Mapping[str, Score] | None = None,
    attention: xr.DataArray | None = None,
) -> str:
    """Draw a circuit as an HTML page that needs no network.

    Args:
        circuit: as for `circuit_svg`
        effects: as for `circuit_svg`
        example: as for `circuit_svg`
        scores: name -> a score of every head: an array with dims `layer`, `head`, or a dataset from
            `mean_effect`, which has intervals. The attr `unit` is written after the number.
        attention: every head's pattern in one prompt, dims `layer`, `head`, `query`, `key`, such as
            the result of `interp.heads.attention_patterns`

    Returns:
        A complete HTML document; without `scores` and `attention` it has no script.

    Raises:
        ValueError: as for `circuit_svg`, or a score or the attention has other dims
        KeyError: as for `circuit_svg`, or a head is outside a score or the attention
    """
    drawing = circuit_svg(circuit, effects=effects, example=example)
    data = None
    if scores or attention is not None:
        text = json.dumps(_evidence(circuit, scores or {}, attention), separators=(",", ":"))
        data = Markup(text.replace("<", "\\u003c"))  # nothing else could end the script's data
    folder = files("interp.plots.diagram")
    parts = {
        name: Markup((folder / f"page.{suffix}").read_text(encoding="utf-8"))
        for name, suffix in (("style", "css"), ("script", "js"))
    }
    title = f"Circuit of {circuit.model}"
    return _template().render(title=printable(title), drawing=Markup(drawing), data=data, **parts)


def _evidence(
    circuit: Circuit, scores: Mapping[str, Score], attention: xr.DataArray | None
) -> dict[str, object]:
    """The data that the page's script reads.

    Returns:
        `tokens`: labels, or None; `nodes`: "9.6@END" to `label`, `about` (a line), `rows` (name
        and number as text, of each score) and `pattern` (base64 of bytes, query by query, keys up
        to the query), or None.
    """
    for name, score in scores.items():
        values = score["mean"] if isinstance(score, xr.Dataset) else score
        if set(values.dims) != {"layer", "head"}:
            raise ValueError(
                f"score {name!r} needs the dims (layer, head), not {values.dims}; "
                "mean_effect makes such a dataset of effects by prompt"
            )
    if attention is not None:
        require_dims(attention, ("layer", "head", "query", "key"), "circuit_html")
    nodes: dict[str, object] = {}
    for members in circuit.groups().values():
        for one in members:
            head = one if isinstance(one.part, Head) else None
            nodes[str(one)] = {
                "label": one.label,
                "about": f"{one.kind}{' head' if head else ''} at {one.role}: {note_of(one.group)}",
                "rows": [[name, _number(score, head)] for name, score in scores.items() if head],
                "pattern": _pattern(attention, head) if head and attention is not None else None,
            }
    return {
        "tokens": None if attention is None else labels_of(attention, "key"),
        "nodes": nodes,
    }


def _select(array: xr.DataArray, head: Member, what: str) -> xr.DataArray:
    try:
        return array.sel(layer=head.layer, head=unit_of(head.part))
    except (KeyError, IndexError) as error:
        raise KeyError(f"{what} has no head {head.label}, which the circuit has") from error


def _number(score: Score, head: Member) -> str:
    """A score with its interval and unit, as text."""
    if isinstance(score, xr.Dataset):
        parts = [score[key] for key in ("mean", "low", "high")]
    else:
        parts = [score]
    value, *ends = (float(_select(part, head, "a score")) for part in parts)
    if not np.isfinite(value):
        return "\N{EN DASH}"
    text = f"{value:+.3f}" + (f" [{ends[0]:+.3f}, {ends[1]:+.3f}]" if ends else "")
    return f"{text} {score.attrs.get('unit', '')}".rstrip().replace("-", "\N{MINUS SIGN}")


def _pattern(attention: xr.DataArray, head: Member) -> str:
    one = _select(attention, head, "attention").transpose("query", "key").values
    return packed(one[np.tril_indices(len(one))])


@lru_cache(maxsize=1)
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("interp.plots.diagram", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.jinja")
