"""Load the model of an analysis by name, on the device that was asked for."""

from __future__ import annotations

from pathlib import Path

import interp
from analyses.common.choices import require_device, require_model


def open_model(
    model: str | Path | interp.HookedGPT2, device: str | None = None
) -> interp.HookedGPT2:
    """Load a model, or use the one given.

    Args:
        model: a name or directory for `interp.load`, or a loaded model
        device: where to run; None for where the model is

    Returns:
        The model.

    Raises:
        ValueError: the model does not exist, or this machine does not have the device
        TypeError: the argument is not a model
    """
    require_model(model)
    require_device(device)
    if device is not None:
        require_present(device)
    loaded = interp.load(model) if isinstance(model, str | Path) else model
    if not isinstance(loaded, interp.HookedGPT2):
        raise TypeError(f"expected a model's name, directory or a HookedGPT2; got {loaded!r}")
    return loaded if device is None else loaded.to(device)


def require_present(device: str) -> None:
    """Refuse a device that this machine does not have.

    Args:
        device: name of the device, such as "cuda:1"

    Raises:
        ValueError: the device does not exist
    """
    import torch

    kind, _, index = device.partition(":")
    if kind == "cpu":
        return
    backend = torch.backends.mps if kind == "mps" else getattr(torch, kind)
    if not backend.is_available():
        raise ValueError(f"this machine has no {kind} device for torch; leave device out, or cpu")
    if index and int(index) >= backend.device_count():
        raise ValueError(
            f"this machine has {backend.device_count()} {kind} devices, counted from 0; "
            f"got {device}"
        )
