"""Means of activations over the corrupted texts of a reference."""

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

_MEANS: "WeakKeyDictionary[Task, dict[Any, Tensor]]" = WeakKeyDictionary()


def means_once(
    model: HookedGPT2,
    reference: Task | None,
    keys: Sequence[Key],
    kind: tuple[Any, ...],
    means_of: Callable[[list[Key]], dict[Key, Tensor]],
) -> dict[Key, Tensor]:
    """Means over a reference, computed once for each model and activation while it exists."""
    if reference is None:
        return means_of(list(keys))
    known = _MEANS.setdefault(reference, {})
    of_model = (model.fingerprint(), str(model.device), kind)
    new = [key for key in keys if (of_model, key) not in known]
    if new:
        found = means_of(new)
        with torch.inference_mode(False):  # they may meet gradients later
            known.update({(of_model, key): value.clone() for key, value in found.items()})
    return {key: known[of_model, key] for key in keys}


def overall_means(
    model: HookedGPT2, source: Task, keys: Sequence[Key], progress: Progress
) -> dict[Key, Float[Tensor, "1 1 ..."]]:
    """Means over all real tokens of the corrupted texts."""
    real = source.mask("corrupted")
    sums: dict[Key, Tensor] = {}
    for rows in batches(source, progress):
        length = int(real[rows].sum(-1).max())
        _, kept = run_side(model, source, rows, "corrupted", keys, length=length)
        for key, value in kept.items():
            total = value[real[rows, :length]].sum(0, keepdim=True)[None]  # 1 1 ...
            sums[key] = sums[key] + total if key in sums else total
    return {key: total / real.sum() for key, total in sums.items()}


def group_means(
    model: HookedGPT2,
    source: Task,
    keys: Sequence[Key],
    group: Int[Tensor, " prompt"],
    n_groups: int,
    roles: tuple[str, ...] | None,
    progress: Progress,
) -> dict[Key, Float[Tensor, "group _ ..."]]:
    """Means over the corrupted texts of each group, separately at each position or role."""
    real = source.mask("corrupted")
    width = source.corrupted_tokens.shape[1]
    n_places = width if roles is None else len(roles)
    counts = torch.zeros(n_groups, n_places, device=real.device, dtype=torch.long)
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
                sums[key] = value.new_zeros(n_groups, *value.shape[1:])  # group place ...
            extra = (1,) * (value.ndim - 2)
            sums[key].index_add_(0, group[rows], value * here.view(*here.shape, *extra))
    counts = counts.clamp(min=1)  # positions beyond the end of all texts are never read
    return {
        key: total / counts.view(*counts.shape, *(1,) * (total.ndim - 2))
        for key, total in sums.items()
    }
