"""PNG: the drawing as a plotly figure, and what is missing said plainly."""

import shutil
from base64 import b64decode
from importlib.util import find_spec

import pytest

from interp.circuits import published_circuit
from interp.plots import circuit_png, circuit_svg
from interp.plots.diagram.png import as_figure

IOI = published_circuit("ioi", "gpt2")


def test_the_figure_holds_the_drawing_at_its_size():
    svg = circuit_svg(IOI)
    figure = as_figure(svg)
    (image,) = figure.layout.images
    kind, _, data = image.source.partition(";base64,")
    assert (kind, b64decode(data).decode()) == ("data:image/svg+xml", svg)
    assert f'width="{figure.layout.width}" height="{figure.layout.height}"' in svg
    with pytest.raises(ValueError, match="width and a height"):
        as_figure("<svg></svg>")


def test_without_kaleido_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("interp.plots.diagram.png.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "interp\[png\]".*circuit_svg'):
        circuit_png(IOI, tmp_path / "circuit.png")
    assert not list(tmp_path.iterdir())


def test_without_a_browser_the_error_says_so(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no Chrome here.")

    monkeypatch.setattr("interp.plots.diagram.png.find_spec", lambda name: object())
    monkeypatch.setattr("plotly.graph_objects.Figure.to_image", fail)
    with pytest.raises(RuntimeError, match=r"no Chrome here\. It needs Chrome or Chromium"):
        circuit_png(IOI, tmp_path / "circuit.png")


def test_a_scale_is_above_zero(tmp_path):
    with pytest.raises(ValueError, match=r"scale must be above 0, not 0\.0"):
        circuit_png(IOI, tmp_path / "circuit.png", scale=0.0)


@pytest.mark.skipif(find_spec("kaleido") is None, reason="needs kaleido, which is not installed")
@pytest.mark.skipif(
    not any(shutil.which(name) for name in ("chromium", "chrome", "google-chrome")),
    reason="needs Chrome or Chromium, which is not there",
)
def test_it_is_a_png_of_that_size(tmp_path):
    path = circuit_png(IOI, tmp_path / "new" / "circuit.png", scale=1.0)
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    figure = as_figure(circuit_svg(IOI))
    size = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    assert size == (figure.layout.width, figure.layout.height)
