"""A report as one HTML page that opens anywhere without a network.

Styles, drawings and, if there are figures, plotly's own script (about 5 MB, once) are inside the
page. All text is escaped. The page follows the reader's light or dark scheme; figures stay on
white.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from interp.characters import escape, printable
from interp.report.items import Drawing, Figure, Item, Table


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report.

    Args:
        heading: its heading
        text: paragraphs, with an empty line between them
        items: what follows the text: more paragraphs, tables, figures, drawings
    """

    heading: str
    text: str = ""
    items: Sequence[Item] = ()

    @property
    def anchor(self) -> str:
        """The anchor that links to the section use."""
        words = "".join(c.lower() if c.isalnum() else " " for c in self.heading).split()
        return "-".join(words) or "section"


@dataclass(frozen=True, slots=True)
class Download:
    """A file in the report's folder.

    Args:
        path: where it is, relative to the report
        about: what it contains

    Raises:
        ValueError: the path is absolute or an address; the report would not survive a move
    """

    path: str
    about: str = ""

    def __post_init__(self) -> None:
        if ":" in self.path or self.path.startswith(("/", "\\")):
            raise ValueError(
                f"a download is a file in the report's folder, and {self.path!r} is not relative; "
                "write the file there and pass its name"
            )


@dataclass(frozen=True, slots=True)
class Report:
    """A page with a title, a lead, sections, downloads and provenance.

    Args:
        title: the title
        lead: the main result in a few sentences
        sections: the parts
        downloads: the files that belong to the report
        provenance: name -> value: model, number of prompts, seed, versions, command

    >>> page = Report("A title", "What was found.", [Section("Behavior", "All is < 1.")])
    >>> "All is &lt; 1." in page.html()
    True
    """

    title: str
    lead: str = ""
    sections: Sequence[Section] = ()
    downloads: Sequence[Download] = ()
    provenance: Mapping[str, object] = field(default_factory=dict)

    def html(self) -> str:
        """Write the page as HTML.

        Returns:
            A complete HTML document; the same report gives the same text.
        """
        items = [item for section in self.sections for item in section.items]
        return _template().render(
            report=self,
            anchors=_distinct(section.anchor for section in self.sections),
            plotly=_plotly() if any(isinstance(i, Figure) for i in items) else "",
        )

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
            'style="width:100%;height:85vh;border:1px solid #ccc;border-radius:6px"></iframe>'
        )


def _distinct(names: Iterable[str]) -> list[str]:
    """Make names distinct by adding a number to repeated ones."""
    found: list[str] = []
    for name in names:
        number, candidate = 2, name
        while candidate in found:
            candidate, number = f"{name}-{number}", number + 1
        found.append(candidate)
    return found


def _paragraphs(text: str) -> list[str]:
    return [block.strip() for block in text.split("\n\n") if block.strip()]


# jinja and plotly are imported only when a page is written: --help needs neither.


def _plotly() -> str:
    """The script that draws the figures."""
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    return Markup(get_plotlyjs())


def _figure_html(item: Figure, name: str) -> str:
    """A figure's part of the page; a fixed name keeps the page the same from run to run."""
    from markupsafe import Markup

    config = {"responsive": True, "displaylogo": False}
    return Markup(
        item.figure.to_html(full_html=False, include_plotlyjs=False, div_id=name, config=config)
    )


def _finished(value: Any) -> Any:
    """A value as text, without the characters that no page can hold."""
    return printable(value) if type(value) is str else value


@lru_cache(maxsize=1)
def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("interp.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finished,
    )
    environment.filters |= {"paragraphs": _paragraphs, "figure": _figure_html, "raw": Markup}
    environment.tests |= {
        kind.__name__: lambda item, kind=kind: isinstance(item, kind)
        for kind in (Table, Figure, Drawing)
    }
    return environment.get_template("page.html.jinja")
