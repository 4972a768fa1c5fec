"""Stand-ins: what an ablated activation is replaced by.

    zero         0
    mean         its mean over the real positions of all reference prompts
    group mean   its mean over the reference prompts of the same group, at each position apart (the
                 IOI paper's: what the template tells is kept, who the names are is lost)
    resample     what it is in the prompt's own reference partner, at the same position

The reference prompts are the task's corrupted texts, or those of another task. A position must mean
the same on both sides: to each prompt and its own partner, or, for the mean of a group, to all of
its texts. Where the roles stand elsewhere in the reference, what stands at each role there stands
in at that role here, and anything ablated away from roles is refused.

Source: Wang et al. 2022 (arXiv 2211.00593), section 2.2 (mean ablation); Chan et al. 2022, "Causal
Scrubbing", for resampling.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from interp.model import HookedGPT2
from interp.runs.sides import Progress, Prompts, batches, run_side
from interp.runs.sites import Key
from interp.tasks import Side, Task

Value = Literal["zero", "mean", "group mean", "resample"]
VALUES: tuple[str, ...] = get_args(Value)


def require_value(value: str) -> None:
    """Refuse a stand-in that there is not.

    Args:
        value: its name.

    Raises:
        ValueError: it is none of `VALUES`.
    """
    if value not in VALUES:
        raise ValueError(f"expected a value among {list(VALUES)}, got {value!r}")


@dataclass(frozen=True)
class StandIns:
    """The stand-ins of one ablation, worked out batch by batch.

    Args:
        model: the model.
        task: the prompts that are run, padded on the right.
        keys: the ablated activations.
        value: which stand-in; see the module.
        source: the reference prompts, padded on the right.
        side: which text of each pair is run.
        roles: the roles at which activations are ablated, where source and task are matched by
            role; None where they are matched by position.
        means: for means, the mean of each activation: [group pos ...], [group role ...] where
            they are matched by role, or dims of size 1.
        group: index in `means` of each prompt's group.
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
        """What stands in on some prompts.

        Args:
            prompts: which prompts of the task.
            length: positions of the run.

        Returns:
            For each activation its stand-in, broadcastable to [prompt pos ...].
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
        """The same for a sweep, with no metrics of another run."""
        return self.values(prompts, length), {}


def stand_ins(
    model: HookedGPT2,
    task: Task,
    keys: Sequence[Key],
    value: Value,
    side: Side = "clean",
    *,
    reference: Task | None = None,
    roles: Sequence[str] | None = None,
    progress: Progress = iter,
) -> StandIns:
    """Work out what ablated activations are replaced by.

    Args:
        model: the model.
        task: the prompts that will be run, padded on the right and on the model's device.
        keys: the activations.
        value: which stand-in; see the module.
        side: which text of each pair is run.
        reference: prompts whose corrupted texts are the reference; None for the task's own.
        roles: the roles at which activations are ablated; None if also at other positions.
        progress: wraps the batches of reference prompts, for a progress bar.

    Returns:
        The stand-ins.

    Raises:
        ValueError: for an unknown value, or reference prompts that do not fit the task.
    """
    require_value(value)
    source = (task if reference is None else reference).right_padded().to(model.device)
    if reference is not None:
        source.require_fits(model)
    if value == "zero":
        return StandIns(model, task, keys, value, source, side)
    if value == "resample":
        if len(source) != len(task):
            raise ValueError(
                f"resampling takes each prompt's activations from its own partner: the reference "
                f"has {len(source)} prompts, the task {len(task)}; give one for each"
            )
        matched = None
        if not _same_positions(task, source, side):
            matched = _roles_to_match(source, roles, "resampling")
            require_one_token_each(matched, task.roles(side), source.roles("corrupted"))
        return StandIns(model, task, keys, value, source, side, matched)
    if value == "mean":
        means = _means(model, source, keys, progress)
        return StandIns(model, task, keys, value, source, side, means=means)
    labels = sorted(set(source.group))
    missing = sorted(set(task.group) - set(labels))
    if missing:
        raise ValueError(
            f"the reference has no prompts of group {missing[0]!r}; a group mean needs every group "
            "of the task in it"
        )
    group = torch.tensor([labels.index(label) for label in task.group], device=model.device)
    own = torch.tensor([labels.index(label) for label in source.group], device=model.device)
    matched = None
    if not _alike(task, source, side, group, own, roles):
        matched = _roles_to_match(source, roles, "a group mean")
        _require_one_mean_each(matched, task.roles(side), source.roles("corrupted"), group, own)
    means = _group_means(model, source, keys, own, len(labels), matched, progress)
    return StandIns(model, task, keys, value, source, side, matched, means, group)


def moved(
    value: Float[Tensor, "prompt _ ..."],
    there: dict[str, Int[Tensor, " prompt"]],
    here: dict[str, Int[Tensor, " prompt"]],
    length: int,
) -> Float[Tensor, "prompt pos ..."]:
    """What stands at each role of one text, put where that role stands in another.

    Args:
        value: the activation of the one text.
        there: position of each role in it.
        here: position of each role in the other.
        length: positions of the other.

    Returns:
        The activation at the roles; zeros elsewhere.
    """
    found = value.new_zeros(len(value), length, *value.shape[2:])
    prompt = torch.arange(len(value), device=value.device)
    for role, at in here.items():
        found[prompt, at] = value[prompt, there[role]]
    return found


def require_one_token_each(
    roles: Sequence[str],
    one: dict[str, Int[Tensor, " prompt"]],
    other: dict[str, Int[Tensor, " prompt"]],
) -> None:
    """Refuse roles that are one token in one text of a pair and two in the other.

    Args:
        roles: the roles that are matched.
        one: their positions in one text.
        other: their positions in the other.

    Raises:
        ValueError: two roles stand together in only one of the texts.
    """
    for a, b in combinations(sorted(roles), 2):
        if bool(((one[a] == one[b]) != (other[a] == other[b])).any()):
            raise ValueError(
                f"roles {a!r} and {b!r} are one token in one text of a pair and two in the other, "
                "so they cannot be replaced in one call; take one at a time"
            )


def _same_positions(task: Task, source: Task, side: Side) -> bool:
    """Whether a position means the same in each prompt and in its reference partner."""
    there = source.roles("corrupted")
    lengths = (source.mask("corrupted").sum(-1), task.mask(side).sum(-1))
    return torch.equal(*lengths) and all(
        role in there and torch.equal(at, there[role]) for role, at in task.roles(side).items()
    )


def _alike(
    task: Task,
    source: Task,
    side: Side,
    group: Int[Tensor, " prompt"],
    own: Int[Tensor, " reference_prompt"],
    roles: Sequence[str] | None,
) -> bool:
    """Whether a position means the same in the prompts of a group and in its reference texts.

    Roles that stand at several places in both say nothing about it, unless they are ablated.
    """
    if len(source) == len(task) and _same_positions(task, source, side):
        return True
    if source.fingerprint == task.fingerprint:
        return False
    here, there = task.roles(side), source.roles("corrupted")
    longest, lengths = task.mask(side).sum(-1), source.mask("corrupted").sum(-1)
    for index in group.unique().tolist():
        mine, theirs = group == index, own == index
        if lengths[theirs].max() < longest[mine].max():
            return False
        for role in here.keys() & there.keys():
            one, other = here[role][mine].unique(), there[role][theirs].unique()
            varies = len(one) > 1 and len(other) > 1
            if role in (roles or ()) if varies else not torch.equal(one, other):
                return False
    return True


def _roles_to_match(source: Task, roles: Sequence[str] | None, what: str) -> tuple[str, ...]:
    """The roles to match by, where positions do not mean the same.

    Raises:
        ValueError: activations are ablated away from roles too, or at roles that are not there.
    """
    there = source.roles("corrupted")
    if roles is None or any(role not in there for role in roles):
        raise ValueError(
            f"{what} takes activations at the same position of the reference's corrupted texts, "
            "but these have another length or their roles elsewhere; ablate at roles that both "
            "have, use value='mean', or give a reference of the same lengths and positions"
        )
    return tuple(dict.fromkeys(roles))


def _require_one_mean_each(
    roles: Sequence[str],
    here: dict[str, Int[Tensor, " prompt"]],
    there: dict[str, Int[Tensor, " reference_prompt"]],
    group: Int[Tensor, " prompt"],
    own: Int[Tensor, " reference_prompt"],
) -> None:
    """Refuse tokens at which two roles stand whose means in the reference are two."""
    for a, b in combinations(sorted(roles), 2):
        joint, two = here[a] == here[b], there[a] != there[b]
        if bool(torch.isin(group[joint], own[two]).any()):
            raise ValueError(
                f"roles {a!r} and {b!r} are one token in a prompt and two in the reference texts "
                "of its group, so that two means would stand in for it; take one role at a time"
            )


def _means(
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


def _group_means(
    model: HookedGPT2,
    source: Task,
    keys: Sequence[Key],
    group: Int[Tensor, " prompt"],
    n_groups: int,
    roles: tuple[str, ...] | None,
    progress: Progress,
) -> dict[Key, Float[Tensor, "group _ ..."]]:
    """Means over the corrupted texts of each group, at each position or role apart."""
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
    counts = counts.clamp(min=1)  # positions that no text has are never read
    return {
        key: total / counts.view(*counts.shape, *(1,) * (total.ndim - 2))
        for key, total in sums.items()
    }


def _of_length(
    value: Float[Tensor, "prompt _ ..."], length: int
) -> Float[Tensor, "prompt pos ..."]:
    """The activation at the first positions, with zeros after its last."""
    more = max(0, length - value.shape[1])
    return F.pad(value[:, :length], (0, 0) * (value.ndim - 2) + (0, more))


def _n_dims(site: str) -> int:
    return 4 if site in ("q", "k", "v", "z") else 3
