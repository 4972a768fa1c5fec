"""The pair of runs of a task: the base run, which is changed, and the other run, the source.

Denoising changes the corrupted run by the clean one, noising the clean run by the corrupted one.
Positions must mean the same in both texts of a pair; if they do not, activations are put at the
roles that both texts have, and nowhere else.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp.model import HookedGPT2
from interp.runs.ablation import Ablation, PreparedAblation, prepared
from interp.runs.edits import Edits
from interp.runs.matching import moved, require_one_token_each
from interp.runs.readout import Readout
from interp.runs.sides import Prompts, run_side
from interp.runs.sites import Key
from interp.tasks import Task
from interp.tasks.sides import Side

Direction = Literal["denoising", "noising"]


def base_of(direction: str) -> Side:
    """The side that a direction changes.

    Args:
        direction: "denoising" or "noising"

    Returns:
        "corrupted" for denoising, "clean" for noising.

    Raises:
        ValueError: the direction is unknown
    """
    if direction not in get_args(Direction):
        raise ValueError(f"expected direction 'denoising' or 'noising', got {direction!r}")
    return "corrupted" if direction == "denoising" else "clean"


class BaseRun:
    """The run of some prompts that is changed, and the activations kept from it.

    Args:
        model: the model
        task: the prompts, padded on the right
        prompts: which of them
        side: which text of each pair
        keys: the activations to keep
        readout: what to measure
        ablation: what is knocked out, prepared for this side
    """

    def __init__(
        self,
        model: HookedGPT2,
        task: Task,
        prompts: Prompts,
        side: Side,
        keys: Sequence[Key],
        readout: Readout,
        ablation: PreparedAblation | None,
    ) -> None:
        self.model, self.prompts, self.readout, self.side = model, prompts, readout, side
        self.task, self.n_layers = task.subset(prompts.tolist()), model.config.n_layers
        self.end = self.task.roles(side)["END"]
        self.length = int(self.end.max()) + 1
        self.pos = torch.arange(self.length, device=self.end.device)
        hooks = ablation.hooks(prompts, self.length) if ablation else ()
        stream, self.kept = run_side(model, task, prompts, side, keys, hooks=hooks)
        self.values = readout(stream, prompts)
        self.edits: Edits = ablation.edits(prompts, self.length) if ablation else {}

    @property
    def at_end(self) -> Bool[Tensor, "prompt pos"]:
        """True at END."""
        return self.pos == self.end[:, None]

    @property
    def up_to_end(self) -> Bool[Tensor, "prompt pos"]:
        """True at the real tokens."""
        return self.pos <= self.end[:, None]


@dataclass(frozen=True)
class Setting:
    """How the base runs of a technique are made.

    Args:
        model: the model
        task: the prompts, padded on the right and on the model's device
        side: the side that is changed
        readout: what to measure
        ablation: what is knocked out, prepared for this side
    """

    model: HookedGPT2
    task: Task
    side: Side
    readout: Readout
    ablation: PreparedAblation | None

    def base(self, prompts: Prompts, keys: Sequence[Key]) -> BaseRun:
        """Run some prompts and keep activations."""
        return BaseRun(self.model, self.task, prompts, self.side, keys, self.readout, self.ablation)


@dataclass(frozen=True)
class Pair(Setting):
    """How the base run, and the run whose activations are put into it, are made.

    Args:
        keys: the activations to put in; ("embed", 0) is given as ("resid_pre", 0)
        roles: the roles at which they are, where the texts are not aligned
        there: what is knocked out, prepared for the other side
    """

    keys: Sequence[Key]
    roles: Collection[str]
    there: PreparedAblation | None

    @staticmethod
    def of(
        model: HookedGPT2,
        task: Task,
        side: Side,
        readout: Readout,
        keys: Sequence[Key],
        roles: Collection[str],
        ablation: Ablation | None,
    ) -> "Pair":
        """Prepare both runs; nothing is run yet except what the ablation needs.

        Args:
            model: the model
            task: the prompts, padded on the right and on the model's device
            side: the side that is changed
            readout: what to measure
            keys: the activations to put in
            roles: the roles at which they are, where the texts are not aligned
            ablation: what is knocked out of both runs

        Returns:
            The pair.
        """
        here = there = prepared(ablation, model, task, side)
        if ablation and not task.aligned:
            there = prepared(ablation, model, task, other_side(side))
        return Pair(model, task, side, readout, here, keys, roles, there)

    def run(
        self, prompts: Prompts, length: int
    ) -> tuple[dict[Key, Float[Tensor, "prompt pos ..."]], dict[str, Float[Tensor, " prompt"]]]:
        """Run the other side of some prompts.

        Args:
            prompts: which
            length: number of positions of the base run

        Returns:
            The activations, at the positions of the base run, and the metrics.
        """
        side = other_side(self.side)
        own = int(self.task.mask(side)[prompts].sum(-1).max())
        hooks = self.there.hooks(prompts, own) if self.there else ()
        stream, kept = run_side(self.model, self.task, prompts, side, self.keys, hooks=hooks)
        if not self.task.aligned:
            here, there = (
                {role: self.task.roles(one)[role][prompts] for role in self.roles}
                for one in (self.side, side)
            )
            kept = {key: moved(value, there, here, length) for key, value in kept.items()}
        if ("embed", 0) in kept:  # enters as the stream, together with the position embedding
            pos_embed = self.model.pos_embed.W_pos[:length]
            kept["resid_pre", 0] = kept.pop(("embed", 0)) + pos_embed
        return kept, self.readout(stream, prompts)


def other_side(side: Side) -> Side:
    """The other text of each pair."""
    return "clean" if side == "corrupted" else "corrupted"


def require_alignment(task: Task, site: str, roles: Collection[str], by_role: bool) -> None:
    """Refuse to replace activations at positions that do not mean the same in both texts.

    Args:
        task: the prompts
        site: the activation
        roles: the roles at which it is replaced
        by_role: whether it is replaced only at roles

    Raises:
        ValueError: the texts of a pair are not aligned, and the activation is not replaced at
            single roles
    """
    if task.aligned:
        return
    if site == "pattern" or not by_role:
        raise ValueError(
            "clean and corrupted prompts do not have the same length, or not their roles at the "
            "same positions, so that a position does not mean the same in both; patch by role "
            "(a selection with positions=[...] that are roles, or over=('layer', 'role')), and not "
            "at 'pattern'"
        )
    require_one_token_each(list(roles), task.roles("clean"), task.roles("corrupted"))
