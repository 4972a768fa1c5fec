"""The page: every head linked to its numbers and its attention, in one file."""

import json
import re
from base64 import b64decode

import numpy as np
import pytest
import xarray as xr

from interp.circuits import Circuit, Member, published_circuit
from interp.plots import circuit_html

TOKENS = ["The", " war", "<b>", " to"]
SENTENCE = [("17", "XX"), ("45", "YY"), ("to", ""), ("17", "END")]


def attention(layers=12):
    weights = np.tril(np.arange(1.0, 17).reshape(4, 4))
    weights /= weights.sum(-1, keepdims=True)
    grid = {"layer": range(layers), "head": range(12), "query": range(4), "key": range(4)}
    return xr.DataArray(
        np.broadcast_to(weights, (layers, 12, 4, 4)), grid, list(grid)
    ).assign_coords(key_token=("key", TOKENS))


def score(value=-0.5, layers=12):
    grid = {"layer": range(layers), "head": range(12)}
    array = xr.DataArray(np.full((layers, 12), value), grid, list(grid))
    parts = {"mean": array, "low": array - 0.25, "high": array + 0.25}
    return xr.Dataset(parts, attrs={"unit": "logits"})


def evidence(page):
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    return json.loads(text)


def test_every_node_has_its_evidence():
    circuit = published_circuit("greater_than", "gpt2")
    scores = {"direct effect": score(), "plain": score(0.125)["mean"]}
    page = circuit_html(circuit, example=SENTENCE, scores=scores, attention=attention())
    found = evidence(page)
    drawn = re.findall(r'data-node="(.*?)" data-at="(.*?)"', page)
    assert {f"{label}@{at}" for label, at in drawn} == set(found["nodes"])
    assert len(drawn) == len(circuit.heads) + len(circuit.mlps)
    head = found["nodes"]["9.1@END"]
    assert head["rows"] == [
        ["direct effect", "\u22120.500 [\u22120.750, \u22120.250] logits"],
        ["plain", "+0.125"],
    ]
    assert head["about"] == "mover head at END: carry what a token says"
    weights = attention().values[0, 0][np.tril_indices(4)]
    assert list(b64decode(head["pattern"])) == np.rint(255 * weights).astype(int).tolist()
    assert found["tokens"] == ["The", "war", "<b>", "to"]
    mlp = found["nodes"]["m9@END"]
    assert (mlp["rows"], mlp["pattern"]) == ([], None)


def test_nothing_comes_from_outside_and_nothing_breaks_out():
    page = circuit_html(
        published_circuit("greater_than", "gpt2"),
        example=SENTENCE,
        scores={"</script><i>": score()},
        attention=attention(),
    )
    assert set(re.findall(r"https?://[^\s\"']+", page)) == {"http://www.w3.org/2000/svg"}
    assert page.count("</script>") == 2
    assert "url(" not in page and "import" not in page


def test_scores_without_attention_and_the_reverse():
    circuit = Circuit("gpt2", (Member("9.1@END", "mover"),))
    only_scores = evidence(circuit_html(circuit, scores={"x": score(np.nan)}))
    assert only_scores["tokens"] is None
    assert only_scores["nodes"]["9.1@END"] == {
        "label": "9.1", "about": "mover head at END: carry what a token says",
        "rows": [["x", "\u2013"]], "pattern": None,
    }  # fmt: skip
    assert evidence(circuit_html(circuit, attention=attention()))["nodes"]["9.1@END"]["rows"] == []


def test_wrong_evidence():
    circuit = published_circuit("greater_than", "gpt2")
    with pytest.raises(ValueError, match=r"score 'x' needs the dims \(layer, head\)"):
        circuit_html(circuit, example=SENTENCE, scores={"x": score().expand_dims("prompt")})
    with pytest.raises(KeyError, match=r"a score has no head 9\.1"):
        circuit_html(circuit, example=SENTENCE, scores={"x": score(layers=9)})
    with pytest.raises(KeyError, match=r"attention has no head 9\.1"):
        circuit_html(circuit, example=SENTENCE, attention=attention(layers=9))
    with pytest.raises(ValueError, match="circuit_html needs the dims"):
        circuit_html(circuit, example=SENTENCE, attention=attention()[0])
