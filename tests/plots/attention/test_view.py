"""The interactive page: it holds the weights and the text, nothing from outside, and it works."""

import base64
import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr

from interp.heads import attention_patterns, value_weighted
from interp.plots import AttentionView
from tests.helpers import random_model

NASTY = ["</script>", "<b>bold</b>", '"quoted"', "&amp;", "\u2028", "<!--", "{{ 7 * 7 }}", " Mary"]


def random_patterns(n_layers=2, n_heads=3, tokens=NASTY, seed=0):
    generator, length = np.random.default_rng(seed), len(tokens)
    weights = np.tril(generator.gamma(0.3, size=(n_layers, n_heads, length, length)) + 1e-9)
    coords = {
        "layer": range(n_layers),
        "head": range(n_heads),
        "query": range(length),
        "key": range(length),
        "query_token": ("query", tokens),
        "key_token": ("key", tokens),
        "value_norm": (("layer", "head", "key"), generator.random((n_layers, n_heads, length))),
    }
    weights /= weights.sum(-1, keepdims=True)
    return xr.DataArray(weights, coords, ("layer", "head", "query", "key"))


class Page(HTMLParser):
    """The tags of a page with their attributes, and the text inside each script."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.inside = [], [], False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")
            self.inside = True

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "script"

    def handle_data(self, data):
        if self.inside:
            self.scripts[-1] += data


def data_of(page):
    return json.loads(Page(page).scripts[0])


def decoded(data):
    """Patterns and, if there are any, shares, as whoever reads the page would rebuild them."""
    layers, heads, n = len(data["layers"]), len(data["heads"]), len(data["tokens"])
    levels = iter(base64.b64decode(data["pattern"]))
    patterns = np.zeros((layers, heads, n, n))
    for layer, head, query in np.ndindex(layers, heads, n):
        for key in range(query + 1):
            patterns[layer, head, query, key] = next(levels) / 255
    assert next(levels, None) is None
    if data["share"] is None:
        return patterns, None
    shares = np.frombuffer(base64.b64decode(data["share"]), np.uint8) / 255
    return patterns, shares.reshape(layers, heads, n)


def test_the_page_holds_the_patterns():
    patterns = random_patterns()
    turned = patterns.transpose("key", "query", "head", "layer")
    found, shares = decoded(data_of(AttentionView(turned).html()))
    np.testing.assert_allclose(found, patterns, atol=0.5 / 255 + 1e-9)
    weighted = found * shares[:, :, None]
    np.testing.assert_allclose(weighted, value_weighted(patterns), atol=1 / 255)


def test_the_page_of_a_model():
    patterns = attention_patterns(random_model(), [7, 3, 3, 11, 5])
    data = data_of(AttentionView(patterns, head=(1, 2)).html())
    np.testing.assert_allclose(decoded(data)[0], patterns, atol=1 / 255)
    assert data["tokens"] == ["[7]", "[3]", "[3]", "[11]", "[5]"]
    assert data["positions"] == [0, 1, 2, 3, 4]
    assert (data["layers"][data["first"] // 4], data["heads"][data["first"] % 4]) == ("1", "2")


def test_weights_are_not_weighted_twice():
    patterns = value_weighted(random_patterns())
    data = data_of(AttentionView(patterns).html())
    np.testing.assert_allclose(decoded(data)[0], patterns, atol=1 / 255)
    assert data["share"] is None


def test_no_text_becomes_markup():
    page = AttentionView(random_patterns(), title="</title><script>alert(1)</script>").html()
    parsed, plain = Page(page), Page(AttentionView(random_patterns(tokens=[*"abcdefgh"])).html())
    assert [tag for tag, _ in parsed.tags] == [tag for tag, _ in plain.tags]
    assert len(parsed.scripts) == 2
    shown = data_of(page)["tokens"]
    assert shown[:4] == ["</script>", "<b>bold</b>", '"quoted"', "&amp;"]
    assert shown[5] == "<!--" and shown[7] == "Mary"


def test_nothing_comes_from_outside():
    page = AttentionView(random_patterns()).html()
    written = page.replace(Page(page).scripts[0], "")  # base64 may look like anything
    assert not re.search(r"https?:|//[a-z]|@import|url\(", written)
    for tag, attributes in Page(page).tags:
        assert tag not in ("link", "img", "iframe") and not attributes.keys() & {"src", "href"}
    (policy,) = (a["content"] for _, a in Page(page).tags if "http-equiv" in a)
    assert policy.startswith("default-src 'none'")  # the browser would refuse it


def test_a_page_of_gpt2_small_is_small():
    view = AttentionView(random_patterns(12, 12, [f" token{i}" for i in range(64)]))
    bytes_needed = 144 * (64 * 65 // 2 + 64)
    assert len(view.html().encode()) < bytes_needed * 4 / 3 + 25_000
    assert view.html() == view.html()


def test_in_a_notebook_and_as_a_file(tmp_path):
    view = AttentionView(random_patterns(), title='A "title"')
    frame = view._repr_html_()
    assert 'sandbox="allow-scripts"' in frame
    (attributes,) = (a for tag, a in Page(frame).tags if tag == "iframe")
    assert attributes["srcdoc"] == view.html()
    path = view.save(tmp_path / "new" / "attention.html")
    assert path.read_text(encoding="utf-8") == view.html()


def test_what_it_cannot_show_is_refused():
    patterns = random_patterns()
    with pytest.raises(ValueError, match="AttentionView needs the dims"):
        AttentionView(patterns.isel(layer=0))
    with pytest.raises(ValueError, match="same positions"):
        AttentionView(patterns.isel(query=[1, 2]))
    with pytest.raises(ValueError, match=r"at most 1, .* the largest is 2"):
        AttentionView(patterns * 2)
    with pytest.raises(ValueError, match="none from a token to a later one"):
        AttentionView((patterns + 0.1) / 2)
    with pytest.raises(ValueError, match="no head 2.0"):
        AttentionView(patterns, head=(2, 0))


# ---- in a browser --------------------------------------------------------------------------

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update --window-size=1200,900 "
    "--virtual-time-budget=2000 --dump-dom"
)
VISIT = """<script>addEventListener("load", () => {
  const $ = (id) => document.getElementById(id), seen = {};
  const press = (key) =>
    document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  const choose = (id, value) => {
    $(id).value = value;
    for (const kind of ["input", "change"]) $(id).dispatchEvent(new Event(kind));
  };
  const tile = $("grid").querySelectorAll("canvas")[4].getContext("2d");
  const now = () => [$("head-name").textContent, $("readout").textContent];
  seen.first = now();
  seen.pixel = [...tile.getImageData(2, 5, 1, 1).data];
  $("grid").querySelectorAll("button")[1].focus();
  $("grid").querySelectorAll("button")[1].click();
  press("ArrowDown");
  seen.down = now();
  $("text").querySelectorAll("button")[5].dispatchEvent(new PointerEvent("pointerenter"));
  seen.hover = now();
  $("text").querySelectorAll("button")[5].dispatchEvent(new PointerEvent("pointerleave"));
  choose("measure", "weighted");
  seen.weighted = now();
  choose("direction", "from");
  $("text").querySelectorAll("button")[0].click();
  seen.from = now();
  choose("picture", "arcs");
  seen.arcs = [$("sheet").getAttribute("aria-label"), $("threshold-label").hidden];
  seen.words = [...$("text").children].map((button) => button.textContent);
  document.title = JSON.stringify(seen);
});</script></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, which is not installed")
def test_a_reader_moves_between_heads_and_tokens(tmp_path):
    patterns = random_patterns()
    page = AttentionView(patterns, head=(0, 2)).html().replace("</body>", VISIT)
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    command = [CHROMIUM, *FLAGS.split(), f"--user-data-dir={tmp_path / 'profile'}"]
    command.append((tmp_path / "page.html").as_uri())
    dom = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    seen = json.loads(html.unescape(re.search(r"<title>(.*?)</title>", dom, re.DOTALL)[1]))
    names = data_of(page)["tokens"]

    def readout(weights, token, verb):
        """The three largest weights as the page writes them, from bytes."""
        order = sorted(range(8), key=lambda i: (-round(weights[i], 6), i))[:3]
        shown = [f"{names[i]} ({i}) {weights[i]:.2f}" for i in order if weights[i] >= 0.005]
        return f"{names[token]} ({token}) {verb}: {', '.join(shown)}"

    attention, shares = decoded(data_of(page))
    weighted = attention * shares[:, :, None]
    assert seen["first"] == ["Head 0.2", readout(attention[0, 2, 7], 7, "attends to")]
    assert seen["down"] == ["Head 1.1", readout(attention[1, 1, 7], 7, "attends to")]
    assert seen["hover"] == ["Head 1.1", readout(attention[1, 1, 5], 5, "attends to")]
    assert seen["weighted"] == ["Head 1.1", readout(weighted[1, 1, 7], 7, "attends to")]
    assert seen["from"] == ["Head 1.1", readout(weighted[1, 1, :, 0], 0, "is attended by")]
    assert seen["arcs"] == [f"arcs of head 1.1. {seen['from'][1]}", False]
    assert seen["words"] == names
    # the tile of head 1.1, token 5 to token 2, from white through mid to dark
    level = attention[1, 1, 5, 2]
    stops = [(255, 255, 255), (116, 196, 118), (0, 68, 27)]
    expected = [np.interp(level, [0, 0.5, 1], channel) for channel in zip(*stops, strict=True)]
    np.testing.assert_allclose(seen["pixel"], [*expected, 255], atol=1.5)
