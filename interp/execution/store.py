"""The store of results: it keeps what a job has measured, so that an interrupted run can resume.

A job's file holds its results and the whole question that they answer (`interp.results.Question`):
the model with the fingerprint of its weights, the task with that of its prompts, the version of the
job and its options, and the versions of the packages. A file that answers another question, or that
is damaged, is not used: the job is done again, and `Store.refused` says why.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from zipfile import BadZipFile

import numpy as np
import xarray as xr

from interp.model import HookedGPT2
from interp.results import Question, versions
from interp.tasks import Task

Results = Mapping[str, xr.Dataset]
"""What a job measured, by name."""

_META = "meta.json"


@dataclass(frozen=True)
class Store:
    """The kept results of one run on one model and task.

    Args:
        folder: folder of the files; None keeps nothing
        model: the model
        task: the prompts
        resumed: names of the jobs whose kept results were used
        refused: names of the jobs that were done again although a file was there, and why
    """

    folder: Path | None
    model: HookedGPT2
    task: Task
    resumed: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    def get(
        self, name: str, job: Callable[[], Results], *, version: int = 1, **options: object
    ) -> Results:
        """Return the kept results of a job if they answer the same question, else do the job.

        Args:
            name: name of the job and of its file
            job: measures the results
            version: version of the job, raised when `job` changes
            options: what the results depend on besides model and prompts, by its `repr`

        Returns:
            The results.
        """
        if self.folder is None:
            return job()
        asked = self.question(name, version=version, **options)
        path = self.folder / f"{name}.npz"
        if path.is_file():
            try:
                kept = load(path, asked)
            except ValueError as error:
                self.refused[name] = str(error)
            else:
                self.resumed.append(name)
                return kept
        found = job()
        save(path, asked, found)
        return found

    def question(self, name: str, *, version: int = 1, **options: object) -> Question:
        """The question that a job's results answer.

        Args:
            name: name of the job
            version: its version
            options: as for `get`

        Returns:
            The question.
        """
        return Question.make(
            technique=name,
            model=self.model.name,
            model_fingerprint=self.model.fingerprint(),
            task=self.task.name,
            prompts=self.task.fingerprint,
            options={"version": str(version)} | {key: repr(one) for key, one in options.items()},
            versions=versions(),
        )


def save(path: Path, question: Question, found: Results) -> None:
    """Write results to a file, whole or not at all.

    Args:
        path: the file; missing folders are created
        question: the question that the results answer
        found: the results
    """
    arrays: dict[str, np.ndarray] = {}
    for key, dataset in found.items():
        for name, variable in dataset.variables.items():
            values = variable.values
            arrays[f"{key}/{name}"] = values.astype(str) if values.dtype == object else values
    described = {key: dataset.to_dict(data=False) for key, dataset in found.items()}
    meta = json.dumps({"question": question.attrs(), "datasets": described})
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
        try:
            np.savez(file, **{_META: np.array(meta)}, **arrays)  # type: ignore[arg-type]
        except BaseException:
            os.unlink(file.name)
            raise
    os.replace(file.name, path)


def load(path: str | Path, question: Question | None = None) -> Results:
    """Read what `save` wrote.

    Args:
        path: the file
        question: the question that the results must answer; None for any

    Returns:
        The results.

    Raises:
        ValueError: the file answers another question, or is damaged
        OSError: there is no such file
    """
    path = Path(path)
    with path.open("rb") as raw:
        try:
            with np.load(raw, allow_pickle=False) as file:
                meta = json.loads(str(file[_META]))
                answered = Question(**meta["question"])
                found = {
                    key: _dataset(about, {v: file[f"{key}/{v}"] for v in _variables(about)})
                    for key, about in meta["datasets"].items()
                }
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
            raise ValueError(f"{path} is damaged, or no file of results: {error}") from error
    if question is not None:
        _require_answer(path, answered, question)
    return found


def _require_answer(path: Path, answered: Question, question: Question) -> None:
    """Refuse results that answer another question or come from other versions of the packages."""
    ours, theirs = question.attrs(), answered.attrs()
    for name in dict.fromkeys((*ours, *theirs)):
        if ours.get(name) != theirs.get(name):
            raise ValueError(
                f"{path} answers another question: its {name} is {theirs.get(name)}, here it is "
                f"{ours.get(name)}"
            )


def _variables(about: dict[str, Any]) -> list[str]:
    return [*about["coords"], *about["data_vars"]]


def _dataset(about: dict[str, Any], arrays: dict[str, np.ndarray]) -> xr.Dataset:
    variables = {
        kind: {name: (one["dims"], arrays[name], one["attrs"]) for name, one in about[kind].items()}
        for kind in ("coords", "data_vars")
    }
    return xr.Dataset(variables["data_vars"], variables["coords"], about["attrs"])
