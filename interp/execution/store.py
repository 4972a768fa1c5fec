"""The store of results: parts that are finished are kept, and taken up again after an interruption.

A part's file holds its results and a fingerprint of everything they follow from: the weights of the
model, the prompts, the versions of the packages, the part's own version, and whatever else it is
told. Another fingerprint, or a file that cannot be read to its end, and the part is measured again.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from zipfile import BadZipFile

import numpy as np
import xarray as xr

from interp.model import HookedGPT2
from interp.results import versions
from interp.tasks import Task

_META = "meta.json"


Results = Mapping[str, xr.Dataset]
"""What a part measured, by name."""


class Store:
    """The kept parts of one run.

    Args:
        folder: where they lie, one file a part; None keeps nothing.
        model: the model.
        task: the prompts.
    """

    def __init__(self, folder: Path | None, model: HookedGPT2, task: Task) -> None:
        self.folder = folder
        self.identity = {
            "model": model.name,
            "weights": model.fingerprint(),
            "prompts": task.fingerprint,
            "versions": versions(),
        }
        self.resumed: list[str] = []
        """Names of the parts that were not measured again."""

    def __call__(self, name: str, measure: Callable[[], Results], *depends: object) -> Results:
        """Results of a part: those that are kept, if they are of the same run, else measured now.

        Args:
            name: name of the part, and of its file.
            measure: measures it.
            depends: what its results follow from besides model and prompts, by its `repr`.

        Returns:
            The results.
        """
        if self.folder is None:
            return measure()
        mark = self.mark(name, *depends)
        path = self.folder / f"{name}.npz"
        kept = load(path, mark)
        if kept is not None:
            self.resumed.append(name)
            return kept
        found = measure()
        save(path, mark, found)
        return found

    def mark(self, name: str, *depends: object) -> str:
        """The fingerprint of a part: 16 hexadecimal digits.

        Args:
            name: name of the part.
            depends: what its results follow from besides model and prompts.

        Returns:
            The digits.
        """
        text = json.dumps([self.identity, name, [repr(one) for one in depends]], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def save(path: Path, mark: str, found: Results) -> None:
    """Write results to a file that is there whole or not at all.

    Args:
        path: the file.
        mark: fingerprint of what the results follow from.
        found: the results.
    """
    arrays: dict[str, np.ndarray] = {}
    for key, dataset in found.items():
        for name, variable in dataset.variables.items():
            values = variable.values
            arrays[f"{key}/{name}"] = values.astype(str) if values.dtype == object else values
    described = {key: dataset.to_dict(data=False) for key, dataset in found.items()}
    meta = json.dumps({"mark": mark, "datasets": described})
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
        try:
            np.savez(file, **{_META: np.array(meta)}, **arrays)  # type: ignore[arg-type]
        except BaseException:
            os.unlink(file.name)
            raise
    os.replace(file.name, path)


def load(path: Path, mark: str | None = None) -> Results | None:
    """Read what `save` wrote.

    Args:
        path: the file.
        mark: the fingerprint that it must have; None for any.

    Returns:
        The results; None for no file, another fingerprint, or a damaged file.
    """
    if not path.is_file():
        return None
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            meta = json.loads(str(file[_META]))
            if mark is not None and meta["mark"] != mark:
                return None
            return {
                key: _dataset(described, {v: file[f"{key}/{v}"] for v in _variables(described)})
                for key, described in meta["datasets"].items()
            }
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None


def _variables(described: dict[str, Any]) -> list[str]:
    return [*described["coords"], *described["data_vars"]]


def _dataset(described: dict[str, Any], arrays: dict[str, np.ndarray]) -> xr.Dataset:
    variables = {
        kind: {
            name: (about["dims"], arrays[name], about["attrs"])
            for name, about in described[kind].items()
        }
        for kind in ("coords", "data_vars")
    }
    return xr.Dataset(variables["data_vars"], variables["coords"], described["attrs"])
