"""The page: everything is in it, once, escaped, and nothing comes from outside."""

from html.parser import HTMLParser

import plotly.graph_objects as go
import pytest

from interp.report import Download, Drawing, Figure, Report, Section, Table

NASTY = "<script>alert('&\"')</script>"
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """The elements of a page; fails where one is not closed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.texts.append(data.strip())

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def full(text="text"):
    dots = go.Figure(go.Scatter(x=[1, 2], y=[3, 4], name=text), layout={"title": {"text": text}})
    table = Table([{text: text, "n": 3}], text)
    return Report(
        text,
        text,
        [
            Section(text, text, [table, text, Figure(dots, text)]),
            Section(text, "", [Figure(dots, text), Drawing('<svg width="1"></svg>', text)]),
            Section("Third"),
        ],
        [Download("results file.json", text)],
        {text: text, "seed": 0},
    )


def test_everything_is_there_in_order():
    page = Page(
        Report(
            "Title",
            "One.\n\nTwo.",
            [Section("First", "Body.", [Table([{"a": 1.5}], "Caption."), "After."])],
            [Download("circuit.json", "the circuit")],
            {"model": "mini"},
        ).html()
    )
    shown = [text for text in page.texts if text]
    header, body = ["Title", "Title", "One.", "Two."], ["First", "Body.", "Caption.", "a", "1.500"]
    footer = ["Files", "circuit.json", ": the circuit", "Provenance", "model", "mini"]
    assert shown == [*header, *body, "After.", *footer]


def test_all_text_is_escaped():
    page = Page(full(NASTY).html())
    scripts = len(Page(full().html()).of("script"))
    assert len(page.of("script")) == scripts
    # title 2, lead 1, contents 2, first section 7, second section 3, provenance 2
    assert page.texts.count(NASTY) == 17


def test_plotly_is_inside_once_and_only_with_a_figure():
    with_figures, without = full().html(), Report("Title", "", [Section("A", "b")]).html()
    assert with_figures.count("plotly.js v") == 1
    assert with_figures.count("Plotly.newPlot(") == 2 + without.count("Plotly.newPlot(")
    assert len(without) < 20_000


def test_nothing_comes_from_outside():
    page = Page(full().html())
    assert page.of("link") == page.of("img") == page.of("iframe") == []
    assert all("src" not in script for script in page.of("script"))
    addresses = [link["href"] for link in page.of("a")]
    assert addresses == ["#text", "#text-2", "#third", "results%20file.json"]
    assert {"text", "text-2", "third"} <= {section.get("id") for section in page.of("section")}


def test_ids_are_unique_and_the_page_is_the_same_every_time():
    report = full()
    ids = [attributes["id"] for _, attributes in Page(report.html()).elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert report.html() == report.html()


def test_save_makes_the_folder(tmp_path):
    report = Report("Caf\N{LATIN SMALL LETTER E WITH ACUTE}")
    path = report.save(tmp_path / "out" / "report.html")
    assert path.read_text(encoding="utf-8") == report.html()


def test_in_a_notebook_it_is_a_frame_that_holds_the_page():
    report = Report("A \"quoted\" & 'odd' title")
    (frame,) = Page(report._repr_html_()).of("iframe")
    assert frame["srcdoc"] == report.html()


@pytest.mark.parametrize("path", ["/tmp/a.json", "https://a.b/c.json", "C:\\a.json"])
def test_downloads_lie_beside_the_page(path):
    with pytest.raises(ValueError, match="is not relative"):
        Download(path)
