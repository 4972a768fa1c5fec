"""The files of circuits: JSON that names its format and version, with one clear error otherwise.

    {"format": "interp.Circuit", "version": 1, "model": "gpt2", ...}

Numbers survive unchanged: JSON writes a float with as many digits as it needs, and NaN as null.
Arrays are written as lists with their dims, coordinates and attributes.
"""

import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

VERSION = 1
"""The version of the formats that this release writes, and the only one that it reads."""


def dumps(form: str, content: Mapping[str, Any]) -> str:
    """Write the text of a file.

    Args:
        form: name of the format, such as "interp.Circuit"
        content: its fields

    Returns:
        JSON text.
    """
    found = {"format": form, "version": VERSION, **content}
    return json.dumps(found, indent=2, allow_nan=False) + "\n"


def loads(form: str, text: str, needed: Sequence[str]) -> dict[str, Any]:
    """Read the text of a file.

    Args:
        form: name of the format that is expected
        text: the text
        needed: fields that must be there

    Returns:
        The fields.

    Raises:
        ValueError: the text is not JSON or has another format or version, or a field is missing
        TypeError: the argument is not a string
    """
    if not isinstance(text, str):
        raise TypeError(f"expected the text of a {form} file; got {type(text).__name__}")
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"a {form} file holds JSON, and this text does not: {error}") from error
    came = data.get("format") if isinstance(data, dict) else None
    if came != form:
        raise ValueError(
            f'expected a file of {form}, JSON with "format": "{form}" as its save() writes it; '
            + (f"this one has the format {came!r}" if came else "this JSON names no format")
        )
    if data.get("version") != VERSION:
        raise ValueError(
            f"this {form} file has version {data.get('version')!r}, and this release of interp "
            f"reads version {VERSION}; save it again with this release, or read it with the one "
            "that wrote it"
        )
    missing = [name for name in needed if name not in data]
    if missing:
        raise ValueError(f"this {form} file lacks {', '.join(missing)}")
    return data


def write(path: str | PathLike[str], text: str) -> None:
    """Write a text file, and create the folders that it lies in."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def read(path: str | PathLike[str]) -> str:
    """Read a text file.

    Args:
        path: the file

    Returns:
        Its text.

    Raises:
        ValueError: it is not text
        OSError: it cannot be read
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file: {error}") from error


def field(row: Any, name: str, kind: type | tuple[type, ...], what: str) -> Any:
    """Take a field out of a row of a file.

    Args:
        row: the row
        name: the field
        kind: the type that it must have
        what: what an error calls the row

    Returns:
        Its value.

    Raises:
        ValueError: it is missing or has another type
    """
    if not isinstance(row, dict) or name not in row:
        raise ValueError(f"{what} lacks {name}: {row!r}")
    value = row[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{name} of {what} cannot be {value!r}")
    return value


def array_record(array: xr.DataArray | xr.Variable) -> dict[str, Any]:
    """Write an array as plain lists.

    Args:
        array: numbers, booleans or strings

    Returns:
        `dims`, `shape`, `dtype`, `values`, `attrs`.
    """
    values = array.values
    if values.dtype.kind in "UOT":
        return _record(array, "str", values.astype(str).tolist())
    if values.dtype.kind == "f":
        flat = [float(x) if np.isfinite(x) else _odd(x) for x in values.ravel()]
        return _record(array, values.dtype.name, _nested(flat, values.shape))
    return _record(array, values.dtype.name, values.tolist())


def dataset_record(data: xr.Dataset) -> dict[str, Any]:
    """Write a dataset as plain lists.

    Args:
        data: the dataset

    Returns:
        `coords` and `values`, name -> `array_record`, and `attrs`.
    """
    return {
        "coords": {str(name): array_record(one.variable) for name, one in data.coords.items()},
        "values": {str(name): array_record(one.variable) for name, one in data.items()},
        "attrs": _plain(data.attrs),
    }


def dataset_of(record: Any, what: str) -> xr.Dataset:
    """Read what `dataset_record` writes.

    Args:
        record: the record
        what: what an error calls it

    Returns:
        The dataset.

    Raises:
        ValueError: it is not such a record
    """
    try:
        parts = {
            part: {name: _variable(one) for name, one in record[part].items()}
            for part in ("values", "coords")
        }
        return xr.Dataset(parts["values"], parts["coords"], record["attrs"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{what} is not a dataset as save() writes it (coords, values, attrs): {error}"
        ) from error


def _record(array: xr.DataArray | xr.Variable, dtype: str, values: Any) -> dict[str, Any]:
    dims = [str(dim) for dim in array.dims]
    shape = list(array.shape)
    return {
        "dims": dims, "shape": shape, "dtype": dtype, "values": values, "attrs": _plain(array.attrs)
    }  # fmt: skip


def _variable(record: Mapping[str, Any]) -> xr.Variable:
    dtype = record["dtype"]
    read_as = np.float64 if dtype.startswith("float") else None
    values = np.array(record["values"], dtype=read_as).reshape(record["shape"])
    return xr.Variable(record["dims"], values.astype(dtype), record["attrs"])


def _odd(value: float) -> str | None:
    """What is written for a float that JSON lacks."""
    return None if np.isnan(value) else str(float(value))


def _nested(flat: list[Any], shape: tuple[int, ...]) -> Any:
    """Nest a flat list into lists of lists."""
    array = np.empty(len(flat), dtype=object)
    array[:] = flat
    return array.reshape(shape).tolist()


def _plain(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Attributes in types that JSON has."""
    return {
        str(name): value.item() if isinstance(value, np.generic) else value
        for name, value in attrs.items()
    }
