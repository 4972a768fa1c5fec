"""All heads of one prompt as an interactive page that needs no network.

The page holds the weights once, as base64 bytes: round(255 weight) for each query and the keys up
to it, and for value weighting the length of every value vector in the same form. It draws them on
canvases. Choose a head in the grid (or with the arrow keys), then point at a token in the text or
in the picture to see what it attends to.
"""

import json
from base64 import b64encode
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import xarray as xr
from jinja2 import Environment, StrictUndefined, Template
from jinja2.loaders import PackageLoader
from markupsafe import Markup

from interp.characters import escape, printable
from interp.plots.attention.style import labels_of, require_dims


@dataclass(frozen=True, eq=False, repr=False)
class AttentionView:
    """An interactive view of the attention of every head in one prompt.

    In a notebook it displays itself; `save` writes it to a file.

    Args:
        patterns: dims `layer`, `head`, `query`, `key`, with weights from 0 to 1 and none on later
            tokens, such as the result of `interp.heads.attention_patterns`; if the coord
            `value_norm` is present, the page can switch to value-weighted attention
        title: heading of the page
        head: (layer, head) to show first; by default the first head

    Raises:
        ValueError: the dims or weights do not fit, queries and keys are not the same positions, or
            the head is not in the patterns

    Example:
        >>> import interp
        >>> from interp.heads import attention_patterns
        >>> view = AttentionView(attention_patterns(interp.load("mini"), "Mary gave John a book"))
        >>> view.html().startswith("<!doctype html>")
        True
    """

    patterns: xr.DataArray
    title: str = "Attention"
    head: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Check that the page can show the weights."""
        values = require_dims(self.patterns, ("layer", "head", "query", "key"), "AttentionView")
        if not np.array_equal(self.patterns["query"], self.patterns["key"]):
            raise ValueError("AttentionView needs queries and keys at the same positions")
        if values.max() > 1 + 1e-5 or np.triu(values, 1).any():
            raise ValueError(
                "AttentionView needs weights of at most 1, and none from a token to a later one; "
                f"the largest is {values.max():.3g}"
            )
        if self.head is not None:
            self._place_of(self.head)

    def html(self) -> str:
        """Write the page as HTML.

        Returns:
            A complete HTML document; the same patterns give the same text.
        """
        payload = json.dumps(self._payload(), separators=(",", ":"))
        # Inside <script>, only "<" could end the data or open a comment.
        data = Markup(payload.replace("<", "\\u003c"))
        return _template().render(title=printable(self.title), data=data, **_parts())

    def save(self, path: str | Path) -> Path:
        """Write the page to a file.

        Args:
            path: the file; missing folders are created

        Returns:
            The path.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.html(), encoding="utf-8")
        return path

    def _repr_html_(self) -> str:
        """Show the page in a notebook, in a frame so that neither changes the other's style."""
        return (
            f'<iframe srcdoc="{escape(self.html())}" title="{escape(self.title)}" '
            'sandbox="allow-scripts" '
            'style="width:100%;height:820px;border:1px solid #8888;border-radius:6px"></iframe>'
        )

    def _payload(self) -> dict[str, object]:
        """The data that the page's script reads.

        Returns:
            `tokens`, `positions`, `layers`, `heads`: labels; `first`: index of the head shown
            first; `pattern`: base64 of bytes, round(255 weight), layer by layer, head by head,
            query by query, keys up to the query; `share`: base64 of round(255 |f(x_j)| / max),
            layer by layer, head by head, key by key, or None without `value_norm`.
        """
        patterns = self.patterns.transpose("layer", "head", "query", "key")
        rows, columns = np.tril_indices(patterns.sizes["key"])
        share = None
        if "value_norm" in patterns.coords:
            norms = patterns.value_norm.transpose("layer", "head", "key").values
            share = packed(norms / np.maximum(norms.max(-1, keepdims=True), 1e-30))
        return {
            "tokens": labels_of(patterns, "key"),
            "positions": [int(place) for place in patterns["key"].values],
            "layers": [str(layer) for layer in patterns["layer"].values],
            "heads": [str(head) for head in patterns["head"].values],
            "first": 0 if self.head is None else self._place_of(self.head),
            "pattern": packed(patterns.values[..., rows, columns]),
            "share": share,
        }

    def _place_of(self, head: tuple[int, int]) -> int:
        layers, heads = (self.patterns[dim].values.tolist() for dim in ("layer", "head"))
        if head[0] not in layers or head[1] not in heads:
            raise ValueError(f"there is no head {head[0]}.{head[1]} in the patterns")
        return layers.index(head[0]) * len(heads) + heads.index(head[1])


def packed(shares: np.ndarray) -> str:
    """Numbers from 0 to 1 as bytes, round(255 x), in base64."""
    return b64encode(np.rint(255 * np.clip(shares, 0, 1)).astype(np.uint8).tobytes()).decode()


def _parts() -> dict[str, Markup]:
    """The style and the script, which are not templates."""
    folder = files("interp.plots.attention")
    return {
        name: Markup((folder / f"view.{suffix}").read_text(encoding="utf-8"))
        for name, suffix in (("style", "css"), ("script", "js"))
    }


@lru_cache(maxsize=1)
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("interp.plots.attention", "."),
        autoescape=True,
        undefined=StrictUndefined,
    )
    return environment.get_template("view.html.jinja")
