"""Means of activations over the corrupted texts of a reference.

A reference that is made of pieces (`Task.pieces`) has the sums of its pieces added up. So the
reference, and the same without each of its pieces in turn, take one run of its prompts together.
"""

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.model import HookedGPT2
from interp.runs.sides import Progress, batches, run_side
from interp.runs.sites import Key
from interp.tasks import Task

Sums = dict[Key, tuple[Float[Tensor, "_ _ ..."], Int[Tensor, "..."]]]
"""Each activation's sum, and the number of positions that it is over, by group and place."""

_SUMS: "WeakKeyDictionary[Task, dict[Any, Any]]" = WeakKeyDictionary()


def means(
    model: HookedGPT2,
    reference: Task | None,
    source: Task,
    keys: Sequence[Key],
    kind: tuple[Any, ...],
    sums_of: Callable[[Task, list[Key]], Sums],
) -> dict[Key, Float[Tensor, "_ _ ..."]]:
    """Means over a reference, whose sums are computed once for each model and activation.

    Args:
        model: the model
        reference: the reference, as long as which exists its sums are kept; None for a task's own
            prompts, whose sums are not kept
        source: the prompts of the reference, if it is None
        keys: the activations
        kind: tells these sums from others over the same prompts
        sums_of: computes the sums over a task

    Returns:
        The mean of each activation. Places beyond the end of all texts are 0 and are never read.
    """
    if reference is None:
        found = [sums_of(source, list(keys))]
    else:
        pieces = reference.pieces or (reference,)
        found = [_once(model, piece, keys, kind, sums_of) for piece in pieces]
    first, *others = found
    mean = {}
    for key, (total, count) in first.items():
        for other in others:
            total, count = total + other[key][0], count + other[key][1]
        mean[key] = total / count.clamp(min=1)
    return mean


def _once(
    model: HookedGPT2,
    piece: Task,
    keys: Sequence[Key],
    kind: tuple[Any, ...],
    sums_of: Callable[[Task, list[Key]], Sums],
) -> Sums:
    known = _SUMS.setdefault(piece, {})
    of_model = (model.fingerprint(), str(model.device), kind)
    new = [key for key in keys if (of_model, key) not in known]
    if new:
        sums = sums_of(piece.right_padded().to(model.device), new)
        with torch.inference_mode(False):  # they may meet gradients later
            known.update({(of_model, k): (s.clone(), n.clone()) for k, (s, n) in sums.items()})
    return {key: known[of_model, key] for key in keys}


def overall_sums(model: HookedGPT2, source: Task, keys: Sequence[Key], progress: Progress) -> Sums:
    """Sums over all real tokens of the corrupted texts, [1 1 ...]."""
    real = source.mask("corrupted")
    sums: dict[Key, Tensor] = {}
    for rows in batches(source, progress):
        length = int(real[rows].sum(-1).max())
        _, kept = run_side(model, source, rows, "corrupted", keys, length=length)
        for key, value in kept.items():
            total = value[real[rows, :length]].sum(0, keepdim=True)[None]  # 1 1 ...
            sums[key] = sums[key] + total if key in sums else total
    return {key: (total, real.sum()) for key, total in sums.items()}


def group_sums(
    model: HookedGPT2,
    source: Task,
    keys: Sequence[Key],
    labels: Sequence[str],
    roles: tuple[str, ...] | None,
    progress: Progress,
) -> Sums:
    """Sums over the corrupted texts of each group at each position or role, [group place ...]."""
    real = source.mask("corrupted")
    group = torch.tensor([labels.index(label) for label in source.group], device=real.device)
    width = source.corrupted_tokens.shape[1]
    n_places = width if roles is None else len(roles)
    counts = torch.zeros(len(labels), n_places, device=real.device, dtype=torch.long)
    sums: dict[Key, Tensor] = {}
    for rows in batches(source, progress):
        _, kept = run_side(model, source, rows, "corrupted", keys, length=width)
        here = real[rows]
        if roles is not None:
            there = source.roles("corrupted")
            at = torch.stack([there[role][rows] for role in roles], -1)  # prompt role
            prompt = torch.arange(len(at), device=at.device)[:, None]
            kept = {key: value[prompt, at] for key, value in kept.items()}  # prompt role ...
            here = here[prompt, at]
        counts.index_add_(0, group[rows], here.long())
        for key, value in kept.items():
            if key not in sums:
                sums[key] = value.new_zeros(len(labels), *value.shape[1:])  # group place ...
            extra = (1,) * (value.ndim - 2)
            sums[key].index_add_(0, group[rows], value * here.view(*here.shape, *extra))
    return {
        key: (total, counts.view(*counts.shape, *(1,) * (total.ndim - 2)))
        for key, total in sums.items()
    }
