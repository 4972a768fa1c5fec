"""Checks of arguments that many functions of the model take, with errors that say what to do."""

import operator
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor


def check_device(device: Any) -> torch.device:
    """Return a device, if it exists.

    Args:
        device: a device, its name, or the index of a GPU; None is torch's default device

    Raises:
        ValueError: the name is not a device's, or this machine lacks the device
    """
    try:
        found = torch.get_default_device() if device is None else torch.device(device)
        if found.type != "meta":
            torch.empty(0, device=found)
    except Exception as error:  # every backend raises its own kind of error
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        there = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        if torch.backends.mps.is_available():
            there.append("mps")
        raise ValueError(
            f"device {device!r} is not to be had: {reason}. Here there is {', '.join(there)}"
        ) from error
    return found


def check_dtype(dtype: Any) -> None:
    """Refuse anything but a floating-point dtype of torch.

    Args:
        dtype: what was given

    Raises:
        TypeError: the argument is not a torch.dtype (a name is not)
        ValueError: the dtype is not a floating-point one
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
    """Return an integer, if it is within bounds.

    Args:
        value: what was given
        name: name of the argument
        low: the smallest value allowed; None for no bound
        high: the largest value allowed; None for no bound
        note: where the bounds come from, in brackets

    Raises:
        TypeError: the argument is not an integer; True and False are not
        ValueError: the number is out of bounds
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
    """Refuse token ids outside the vocabulary.

    Args:
        ids: the token ids, integers
        d_vocab: size of the vocabulary

    Raises:
        ValueError: the ids are not integers, or not from 0 to d_vocab - 1
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
