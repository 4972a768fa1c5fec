"""Attention figures show the weights they are given, where they belong, under their tokens."""

from xml.etree import ElementTree

import numpy as np
import pytest

import interp
from interp.heads import attention_between, attention_flow, attention_patterns, attention_rollout
from interp.plots import attention_arcs, attention_grid, attention_heatmap
from interp.plots.attention.style import token_label
from tests.helpers import random_model, random_task

IDS = [7, 3, 3, 11, 5]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def patterns():
    return attention_patterns(random_model(), IDS)


def with_tokens(array, tokens):
    return array.assign_coords(query_token=("query", tokens), key_token=("key", tokens))


# ---- all heads -----------------------------------------------------------------------------


def test_each_tile_of_the_grid_is_the_pattern_of_its_head(patterns):
    figure = attention_grid(patterns)
    sheet, (columns, rows) = figure.data[0].z, (figure.layout.xaxis, figure.layout.yaxis)
    assert sheet.shape == (3 * 6 - 1, 4 * 6 - 1)  # 5 tokens and a gap, none after the last
    assert rows.autorange == "reversed"
    for layer in range(3):
        for head in range(4):
            at = (columns.tickvals[head], rows.tickvals[layer])  # the tile's middle
            x, y = (int(middle) - 2 for middle in at)
            tile = sheet[y : y + 5, x : x + 5]
            np.testing.assert_allclose(tile, patterns.sel(layer=layer, head=head), atol=1e-6)
    assert np.isnan(sheet[5]).all() and np.isnan(sheet[:, 5]).all()
    assert list(columns.ticktext) == ["0", "1", "2", "3"]
    assert (figure.data[0].zmin, figure.data[0].zmax) == (0, 1)


def test_a_grid_takes_any_order_of_dims_and_roles(patterns):
    turned = patterns.transpose("key", "head", "query", "layer")
    np.testing.assert_array_equal(
        attention_grid(turned).data[0].z, attention_grid(patterns).data[0].z
    )
    task = random_task()
    roles = attention_between(random_model(), task).mean("prompt", keep_attrs=True)
    assert attention_grid(roles).data[0].z.shape == (3 * 3 - 1, 4 * 3 - 1)


# ---- one head ------------------------------------------------------------------------------


def test_one_head_with_its_tokens(patterns):
    one = with_tokens(patterns, ["<b>", " Mary", "\n", " ", "a&b"]).sel(layer=2, head=1)
    figure = attention_heatmap(one)
    cells = figure.data[0]
    np.testing.assert_allclose(cells.z, one)
    assert cells.zmax == pytest.approx(float(one.max()))
    labels = ("&lt;b&gt;", "Mary", "\u21b5", "\u2423", "a&amp;b")
    assert figure.layout.xaxis.ticktext == figure.layout.yaxis.ticktext == labels
    assert cells.text[4][1] == "a&amp;b (4) \u2192 Mary (1)"
    assert figure.layout.title.text == "Attention, head 2.1"
    assert attention_heatmap(one, largest=1.0).data[0].zmax == 1


def test_rollout_and_flow_of_a_layer_and_of_a_token(patterns):
    rollout = attention_rollout(patterns)
    figure = attention_heatmap(rollout.sel(layer=1))
    np.testing.assert_allclose(figure.data[0].z, rollout[1])
    assert figure.layout.title.text == "Attention rollout, layer 1"
    flow = with_tokens(attention_flow(patterns), [*"abcde"]).sel(query=3)
    figure = attention_heatmap(flow)
    np.testing.assert_allclose(figure.data[0].z, flow.transpose("layer", "key"))
    assert figure.layout.title.text == "Attention flow, from \u201cd\u201d (3)"
    assert figure.data[0].text[2][1] == "layer 2 \u2192 b (1)"
    assert figure.layout.yaxis.title.text == "layer"


def test_roles_are_named_once():
    roles = attention_between(random_model(), random_task()).mean("prompt", keep_attrs=True)
    one = roles.sel(layer=0, head=3)
    figure = attention_heatmap(one)
    assert figure.layout.xaxis.ticktext == ("S2", "END")
    assert figure.data[0].text[1][0] == "END \u2192 S2"
    assert "END \u2192 S2" in attention_arcs(one, threshold=0.001, query="END")


