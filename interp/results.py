"""Results as labelled arrays: every number knows its dimensions, its unit and where it came from.

Results keep the value of each prompt; `interp.statistics` turns them into means with intervals.
They save, load and become tables with xarray's own calls (`to_netcdf`, `to_dataframe`).
"""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import xarray as xr
from torch import Tensor

_PACKAGES = ("interp", "torch", "transformer-lens", "numpy")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    return {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES}


def labelled(
    values: Tensor | np.ndarray,
    dims: Sequence[str],
    *,
    name: str,
    title: str,
    unit: str,
    model: Any,
    task: Any = None,
    coords: Mapping[str, Any] | None = None,
) -> xr.DataArray:
    """An array with names on its dimensions and its origin in `attrs`.

    Args:
        values: the numbers.
        dims: one name a dimension: "layer", "head", "position", "prompt", ...
        name: short name of the quantity, such as "direct_effect".
        title: one line that says what is measured, for figures.
        unit: "logits", "nats", "probability" or "fraction".
        model: the model, for its name.
        task: the task, for its name and, along prompt, the group of each; None for what is read off
            the weights alone.
        coords: labels along dimensions; without one, indices from 0.

    Returns:
        The array, with the coordinate `group` if the task has groups, and attrs `title`, `unit`,
        `model`, `task` and the version of each package.
    """
    if isinstance(values, Tensor):
        values = values.detach().float().cpu().numpy()
    ranges: dict[str, Any] = {
        dim: np.arange(size) for dim, size in zip(dims, values.shape, strict=True)
    }
    origin = {"model": model.name} | ({} if task is None else {"task": task.name})
    groups = getattr(task, "group", None)  # a text has none
    if groups is not None and "prompt" in ranges:
        ranges["group"] = ("prompt", np.array(groups))
    stamps = {f"version {package}": number for package, number in versions().items()}
    return xr.DataArray(
        values,
        dims=list(dims),
        coords={**ranges, **(coords or {})},
        name=name,
        attrs={"title": title, "unit": unit, **origin, **stamps},
    )
