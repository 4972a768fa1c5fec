"""Checks of what many functions of the model take, with errors that say what to do."""

import operator
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor


def check_device(device: Any) -> torch.device:
    """A device that is there.

    Args:
        device: a device, its name, or the number of a GPU; None is torch's default device.

    Raises:
        ValueError: for a name that is no device's, or a device that this machine lacks.
    """
    try:
        found = torch.get_default_device() if device is None else torch.device(device)
        if found.type != "meta":
            torch.empty(0, device=found)
    except Exception as error:  # every backend raises errors of its own kind
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        there = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        if torch.backends.mps.is_available():
            there.append("mps")
        raise ValueError(
            f"device {device!r} is not to be had: {reason}. Here there is {', '.join(there)}"
        ) from error
    return found


def check_dtype(dtype: Any) -> None:
    """Refuse what is not a floating-point number format of torch.

    Args:
        dtype: what was given.

    Raises:
        TypeError: for anything but a torch.dtype, such as a name.
        ValueError: for one that is not a floating-point format.
    """
    if not isinstance(dtype, torch.dtype):
        name = str(dtype).removeprefix("torch.")
        known = isinstance(getattr(torch, name, None), torch.dtype)
        hint = f"; write torch.{name}" if known else ""
        raise TypeError(f"dtype must be a torch.dtype such as torch.float16, got {dtype!r}{hint}")
    if not dtype.is_floating_point:
        raise ValueError(f"dtype must be a floating-point torch.dtype or None, got {dtype}")


def check_whole(
    value: Any, name: str, low: int | None = None, high: int | None = None, *, note: str = ""
) -> int:
    """A whole number within bounds.

    Args:
        value: what was given.
        name: what it is called.
        low: the smallest that is allowed; None for any.
        high: the largest that is allowed; None for any.
        note: what the bounds come from, in brackets.

    Raises:
        TypeError: for anything but a whole number; True and False are none.
        ValueError: for one out of bounds.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None:
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if (low is not None and number < low) or (high is not None and number > high):
        bounds = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"{name} must be {bounds}{note and ' ' + note}, got {number}")
    return number


def check_ids(ids: Int[Tensor, "..."], d_vocab: int) -> None:
    """Refuse token ids that the vocabulary does not have.

    Args:
        ids: whole numbers.
        d_vocab: size of the vocabulary.

    Raises:
        ValueError: for others than whole numbers, and for ids outside 0 ... d_vocab - 1.
    """
    if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
        raise ValueError(f"token ids must be whole numbers, got {ids.dtype}")
    if ids.numel():
        low, high = (int(x) for x in ids.aminmax())
        if low < 0 or high >= d_vocab:
            raise ValueError(
                f"token ids must be from 0 to {d_vocab - 1} (d_vocab - 1), got ids from {low} to "
                f"{high}"
            )
