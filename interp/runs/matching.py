"""Whether a position means the same in two texts, and matching by role if it does not."""

from collections.abc import Sequence
from itertools import combinations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.tasks import Task
from interp.tasks.sides import Side


def moved(
    value: Float[Tensor, "prompt _ ..."],
    there: dict[str, Int[Tensor, " prompt"]],
    here: dict[str, Int[Tensor, " prompt"]],
    length: int,
) -> Float[Tensor, "prompt pos ..."]:
    """Move the activation at each role of one text to where that role stands in another text.

    Args:
        value: the activation of the first text
        there: position of each role in the first text
        here: position of each role in the other text
        length: number of positions of the other text

    Returns:
        The activation at the roles, and zeros elsewhere.
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
    """Refuse roles that are one token in one text of a pair and two tokens in the other.

    Args:
        roles: the roles that are matched
        one: their positions in one text
        other: their positions in the other

    Raises:
        ValueError: two roles coincide in only one of the texts
    """
    for a, b in combinations(sorted(roles), 2):
        if bool(((one[a] == one[b]) != (other[a] == other[b])).any()):
            raise ValueError(
                f"roles {a!r} and {b!r} are one token in one text of a pair and two in the other, "
                "so they cannot be replaced in one call; take one at a time"
            )


def same_positions(task: Task, source: Task, side: Side) -> bool:
    """Whether a position means the same in each prompt and in its reference partner."""
    there = source.roles("corrupted")
    lengths = (source.mask("corrupted").sum(-1), task.mask(side).sum(-1))
    return torch.equal(*lengths) and all(
        role in there and torch.equal(at, there[role]) for role, at in task.roles(side).items()
    )


def alike(
    task: Task,
    source: Task,
    side: Side,
    group: Int[Tensor, " prompt"],
    own: Int[Tensor, " reference_prompt"],
    roles: Sequence[str] | None,
) -> bool:
    """Whether a position means the same in the prompts of a group and in its reference texts.

    END must stand at the same positions, so the lengths are the same too. Another role may stand at
    several positions in the reference, unless the ablation is at that role.
    """
    if len(source) == len(task) and same_positions(task, source, side):
        return True
    if source.fingerprint == task.fingerprint:
        return False
    here, there = task.roles(side), source.roles("corrupted")
    for index in group.unique().tolist():
        mine, theirs = group == index, own == index
        for role in here.keys() & there.keys():
            one, other = here[role][mine].unique(), there[role][theirs].unique()
            varies = len(other) > 1 and role != "END"
            if role in (roles or ()) if varies else not torch.equal(one, other):
                return False
    return True


def roles_to_match(source: Task, roles: Sequence[str] | None, what: str) -> tuple[str, ...]:
    """The roles to match by, if positions do not mean the same.

    Raises:
        ValueError: activations are also ablated at positions without a role, or at roles that the
            reference lacks
    """
    there = source.roles("corrupted")
    if roles is None or any(role not in there for role in roles):
        raise ValueError(
            f"{what} takes activations at the same position of the reference's corrupted texts, "
            "but these have another length or their roles elsewhere; ablate at roles that both "
            "have, use value='mean', or give a reference of the same lengths and positions"
        )
    return tuple(dict.fromkeys(roles))


def require_one_mean_each(
    roles: Sequence[str],
    here: dict[str, Int[Tensor, " prompt"]],
    there: dict[str, Int[Tensor, " reference_prompt"]],
    group: Int[Tensor, " prompt"],
    own: Int[Tensor, " reference_prompt"],
) -> None:
    """Refuse tokens with two roles that have different means in the reference."""
    for a, b in combinations(sorted(roles), 2):
        joint, two = here[a] == here[b], there[a] != there[b]
        if bool(torch.isin(group[joint], own[two]).any()):
            raise ValueError(
                f"roles {a!r} and {b!r} are one token in a prompt and two in the reference texts "
                "of its group, so that two means would stand in for it; take one role at a time"
            )
