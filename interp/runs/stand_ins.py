"""Stand-ins: what an ablated activation is replaced by.

    zero         0
    mean         its mean over the real positions of all reference prompts
    group mean   its mean over the reference prompts of the same group, at each position (the
                 IOI paper's: what the template tells is kept, who the names are is lost)
    resample     what it is in the prompt's own reference partner, at the same position

Means are taken over a reference sample of the task's own, of one size whatever the task's, if it
can draw one (`Task.reference`); "own" takes them over the task's own prompts, as the paper does,
and so does a task that cannot draw more. Over few prompts they are noise that no interval over the
prompts includes, so a mean over fewer than `FEW` prompts of a group warns. Reference texts are
always the corrupted ones. A position must mean the same on both sides: for each prompt and its own
partner, or, for a group mean, for all texts of the group. If roles stand elsewhere in the
reference, the activation at each role there stands in at that role here, and ablations at positions
without a role are refused.

Source: Wang et al. 2022 (arXiv 2211.00593), section 2.2 (mean ablation); Chan et al. 2022, "Causal
Scrubbing", for resampling.
"""

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from interp.model import HookedGPT2
from interp.runs.matching import (
    alike,
    moved,
    require_one_mean_each,
    require_one_token_each,
    roles_to_match,
    same_positions,
)
from interp.runs.means import Sums, group_sums, means, overall_sums
from interp.runs.sides import Progress, Prompts, run_side
from interp.runs.sites import Key
from interp.tasks import Task
from interp.tasks.sides import Side

Value = Literal["zero", "mean", "group mean", "resample"]
VALUES: tuple[str, ...] = get_args(Value)


def require_value(value: str) -> None:
    """Refuse an unknown stand-in.

    Args:
        value: its name

    Raises:
        ValueError: it is not in `VALUES`
    """
    if value not in VALUES:
        raise ValueError(f"expected a value among {list(VALUES)}, got {value!r}")


Reference = Task | Literal["own"] | None
"""Prompts whose corrupted texts stand in; "own" for the task's own; None for its sample, if any."""

FEW = 10
"""Number of prompts in a group below which their mean is mostly noise."""


class FewPromptsWarning(UserWarning):
    """A mean that stands in for an ablated part is taken over few prompts."""


def require_reference(reference: Reference) -> None:
    """Refuse a reference that is not a task.

    Args:
        reference: the reference

    Raises:
        TypeError: it is neither a task, nor "own", nor None
    """
    if not (reference is None or reference == "own" or isinstance(reference, Task)):
        raise TypeError(
            "a reference is a task, whose corrupted texts stand in, 'own' for the task's own, or "
            f"None for a sample of the same kind; got {reference!r:.80}"
        )


def reference_task(task: Task, value: Value, reference: Reference) -> Task | None:
    """The prompts that stand in, if they are not the task's own.

    Args:
        task: the prompts that are run
        value: the kind of stand-in
        reference: the reference, as in `Ablation`

    Returns:
        The prompts, or None for the task's own.
    """
    if isinstance(reference, Task):
        return reference
    return task.reference if reference is None and value in ("mean", "group mean") else None


@dataclass(frozen=True)
class StandIns:
    """The stand-ins of one ablation, computed batch by batch.

    Args:
        model: the model
        task: the prompts that are run, padded on the right
        keys: the ablated activations
        value: which stand-in; see the module
        source: the reference prompts, padded on the right
        side: which text of each pair is run
        roles: the roles at which activations are ablated, if source and task are matched by role;
            None if they are matched by position
        means: for means, the mean of each activation: [group pos ...], or [group role ...] if they
            are matched by role, or with dims of size 1
        group: index in `means` of each prompt's group
    """

    model: HookedGPT2
    task: Task
    keys: Sequence[Key]
    value: Value
    source: Task
    side: Side = "clean"
    roles: tuple[str, ...] | None = None
    means: dict[Key, Float[Tensor, "_ _ ..."]] = field(default_factory=dict)
    group: Int[Tensor, " prompt"] | None = None

    def values(self, prompts: slice | Prompts, length: int) -> dict[Key, Float[Tensor, "_ _ ..."]]:
        """The stand-ins for some prompts.

        Args:
            prompts: which prompts of the task
            length: number of positions of the run

        Returns:
            The stand-in of each activation, broadcastable to [prompt pos ...].
        """
        if self.value == "zero":
            nothing = torch.zeros((), device=self.model.device, dtype=self.model.dtype)
            return {key: nothing.view((1,) * _n_dims(key[0])) for key in self.keys}
        if self.value == "mean":
            return self.means
        here = {role: self.task.roles(self.side)[role][prompts] for role in self.roles or ()}
        if self.value == "group mean":
            assert self.group is not None
            found = {key: mean[self.group[prompts]] for key, mean in self.means.items()}
            there = {role: torch.full_like(at, i) for i, (role, at) in enumerate(here.items())}
        else:
            _, found = run_side(self.model, self.source, prompts, "corrupted", self.keys)
            there = {role: self.source.roles("corrupted")[role][prompts] for role in here}
        if self.roles is None:
            return {key: _of_length(value, length) for key, value in found.items()}
        return {key: moved(value, there, here, length) for key, value in found.items()}

    def run(
        self, prompts: Prompts, length: int
    ) -> tuple[dict[Key, Float[Tensor, "_ _ ..."]], dict[str, Float[Tensor, " prompt"]]]:
        """The same for a sweep, without metrics of another run."""
        return self.values(prompts, length), {}