# ---- arcs ----------------------------------------------------------------------------------


def by_hand(patterns, weights):
    one = with_tokens(patterns, [" The", " cat", "</svg>", " sat", "."]).sel(layer=0, head=0).copy()
    one.values[:] = 0
    for (query, key), weight in weights.items():
        one.values[query, key] = weight
    return one


def test_arcs_are_the_weights_that_are_large_enough(patterns):
    drawn = attention_arcs(by_hand(patterns, {(3, 1): 0.8, (4, 2): 0.4, (4, 4): 0.2, (3, 0): 0.09}))
    root = ElementTree.fromstring(drawn)
    words = {t.text: float(t.get("x")) for t in root.iter(f"{SVG}text")}
    thin, thick = root.findall(f"{SVG}path")  # the strongest is drawn last, above the others
    assert thin[0].text == ". (4) \u2192 </svg> (2): 0.400"
    assert thick[0].text == "sat (3) \u2192 cat (1): 0.800"
    start, end = (float(x) for x in (thick.get("d")[1:].split()[0], thick.get("d").split()[-2]))
    assert (start, end) == (words["sat"], words["cat"])
    (itself,) = root.findall(f"{SVG}circle")
    assert float(itself.get("cx")) == words["."]
    for name in ("stroke-width", "stroke-opacity"):
        assert float(thick.get(name)) > float(thin.get(name))
    assert root.get("aria-label") == "Attention, head 0.0, 3 arcs of at least 0.1"


def test_no_arc_leaves_the_drawing(patterns):
    for weights in ({(4, 0): 1.0}, {(1, 0): 1.0}, {}):
        root = ElementTree.fromstring(attention_arcs(by_hand(patterns, weights)))
        for arc in root.findall(f"{SVG}path"):
            base, height = (float(arc.get("d").split()[i].split("A")[0]) for i in (1, 2))
            assert 4 < height <= base - 4


def test_arcs_of_one_token(patterns):
    one = by_hand(patterns, {(3, 1): 0.8, (4, 2): 0.4})
    root = ElementTree.fromstring(attention_arcs(one, query=4))
    assert [arc[0].text for arc in root.findall(f"{SVG}path")] == [". (4) \u2192 </svg> (2): 0.400"]


# ---- what they share -----------------------------------------------------------------------


@pytest.mark.parametrize("draw", [attention_grid, attention_heatmap, attention_arcs])
def test_other_dims_and_weights_below_zero_are_refused(patterns, draw):
    fits = patterns if draw is attention_grid else patterns.sel(layer=0, head=0)
    draw(fits)
    with pytest.raises(ValueError, match=f"{draw.__name__} needs the dims"):
        draw(fits.isel(key=0))
    with pytest.raises(ValueError, match="finite and not negative"):
        draw(-fits)
    with pytest.raises(ValueError, match="finite and not negative"):
        draw(fits.where(fits > 0))
    with pytest.raises(ValueError, match="finite and not negative"):
        draw(fits.where(fits > 0, np.inf))


def test_arcs_need_one_set_of_positions(patterns):
    one = patterns.sel(layer=0, head=0)
    with pytest.raises(ValueError, match="same positions"):
        attention_arcs(one.isel(query=[3, 4]))
    with pytest.raises(ValueError, match="above 0; it is 0.0"):
        attention_arcs(one, threshold=0.0)
    with pytest.raises(ValueError, match="no query 9; the positions are 0 to 4"):
        attention_arcs(one, query=9)


def test_labels_of_real_tokens():
    tokenizer = interp.load("mini").tokenizer
    for text in ("Mary", " Mary", "\n", "\n\n", "  ", "\t", "<|endoftext|>"):
        label = token_label(text)
        assert label and label.isprintable() and not label[0].isspace()
    assert token_label(tokenizer.decode(tokenizer.encode(" Mary"))) == "Mary"
