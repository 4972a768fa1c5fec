"""What a section of a report can hold: tables, figures and drawings.

A string is a paragraph (or several, with an empty line between them).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

Format = str | Callable[[Any], str]
"""How the numbers of a column are written: a format spec such as ".3f", or a function."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table, with one line a row and the column names above.

    Args:
        data: A DataFrame (its index is not shown), or rows that map column names to values.
        caption: One or two sentences: what it shows, the units.
        formats: Column name to format; others are written with three decimals if they are not
            whole, with a real minus sign. Missing values are a dash, truth values yes or no.

    Raises:
        KeyError: `formats` names a column that the data lacks.
    """

    data: pd.DataFrame | Sequence[Mapping[str, Any]]
    caption: str = ""
    formats: Mapping[str, Format] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = [name for name in self.formats if name not in self.frame.columns]
        if unknown:
            raise KeyError(
                f"formats names {', '.join(map(repr, unknown))}; the columns of the table are "
                f"{', '.join(map(repr, self.frame.columns))}."
            )

    @property
    def frame(self) -> pd.DataFrame:
        """The data as a DataFrame."""
        if isinstance(self.data, pd.DataFrame):
            return self.data
        names = list(dict.fromkeys(name for row in self.data for name in row))
        rows = [[row.get(name) for name in names] for row in self.data]
        return pd.DataFrame(rows, columns=names, dtype=object)

    def columns(self) -> list[tuple[str, bool]]:
        """The name of each column, and whether it holds numbers."""
        return [(str(name), _is_numeric(self.frame[name])) for name in self.frame.columns]

    def rows(self) -> list[list[str]]:
        """The cells as text."""
        columns = [
            [_cell(value, self.formats.get(str(name), "")) for value in self.frame[name]]
            for name in self.frame.columns
        ]
        return [list(row) for row in zip(*columns, strict=True)]


@dataclass(frozen=True, slots=True)
class Figure:
    """A plotly figure.

    Args:
        figure: The figure; it stays interactive.
        caption: What is shown, and what colors and axes mean.
    """

    figure: go.Figure
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Drawing:
    """An SVG drawing, such as a circuit diagram.

    Args:
        svg: One `<svg>` element. It enters the page as it is: pass only what you trust.
        caption: What is shown, and what colors and lines mean.

    Raises:
        ValueError: The text is not one `<svg>` element.
    """

    svg: str
    caption: str = ""

    def __post_init__(self) -> None:
        text = self.svg.strip()
        if not (text.startswith("<svg") and text.endswith("</svg>")):
            raise ValueError(
                f"A drawing is one <svg> element, and this text starts with {text[:30]!r}; "
                "plots.circuit_svg makes one."
            )


Item = str | Table | Figure | Drawing


def _is_missing(value: Any) -> bool:
    return bool(pd.isna(value)) if pd.api.types.is_scalar(value) else False


def _is_numeric(column: pd.Series) -> bool:
    present = [value for value in column if not _is_missing(value)]
    return bool(present) and all(
        isinstance(value, Real) and not isinstance(value, bool | np.bool_) for value in present
    )


def _cell(value: Any, how: Format) -> str:
    if _is_missing(value):
        return "\N{EN DASH}"
    if callable(how):
        return how(value)
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if not isinstance(value, Real):
        return str(value)
    spec = how or ("d" if isinstance(value, Integral) else ".3f")
    return format(value, spec).replace("-", "\N{MINUS SIGN}")
