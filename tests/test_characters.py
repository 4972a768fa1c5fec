"""Whatever stands in a token, drawings are XML and pages can be written."""

import html
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from interp.characters import escape, printable
from interp.circuits import published_circuit
from interp.plots import AttentionView, attention_arcs, attention_heatmap, circuit_html, circuit_svg
from interp.report import Drawing, Report, Section, Table

CONTROLS = [chr(code) for code in (*range(0x20), 0x7F, 0x85, 0xD800, 0xDFFF, 0xFFFE, 0xFFFF)]
ANY = "".join(CONTROLS) + "<&>\"' \N{GRINNING FACE}"


def weights(tokens):
    n = len(tokens)
    array = xr.DataArray(np.full((n, n), 1 / n), {"query": range(n), "key": range(n)})
    return array.assign_coords(
        query_token=("query", tokens), key_token=("key", tokens)
    ).assign_attrs(title=ANY, unit="probability")


@given(st.text(st.characters(codec=None)))
def test_escaped_text_is_xml_and_as_long(text):
    assert len(printable(text)) == len(text)
    read = ElementTree.fromstring(f'<a b="{escape(text)}">{escape(text)}</a>').text or ""
    assert read == printable(text).replace("\r\n", "\n").replace("\r", "\n")


def test_other_text_stays():
    text = "Mary \u00e9 \u4e2d \U0001f600 \u200d \t\n"
    assert printable(text) == text and escape("<a>", quote=False) == html.escape("<a>", quote=False)


@pytest.mark.parametrize("token", [*CONTROLS, ANY])
def test_arcs_are_xml(token):
    svg = attention_arcs(weights([token, f" {token}", "x"]))
    ElementTree.fromstring(svg).find(".")
    svg.encode()
    Drawing(svg)


def test_circuits_are_xml():
    example = [(ANY, role) for role in ("IO", "S1", "S1+1", "S2", "END")]
    circuit = replace(published_circuit("ioi", "gpt2"), source=ANY)
    ElementTree.fromstring(circuit_svg(circuit, example=example))
    circuit_html(circuit, example=example).encode()


def test_pages_can_be_written(tmp_path):
    section = Section(ANY, ANY, [Table([{ANY: ANY}], ANY), ANY])
    Report(ANY, ANY, [section], (), {ANY: ANY}).save(tmp_path / "report.html")
    assert "\0" not in (tmp_path / "report.html").read_text(encoding="utf-8")
    attention_heatmap(weights([ANY, "x"])).to_html().encode()
    patterns = weights([ANY, "x"]).expand_dims(layer=[0], head=[0])
    AttentionView(patterns.where(patterns["key"] <= patterns["query"], 0.0), title=ANY).save(
        tmp_path / "view.html"
    )
