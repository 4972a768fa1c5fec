"""What a section of a report can hold: tables, figures and drawings.

A string is a paragraph (or several, with an empty line between them).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from interp.characters import printable

if TYPE_CHECKING:
    from pandas import DataFrame, Series
    from plotly.graph_objects import Figure as PlotlyFigure
else:  # they take a second to import, and --help needs neither
    DataFrame = Series = PlotlyFigure = Any

Format = str | Callable[[Any], str]
"""The format of a column's numbers: a format spec such as ".3f", or a function."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table, with one line per row and the column names above.

    Args:
        data: a DataFrame (its index is not shown), or rows that map column names to values
        caption: one or two sentences: what it shows, and the units
        formats: column name -> format; other numbers are written with three decimals unless they
            are integers, and with a real minus sign; missing values are a dash, booleans are yes or
            no

    Raises:
        KeyError: `formats` names a column that the data lacks
    """

    data: DataFrame | Sequence[Mapping[str, Any]]
    caption: str = ""
    formats: Mapping[str, Format] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = [name for name in self.formats if name not in self.frame.columns]
        if unknown:
            raise KeyError(
                f"formats names {', '.join(map(repr, unknown))}; the columns of the table are "
                f"{', '.join(map(repr, self.frame.columns))}"
            )

    @property
    def frame(self) -> DataFrame:
        """The data as a DataFrame."""
        import pandas as pd

        if isinstance(self.data, pd.DataFrame):
            return self.data
        names = list(dict.fromkeys(name for row in self.data for name in row))
        rows = [[row.get(name) for name in names] for row in self.data]
        return pd.DataFrame(rows, columns=[printable(str(name)) for name in names], dtype=object)

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
        figure: the figure; it stays interactive
        caption: what is shown, and what colors and axes mean
    """

    figure: PlotlyFigure
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Drawing:
    """An SVG drawing, such as a circuit diagram.

    Args:
        svg: one `<svg>` element, which enters the page unchanged, so pass only what you trust
        caption: what is shown, and what colors and lines mean

    Raises:
        ValueError: the text is not one `<svg>` element
    """

    svg: str
    caption: str = ""

    def __post_init__(self) -> None:
        text = self.svg.strip()
        if not (text.startswith("<svg") and text.endswith("</svg>")):
            raise ValueError(
                f"a drawing is one <svg> element, and this text starts with {text[:30]!r}; "
                "plots.circuit_svg makes one"
            )


Item = str | Table | Figure | Drawing
"""What a section may hold after its text."""


def _is_missing(value: Any) -> bool:
    import pandas as pd

    return bool(pd.isna(value)) if pd.api.types.is_scalar(value) else False


def _is_numeric(column: Series) -> bool:
    import numpy as np

    present = [value for value in column if not _is_missing(value)]
    return bool(present) and all(
        isinstance(value, Real) and not isinstance(value, bool | np.bool_) for value in present
    )


def _cell(value: Any, how: Format) -> str:
    import numpy as np

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
