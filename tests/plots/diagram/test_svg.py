"""The drawing: complete, valid XML, self-contained."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
import xarray as xr

from interp.circuits import Circuit, Member, known_circuit, published_circuit
from interp.plots import circuit_html, circuit_svg, example_of
from interp.plots.palette import KIND_COLORS, diverging

SVG = "{http://www.w3.org/2000/svg}"


def effects(layers=12):
    values = np.zeros((layers, 12))
    values[9, 9], values[10, 7] = -1.5, 0.75
    attrs = {"title": "Direct effect", "unit": "logits"}
    return xr.DataArray(values, dims=("layer", "head"), attrs=attrs)


def pills(svg):
    """The label, hover text and fill of every head."""
    groups = [
        g for g in ElementTree.fromstring(svg).iter(f"{SVG}g") if g.find(f"{SVG}title") is not None
    ]
    return {
        g.findtext(f"{SVG}text"): (g.findtext(f"{SVG}title"), g.find(f"{SVG}rect").get("fill"))
        for g in groups
    }  # fmt: skip


def test_all_heads_with_what_they_are():
    found = pills(circuit_svg(published_circuit("ioi", "gpt2")))
    assert found.keys() == {head.label for head in published_circuit("ioi", "gpt2").heads}
    assert found["5.5"] == ("5.5: induction head at S2", "#FFFFFF")


def test_effects_shade_heads_on_a_symmetric_scale():
    svg = circuit_svg(published_circuit("ioi", "gpt2"), effects=effects())
    found = pills(svg)
    assert found["9.9"] == (
        "9.9: name mover head at END, -1.500 logits",
        diverging(-1.5, 1.5),
    )
    assert found["10.7"][1] == diverging(0.75, 1.5)
    assert found["9.6"][1] == diverging(0.0, 1.5)
    assert "Direct effect, logits" in svg
    assert "+1.50" in svg


def test_signs_toward_the_logit_difference():
    svg = circuit_svg(published_circuit("ioi", "gpt2"))
    root = ElementTree.fromstring(svg)
    discs = [circle.get("fill") for circle in root.iter(f"{SVG}circle")]
    plus = [d for d in re.findall(r'd="(M[^"]*)"', svg) if re.search(r"h9M.*v9", d)]
    minus = [d for d in re.findall(r'd="(M[^"]*)"', svg) if d.endswith("h9")]
    assert (len(plus), len(minus)) == (3, 2)  # two movers and one negative, each kind in the legend
    assert discs.count(KIND_COLORS["negative name mover"]) == 2


def test_it_is_described_in_words():
    root = ElementTree.fromstring(circuit_svg(published_circuit("ioi", "gpt2")))
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title") == "Circuit of gpt2: 26 heads"
    words = root.findtext(f"{SVG}desc")
    assert "S-inhibition heads at END: 7.3, 7.9, 8.6, 8.10." in words
    assert "previous token at S1+1 to induction at S2 (keys and values)" in words


def test_names_are_escaped():
    circuit = Circuit('<b>&"x"\'', (Member("0.0@<END>", "other"), *()))
    sentence = [("<i>&", "<END>"), ('"to"', "END")]
    root = ElementTree.fromstring(circuit_svg(circuit, example=sentence))
    texts = {text.text for text in root.iter(f"{SVG}text")}
    assert {"<i>&", '"to"', "<END>"} <= texts
    assert root.findtext(f"{SVG}title") == 'Circuit of <b>&"x"\': 1 heads'


def test_nothing_comes_from_outside():
    page = circuit_html(published_circuit("ioi", "gpt2"), effects=effects())
    assert page.startswith("<!doctype html>")
    assert set(re.findall(r"https?://[^\s\"']+", page)) == {"http://www.w3.org/2000/svg"}
    assert "<script" not in page
    assert "url(" not in page


@pytest.mark.parametrize("heads", [(), (Member("3.1@END", "name mover"),)])
def test_small_circuits(heads):
    assert len(pills(circuit_svg(Circuit("mini", heads)))) == len(heads)


def test_a_missing_effect_leaves_the_head_white():
    svg = circuit_svg(published_circuit("ioi", "gpt2"), effects=effects() * np.nan)
    assert {fill for _, fill in pills(svg).values()} == {"#FFFFFF"}


def test_wrong_effects():
    circuit = published_circuit("ioi", "gpt2")
    with pytest.raises(ValueError, match=r"dims \(layer, head\).*mean\("):
        circuit_svg(circuit, effects=effects().expand_dims("prompt"))
    with pytest.raises(KeyError, match="heads outside effects, which is 11 layers x 12 heads"):
        circuit_svg(circuit, effects=effects(layers=11))


def test_measured_connections_are_described():
    known = known_circuit("ioi", n=1)
    drawing = circuit_svg(known.circuit, example=example_of(known.model, known.task))
    assert "duplicate token at S2 to S-inhibition at END (keys and values)" in drawing
    assert "input at S1 to name mover at END (keys)" in drawing
