"""A short digest that shows whether two models have the same weights.

    fingerprint = the first 16 hex digits of SHA-256 over one line per tensor,
                  "name dtype shape SHA-256 of its bytes", sorted by name, and over `also`

Results carry it, so that numbers of different models are not compared by mistake. It is the same on
every device and for every memory layout, but differs between dtypes.

Hashing GPT-2 small takes about a third of a second, so the digest of a tensor is kept until the
tensor changes. Its address and torch's version counter reveal most changes. Edits through `.data`
or of shared memory leave the counter unchanged, so the sums of the rows and columns of the tensor's
bits are compared too: they differ whenever one entry was changed or two were exchanged.
"""

import hashlib
from collections.abc import Iterable, MutableMapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

_SMALL = 1 << 16  # bytes; hashing this few is as fast as summing them
Kept = MutableMapping[str, tuple[Any, bytes]]
"""Name of each tensor -> the mark of its state, and its digest."""


def digest(tensors: Iterable[tuple[str, Tensor]], kept: Kept | None = None, also: str = "") -> str:
    """Compute a short digest of named tensors.

    Args:
        tensors: the names and tensors
        kept: digests of an earlier call, which are reused for unchanged tensors and updated in
            place
        also: what else distinguishes two models, such as their activation function

    Returns:
        16 hex digits.

    Example:
        >>> digest([("W", torch.zeros(2))]) == digest([("W", torch.zeros(2))])
        True
        >>> digest([("W", torch.zeros(2))]) == digest([("W", torch.zeros(3))])
        False
    """
    kept = {} if kept is None else kept
    seen: dict[Any, bytes] = {}  # tied weights are hashed once
    lines = []
    for name, tensor in sorted(tensors, key=lambda item: item[0]):
        place = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        if place not in seen:
            seen[place] = _digest_of(name, tensor, kept, place)
        lines.append(f"{name} {tensor.dtype} {tuple(tensor.shape)} {seen[place].hex()}")
    return hashlib.sha256("\n".join([*lines, also]).encode()).hexdigest()[:16]


def _digest_of(name: str, tensor: Tensor, kept: Kept, place: Any) -> bytes:
    values = tensor.detach().cpu().contiguous().flatten()
    data: Any = values.view(torch.uint8).numpy() if values.numel() else np.empty(0, np.uint8)
    if data.nbytes <= _SMALL:
        return hashlib.sha256(data).digest()
    version = None if tensor.is_inference() else tensor._version
    mark = (place, version, _sums(data, len(tensor)))
    known = kept.get(name)
    if known is None or known[0] != mark:
        known = kept[name] = mark, hashlib.sha256(data).digest()
    return known[1]


def _sums(data: np.ndarray, rows: int) -> bytes:
    """The sums of the rows and columns of some bytes, taken as integers, which wrap around."""
    width = data.nbytes // rows
    words = data.view(np.int64 if width % 8 == 0 else np.int16 if width % 2 == 0 else np.uint8)
    words = words.reshape(rows, -1)
    return words.sum(0, np.int64).tobytes() + words.sum(1, np.int64).tobytes()
