"""Results as labeled arrays: every number carries its dimensions, its unit and its whole question.

Results keep the value of each prompt; `interp.statistics` turns them into means with intervals.
They save, load and become tables with xarray's own calls (`to_netcdf`, `to_dataframe`).
"""

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

__all__ = [
    "Question",
    "require_same",
    "versions",
]

_PACKAGES = ("interp", "torch", "transformer-lens", "numpy")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    return dict(_versions())


@cache
def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES}


@dataclass(frozen=True)
class Question:
    """What a result answers, all of it as text, so that any file can hold it.

    A field is "" where it does not apply or is unknown. Mappings are JSON with sorted keys.

    Args:
        technique: the function that measured, for instance "patch"
        model: name of the model
        model_fingerprint: fingerprint of its weights
        task: name of the task
        prompts: fingerprint of its prompts
        site: which activations
        selection: which parts, positions and prompts, as JSON
        ablation: what is knocked out, and what stands in for it
        reference: fingerprint of the prompts whose activations stand in
        metric: names of the metrics, separated by commas
        options: every other choice, as JSON
        seed: seed of the random draws
        versions: versions of the packages, as JSON; not part of the question's identity

    Example:
        >>> asked = Question(technique="patch", site="z", options='{"direction": "denoising"}')
        >>> asked == Question.of(xr.DataArray(0.0, attrs=asked.attrs()))
        True
    """

    technique: str = ""
    model: str = ""
    model_fingerprint: str = ""
    task: str = ""
    prompts: str = ""
    site: str = ""
    selection: str = ""
    ablation: str = ""
    reference: str = ""
    metric: str = ""
    options: str = ""
    seed: str = ""
    versions: str = ""

    @classmethod
    def make(cls, **parts: object) -> "Question":
        """Build a question, each field as text.

        Args:
            parts: fields of a question. None and empty values become "", mappings and sequences
                become JSON, and anything else becomes its `str`.

        Returns:
            The question.

        Raises:
            ValueError: a name is not a field of a question
        """
        known = [field.name for field in fields(cls)]
        unknown = [name for name in parts if name not in known]
        if unknown:
            raise ValueError(
                f"a question has no field {unknown[0]!r}; it has {', '.join(known)}; anything else "
                "goes into options, a mapping"
            )
        return cls(**{name: _text(value) for name, value in parts.items()})

    @classmethod
    def of(cls, result: xr.DataArray | xr.Dataset) -> "Question":
        """Read the question off a result.

        Args:
            result: an array or a dataset; the question of a dataset has its own attrs and those on
                which all its arrays agree

        Returns:
            The question; fields that the result does not have are "".
        """
        attrs = {str(name): str(value) for name, value in result.attrs.items()}
        if isinstance(result, xr.Dataset) and result.data_vars:
            each = [
                {str(name): str(value) for name, value in array.attrs.items()}
                for array in result.data_vars.values()
            ]
            shared = {
                name: value
                for name, value in each[0].items()
                if all(other.get(name) == value for other in each)
            }
            attrs = shared | attrs
        return cls(**{field.name: attrs.get(field.name, "") for field in fields(cls)})

    def attrs(self) -> dict[str, str]:
        """The fields that are not empty, for the `attrs` of a result or for JSON."""
        return {name: value for name, value in asdict(self).items() if value}

    def value(self, name: str) -> str:
        """The value of a field or of an option; "" if there is none."""
        if name in {field.name for field in fields(self)}:
            return str(getattr(self, name))
        return _text(json.loads(self.options or "{}").get(name))

    def names(self) -> list[str]:
        """The names of the fields and of the options."""
        return [*asdict(self), *json.loads(self.options or "{}")]

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that depend on every field except the versions."""
        identity = {name: value for name, value in self.attrs().items() if name != "versions"}
        return hashlib.sha256(_text(identity).encode()).hexdigest()[:16]


SAME_PROMPTS = ("model", "model_fingerprint", "task", "prompts")
"""The fields that are the same for all results on the same prompts and model."""

_COMPARED = (*SAME_PROMPTS, "site", "selection", "ablation", "reference", "metric", "options")


def require_same(
    a: "Question | xr.DataArray | xr.Dataset",
    b: "Question | xr.DataArray | xr.Dataset",
    *,
    fields: Sequence[str] = _COMPARED,
    what: tuple[str, str] = ("one result", "the other"),
) -> None:
    """Refuse to compare answers to different questions.

    Args:
        a: a result, or its question
        b: the other result, or its question
        fields: names of the fields or options that must be the same
        what: what an error calls the two, for instance ("the estimates", "the exact effects")

    Raises:
        ValueError: a field differs; the message names the first that does, and both values
    """
    ours, theirs = (x if isinstance(x, Question) else Question.of(x) for x in (a, b))
    for name in fields:
        if not any(name in question.names() for question in (ours, theirs)):
            raise ValueError(
                f"a question has no field {name!r}, and neither has an option of that name; "
                f"compare by {', '.join(ours.names())}"
            )
        one, other = ours.value(name), theirs.value(name)
        if one != other:
            verb = "are" if what[0].endswith("s") else "is"
            raise ValueError(
                f"{what[0]} {verb} of {name} {one!r}, {what[1]} of {other!r}; compare two answers "
                "to the same question"
            )


def labeled(
    values: Tensor | np.ndarray,
    dims: Sequence[str],
    *,
    name: str,
    title: str,
    unit: str,
    model: Any,
    task: Any = None,
    coords: Mapping[str, Any] | None = None,
    question: Mapping[str, object] | None = None,
) -> xr.DataArray:
    """Label an array: names for its dimensions, and its question in `attrs`.

    Args:
        values: the numbers; float64 stays float64, everything else becomes float32
        dims: one name per dimension: "layer", "head", "position", "prompt", ...
        name: short name of the quantity, such as "direct_effect"
        title: one line that says what is measured, for figures
        unit: "logits", "nats", "probability" or "fraction"
        model: the model, for its name and the fingerprint of its weights
        task: the task, for its name, its fingerprint and the groups of its prompts; None for what
            is computed from the weights alone
        coords: labels along dimensions; a dimension without any gets indices from 0
        question: further fields of the `Question`, for instance technique, site and seed

    Returns:
        The array, with the coordinate `group` if the task has groups, and attrs `title`, `unit`
        and those of its question.

    Raises:
        ValueError: a key of `question` is not a field of a question
    """
    if isinstance(values, Tensor):
        values = as_numpy(values)
    ranges: dict[str, Any] = {
        dim: np.arange(size) for dim, size in zip(dims, values.shape, strict=True)
    }
    groups = getattr(task, "group", None)  # texts have none
    if groups is not None and "prompt" in ranges:
        ranges["group"] = ("prompt", np.array(groups))
    asked = {
        "model": model.name,
        "model_fingerprint": model.fingerprint() if hasattr(model, "fingerprint") else "",
        "task": getattr(task, "name", ""),
        "prompts": getattr(task, "fingerprint", ""),
        "versions": versions(),
    }
    return xr.DataArray(
        values,
        dims=list(dims),
        coords={**ranges, **(coords or {})},
        name=name,
        attrs={"title": title, "unit": unit}
        | Question.make(**asked | dict(question or {})).attrs(),
    )


def as_numpy(values: Tensor) -> np.ndarray:
    """A tensor as an array of at least single precision, since NumPy has no bfloat16."""
    dtype = torch.promote_types(values.dtype, torch.float32)
    return values.detach().to(dtype).cpu().numpy()


def _text(value: object) -> str:
    """A field of a question as text: JSON for mappings and sequences, "" for nothing."""
    if value is None or (isinstance(value, str | Mapping | Sequence) and not len(value)):
        return ""
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)
    return str(value)
