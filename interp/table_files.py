"""Read a table of prompts from a CSV or JSON file, before torch or pandas is imported.

A CSV file has a header, and its columns are separated by commas. A JSON file holds a list of
records, [{"clean": ..., "corrupted": ...}, ...]; or one record on each line (JSON Lines). All are
UTF-8. `interp.tasks.from_table` says what the columns mean.
"""

import csv
import io
import json
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, NamedTuple

COLUMNS = ("clean", "corrupted", "answer", "foil")
"""The columns that every table needs."""

LABELS = ("group", "template", "order")
"""Columns that label the prompts, if they are there."""

WRITTEN = ("answer_id", "foil_id", "prompt", "result", "", "Unnamed: 0")
"""Columns of tables that interp and pandas write, which are neither labels nor roles."""

JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")


class Rows(NamedTuple):
    """A table as it was read.

    Args:
        columns: names of the columns
        rows: the cells of each row, as many as there are columns
    """

    columns: list[str]
    rows: list[list[Any]]


def read_rows(path: str | Path, kind: Literal["csv", "json"] | None = None) -> Rows:
    """Read a table from a file.

    Args:
        path: the file
        kind: "csv" or "json"; None takes files that end in .json, .jsonl or .ndjson as JSON, and
            all others as CSV

    Returns:
        The columns and rows.

    Raises:
        FileNotFoundError: the file does not exist
        ValueError: the file is not UTF-8, is empty, or is not well-formed
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder, not a table" if path.is_dir() else "no table"
        text = f"{str(path)!r} {what}" if path.is_dir() else f"{what} {str(path)!r}"
        raise FileNotFoundError(f"{text}; give a CSV or JSON file, or in Python a DataFrame")
    try:
        text = path.read_text(encoding="utf-8-sig")  # with or without a byte-order mark
    except UnicodeDecodeError as error:
        raise ValueError(
            f"table {str(path)!r} is not UTF-8 (byte {error.start}); save it as UTF-8, or read it "
            "with pandas.read_csv(..., encoding='latin-1', dtype=str) and pass the DataFrame"
        ) from error
    if not text.strip():
        raise ValueError(
            f"table {str(path)!r} is empty; it needs prompts with the columns {list(COLUMNS)}"
        )
    if kind is None:
        kind = "json" if path.suffix.lower() in JSON_SUFFIXES else "csv"
    name = f"table {str(path)!r}"
    return _of_json(text, name) if kind == "json" else _of_csv(text, name)


def role_columns(columns: Sequence[str]) -> list[str]:
    """The columns that hold roles: all that have no other meaning.

    Args:
        columns: names of the columns

    Returns:
        The roles, in the order of the table.
    """
    return [one for one in dict.fromkeys(columns) if one not in (*COLUMNS, *LABELS, *WRITTEN)]


def require_columns(columns: Sequence[str], roles: Sequence[str]) -> None:
    """Refuse a table that lacks a column or has one twice.

    Args:
        columns: names of the columns that the table has
        roles: the columns that hold roles

    Raises:
        ValueError: a column is missing, or occurs twice
    """
    needed = [*COLUMNS, *roles]
    for column in needed:
        if column not in columns:
            near = get_close_matches(column, columns, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ValueError(
                f"the table has no column {column!r}; it has {list(columns)} and needs "
                f"{needed}{hint}"
            )
    for column in (*needed, *LABELS):
        if list(columns).count(column) > 1:
            raise ValueError(f"the table has the column {column!r} more than once; keep one")


def _of_csv(text: str, name: str) -> Rows:
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    except csv.Error as error:
        raise ValueError(f"{name} is not well-formed CSV: {error}") from error
    header, *rows = lines
    if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
        raise ValueError(
            f"{name} has a single column, {header[0]!r}; its columns must be separated by commas"
        )
    for row, cells in enumerate(rows):
        if len(cells) != len(header):
            raise ValueError(
                f"row {row}: there are {len(cells)} cells, and the header has {len(header)}; put a "
                "text that holds a comma in double quotes"
            )
    return Rows(header, [list(cells) for cells in rows])


def _of_json(text: str, name: str) -> Rows:
    if text.lstrip().startswith("["):
        records = [(f"row {i}", one) for i, one in enumerate(_parsed(text, name))]
    else:
        lines = [(i, line) for i, line in enumerate(text.splitlines(), 1) if line.strip()]
        records = []
        for row, (i, line) in enumerate(lines):
            one = _parsed(line, f"line {i} of {name}", " (expected a list of records or, in JSON "
                          "Lines, one record on each line)")  # fmt: skip
            records.append((f"row {row}", one))
    if not records:
        raise ValueError(f"{name} has no rows; a task needs at least one prompt")
    columns: list[str] = []
    for where, record in records:
        if not isinstance(record, dict):
            raise ValueError(
                f'{where}: expected a record, such as {{"clean": ..., "corrupted": ...}}; got '
                f"{record!r:.60}"
            )
        columns += [key for key in record if key not in columns]
    for where, record in records:
        for column in columns:
            if column not in record:
                raise ValueError(
                    f"{where}: the record has no {column!r}, which others have; it has "
                    f"{list(record)}"
                )
    return Rows(columns, [[record[column] for column in columns] for _, record in records])


def _parsed(text: str, name: str, hint: str = "") -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        twice = [key for key in keys if keys.count(key) > 1]
        if twice:
            raise ValueError(f"{name} has a record with {twice[0]!r} more than once; keep one")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{name} is not JSON: {error.msg} in line {error.lineno}, column {error.colno}{hint}"
        ) from error
