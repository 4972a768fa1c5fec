"""Parts that are finished are kept, and taken up again after an interruption.

A part's file holds its results and a fingerprint of everything they follow from: the model's
configuration and weights, the prompts, the part's version, and whatever else it is told. Another
fingerprint, or a file that cannot be read to its end, and the part is measured again.
"""

import json
import os
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from zipfile import BadZipFile

import numpy as np
import xarray as xr

import interp
from analyses.ioi.parts.setting import Found
from interp.results import versions
from interp.tasks import Task

_META = "meta.json"


class Shelf:
    """The kept parts of one run.

    Args:
        folder: where they lie; None keeps nothing.
        model: the model.
        task: the prompts.
    """

    def __init__(self, folder: Path | None, model: interp.HookedGPT2, task: Task) -> None:
        self.folder = None if folder is None else folder / "parts"
        self.identity = "" if folder is None else fingerprint(model, task)
        self.resumed: list[str] = []
        """Names of the parts that were not measured again."""

    def __call__(self, name: str, measure: Callable[[], Found], *depends: object) -> Found:
        """Results of a part: those that are kept, if they are of the same run, else measured now.

        Args:
            name: of the part, and of its file.
            measure: measures it.
            depends: what its results follow from besides model and prompts, by its `repr`.

        Returns:
            The results.
        """
        if self.folder is None:
            return measure()
        mark = blake2b(f"{self.identity} {name} {depends!r}".encode(), digest_size=16).hexdigest()
        path = self.folder / f"{name}.npz"
        kept = load(path, mark)
        if kept is not None:
            self.resumed.append(name)
            return kept
        found = measure()
        save(path, mark, found)
        return found


def fingerprint(model: interp.HookedGPT2, task: Task) -> str:
    """A number of the model's configuration and weights, of the prompts, and of the versions.

    Args:
        model: the model.
        task: the prompts.

    Returns:
        Hexadecimal digits.
    """
    digest = blake2b(digest_size=16)
    digest.update(f"{model.name} {model.config!r} {versions()!r} {task.group!r}".encode())
    tensors = {**model.state_dict(), **{role: at for role, at in task.positions.items()}}
    tensors |= {name: getattr(task, name) for name in ("answer", "foil", "attention_mask")}
    tensors |= {"clean": task.clean_tokens, "corrupted": task.corrupted_tokens}
    for name, tensor in tensors.items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(np.ascontiguousarray(tensor.detach().cpu().float().numpy()).data)
    return digest.hexdigest()


def save(path: Path, mark: str, found: Found) -> None:
    """Write results to a file that is there whole or not at all.

    Args:
        path: the file.
        mark: fingerprint of what they follow from.
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
        np.savez(file, **{_META: np.array(meta)}, **arrays)  # type: ignore[arg-type]
    os.replace(file.name, path)


def load(path: Path, mark: str | None = None) -> Found | None:
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
