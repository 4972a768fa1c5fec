"""The circuit diagram as PNG: the SVG, rendered by a browser that kaleido controls.

kaleido is optional (`pip install "interp[png]"`) and needs Chrome or Chromium on the machine.
"""

from base64 import b64encode
from importlib.util import find_spec
from pathlib import Path
from re import search

import plotly.graph_objects as go
import xarray as xr

from interp.circuits import Circuit
from interp.plots.diagram.shapes import EXAMPLE, Example
from interp.plots.diagram.svg import circuit_svg


def circuit_png(
    circuit: Circuit,
    path: str | Path,
    *,
    effects: xr.DataArray | None = None,
    example: Example = EXAMPLE,
    scale: float = 2.0,
) -> Path:
    """Write the drawing of `circuit_svg` to a PNG file.

    Args:
        circuit: as for `circuit_svg`
        path: the file; missing folders are created
        effects: as for `circuit_svg`
        example: as for `circuit_svg`
        scale: pixels of the picture per pixel of the drawing

    Returns:
        The path.

    Raises:
        ValueError: as for `circuit_svg`, or `scale` is not above 0
        KeyError: as for `circuit_svg`
        ImportError: kaleido is not installed
        RuntimeError: kaleido finds no browser, or the browser fails
    """
    if not scale > 0:
        raise ValueError(f"scale must be above 0, not {scale}")
    figure = as_figure(circuit_svg(circuit, effects=effects, example=example))
    if find_spec("kaleido") is None:
        raise ImportError(
            'A PNG is drawn through kaleido, which is not installed: pip install "interp[png]". '
            "circuit_svg and circuit_html need neither it nor a browser."
        )
    try:
        picture = figure.to_image(format="png", scale=scale)
    except Exception as error:  # whatever error the browser or kaleido raises
        raise RuntimeError(
            f"kaleido could not draw the PNG: {error} It needs Chrome or Chromium; install one or "
            "name it in the environment variable BROWSER_PATH. circuit_svg needs no browser."
        ) from error
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture)
    return path


def as_figure(svg: str) -> go.Figure:
    """Make a plotly figure that shows only an SVG drawing, at the drawing's size.

    Args:
        svg: one `<svg>` element with a width and a height in pixels

    Returns:
        The figure.

    Raises:
        ValueError: the element has no width or height
    """
    size = search(r'<svg[^>]* width="(\d+)" height="(\d+)"', svg)
    if size is None:
        raise ValueError("the drawing needs a width and a height in pixels, as circuit_svg has")
    width, height = (int(length) for length in size.groups())
    source = "data:image/svg+xml;base64," + b64encode(svg.encode()).decode()
    place = {"xref": "paper", "yref": "paper", "x": 0, "y": 1, "sizex": 1, "sizey": 1}
    figure = go.Figure()
    figure.add_layout_image(source=source, sizing="stretch", layer="below", **place)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    no_margin = {"l": 0, "r": 0, "t": 0, "b": 0}
    return figure.update_layout(width=width, height=height, margin=no_margin, template="none")