def stand_ins(
    model: HookedGPT2,
    task: Task,
    keys: Sequence[Key],
    value: Value,
    side: Side = "clean",
    *,
    reference: Reference = None,
    roles: Sequence[str] | None = None,
    progress: Progress = iter,
) -> StandIns:
    """Compute what ablated activations are replaced by.

    Args:
        model: the model
        task: the prompts that will be run, padded on the right and on the model's device
        keys: the activations
        value: which stand-in; see the module
        side: which text of each pair is run
        reference: prompts whose corrupted texts are the reference; see the module
        roles: the roles at which activations are ablated; None if they are ablated at other
            positions too
        progress: wraps the batches of reference prompts, for a progress bar

    Returns:
        The stand-ins.

    Raises:
        ValueError: the value is unknown, or the reference prompts do not fit the task
    """
    require_value(value)
    require_reference(reference)
    other = reference_task(task, value, reference)
    source = (task if other is None else other).right_padded().to(model.device)
    if other is not None:
        source.require_fits(model)
    nothing = not keys or (roles is not None and not roles)
    if value == "zero" or nothing:
        return StandIns(model, task, keys, "zero", source, side)
    if value == "resample":
        if len(source) != len(task):
            raise ValueError(
                f"resampling takes each prompt's activations from its own partner: the reference "
                f"has {len(source)} prompts, the task {len(task)}; give one for each"
            )
        matched = None
        if not same_positions(task, source, side):
            matched = roles_to_match(source, roles, "resampling")
            require_one_token_each(matched, task.roles(side), source.roles("corrupted"))
        return StandIns(model, task, keys, value, source, side, matched)
    if value == "mean":
        _warn_of_few(len(source), "all texts")

        def of_all(some: Task, new: list[Key]) -> Sums:
            return overall_sums(model, some, new, progress)

        found = means(model, other, source, keys, (), of_all)
        return StandIns(model, task, keys, value, source, side, means=found)
    labels = sorted(set(source.group))
    counts, missing = Counter(source.group), sorted(set(task.group) - set(labels))
    if missing:
        raise ValueError(
            f"the reference has no prompts of group {missing[0]!r}; a group mean needs every group "
            "of the task in it"
        )
    group = torch.tensor([labels.index(label) for label in task.group], device=model.device)
    own = torch.tensor([labels.index(label) for label in source.group], device=model.device)
    matched = None
    if not alike(task, source, side, group, own, roles):
        matched = roles_to_match(source, roles, "a group mean")
        require_one_mean_each(matched, task.roles(side), source.roles("corrupted"), group, own)
    least = min(set(task.group), key=lambda label: counts[label])
    _warn_of_few(counts[least], f"group {least!r}")

    def of_groups(some: Task, new: list[Key]) -> Sums:
        return group_sums(model, some, new, labels, matched, progress)

    found = means(model, other, source, keys, (matched, *labels), of_groups)
    return StandIns(model, task, keys, value, source, side, matched, found, group)


def _warn_of_few(n: int, where: str) -> None:
    if n < FEW:
        warnings.warn(
            f"the mean over {where} is one of {n} prompts, and stands in for what is ablated; of "
            f"fewer than {FEW} it is mostly noise: pass reference= a task of several hundred "
            "prompts like these",
            FewPromptsWarning,
            stacklevel=2,
        )


def _of_length(
    value: Float[Tensor, "prompt _ ..."], length: int
) -> Float[Tensor, "prompt pos ..."]:
    """The activation at the first positions, padded with zeros."""
    more = max(0, length - value.shape[1])
    return F.pad(value[:, :length], (0, 0) * (value.ndim - 2) + (0, more))


def _n_dims(site: str) -> int:
    return 4 if site in ("q", "k", "v", "z") else 3
