"""Ablation: parts of the model are replaced by stand-ins, in every run of a technique.

Heads are ablated at z, neurons after their activation function, MLPs at their output;
`interp.runs.stand_ins` computes the stand-ins.

Source: Wang et al. 2022 (arXiv 2211.00593), section 2.2 (mean ablation).

The file is longer than most: an ablation and what it becomes in a run belong together.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool
from torch import Tensor

from interp.model import HookedGPT2
from interp.model.hooking import Hooks
from interp.parts import (
    MLP,
    Head,
    Neuron,
    Node,
    NodeLike,
    as_node,
    require_in_model,
    require_once,
    unit_of,
)
from interp.runs.edits import Edits
from interp.runs.places import Position, positions_mask, require_positions
from interp.runs.rows import Rows
from interp.runs.sides import Progress, Prompts
from interp.runs.sites import Key, hook_name, n_units, site_of
from interp.runs.stand_ins import (
    Reference,
    StandIns,
    Value,
    reference_task,
    require_reference,
    require_value,
    stand_ins,
)
from interp.tasks import Task
from interp.tasks.sides import Side


@dataclass(frozen=True)
class Ablation:
    """What is knocked out of a model, so that a technique can be applied to what is left.

    Args:
        parts: heads, MLPs and neurons, or "heads" for all heads of the model. A part with a role
            ("9.9@END") is ablated only there, a part without one at `positions`.
        value: what stands in for them: "zero", "mean", "group mean" or "resample"; see
            `interp.runs.stand_ins`
        positions: roles or indices from 0 at which parts are ablated; None for everywhere
        keep: heads that are not ablated (those with a role, only there), such as a circuit
        reference: prompts whose corrupted texts are used for means and resampling. None takes means
            over a sample of 500 prompts like the task's, if it can draw one (`Task.reference`), and
            over the task's own otherwise; "own" always takes the task's own, as the paper does.

    Raises:
        ValueError: the value is unknown, there are no parts, or a part is given twice
        TypeError: an argument is of another type

    Example:
        >>> Ablation(["9.9", "9.6"], value="resample").parts
        (Node(part=Head(layer=9, head=9), role=None), Node(part=Head(layer=9, head=6), role=None))
    """

    parts: Sequence[NodeLike] | Literal["heads"]
    value: Value = "mean"
    positions: Sequence[Position] | None = None
    keep: Sequence[NodeLike] = ()
    reference: Reference = None

    def __post_init__(self) -> None:
        require_value(self.value)
        require_positions(self.positions)
        require_reference(self.reference)
        if self.parts != "heads":
            object.__setattr__(self, "parts", as_ablated(self.parts))
            if not self.parts:
                raise ValueError(
                    "an ablation needs parts, such as Ablation(['9.9', 'm0']), or 'heads' for all "
                    "heads; leave the ablation out to ablate nothing"
                )
        object.__setattr__(self, "keep", as_ablated(self.keep))
        if any(not isinstance(node.part, Head) for node in self.nodes_kept):
            raise ValueError("only heads can be kept; leave other parts out of the ablation")

    @property
    def nodes_kept(self) -> tuple[Node, ...]:
        """The nodes that are not ablated."""
        return self.keep  # type: ignore[return-value]

    def nodes(self, model: HookedGPT2) -> tuple[Node, ...]:
        """The nodes that are ablated in a model, before `keep` is taken into account."""
        if self.parts != "heads":
            return self.parts  # type: ignore[return-value]
        c = model.config
        return tuple(Node(Head(i, h)) for i in range(c.n_layers) for h in range(c.n_heads))

    def prepare(
        self, model: HookedGPT2, task: Task, side: Side = "clean", *, progress: Progress = iter
    ) -> "PreparedAblation":
        """Compute what is replaced by what, on the prompts of a task.

        Args:
            model: the model
            task: the prompts that will be run
            side: which text of each pair
            progress: wraps the batches of reference prompts, for a progress bar

        Returns:
            The ablation, as hooks and as edits of the resumed forward pass.

        Raises:
            ValueError: the model or the task lacks a part, role or position, or the reference
                prompts do not fit
        """
        task = task.right_padded().to(model.device)
        masks = self._masks(model, task, side)
        new = stand_ins(
            model,
            task,
            list(masks),
            self.value,
            side,
            reference=self.reference,
            roles=self._roles(model),
            progress=progress,
        )
        return PreparedAblation(masks, new, task.clean_tokens.shape[1])

    def require(self, model: HookedGPT2, task: Task) -> None:
        """Raise the errors of `prepare` for missing parts, roles and positions, before any run."""
        require_in_model(model, [node.part for node in (*self.nodes(model), *self.nodes_kept)])
        roles = [node.role for node in (*self.nodes(model), *self.nodes_kept) if node.role]
        positions_mask(task, [*roles, *(self.positions or ())])

    def describe(self, task: Task | None = None) -> str:
        """Describe the ablation in one line, for the attrs of results.

        Args:
            task: the prompts that are run, which decide where means come from by default

        Returns:
            The line
        """
        parts = self.parts if self.parts == "heads" else " ".join(map(str, self.parts))
        found = [f"{self.value} of {parts}"]
        if self.positions is not None:
            found.append(f"at {' '.join(map(str, self.positions))}")
        if self.keep:
            found.append(f"but {' '.join(map(str, self.keep))}")
        other = self.reference if isinstance(self.reference, Task) else None
        if task is not None:
            other = reference_task(task, self.value, self.reference)
        if other is not None:
            found.append(f"reference {len(other)} prompts of {other.name} {other.fingerprint}")
        return "; ".join(found)

    def _roles(self, model: HookedGPT2) -> list[str] | None:
        """The roles at which everything is ablated; None if anything is ablated elsewhere."""
        given = [None] if self.positions is None else list(self.positions)
        found: list[str] = []
        for node in self.nodes(model):
            for at in [node.role] if node.role else given:
                if not isinstance(at, str):
                    return None
                found.append(at)
        return list(dict.fromkeys(found))

    def _masks(
        self, model: HookedGPT2, task: Task, side: Side
    ) -> dict[Key, Bool[Tensor, "prompt pos unit"]]:
        """Where each activation is replaced."""
        self.require(model, task)
        masks = node_masks(model, task, self.nodes(model), self.positions, side)
        for key, kept in node_masks(model, task, self.nodes_kept, None, side).items():
            if key in masks:
                masks[key] &= ~kept
        return masks


def as_ablated(parts: Iterable[NodeLike]) -> tuple[Node, ...]:
    """Turn any of the ways to name nodes into nodes that can be ablated.

    Args:
        parts: see `interp.parts.NodeLike`

    Returns:
        The nodes.

    Raises:
        ValueError: a node is given twice, or is the input or the logits
        TypeError: the argument is not a list of nodes
    """
    if isinstance(parts, str) or not isinstance(parts, Iterable):
        raise TypeError(f"expected a list of parts, such as ['9.9', 'm0']; got {parts!r}")
    nodes = tuple(as_node(one) for one in parts)
    for node in nodes:
        if not isinstance(node.part, Head | MLP | Neuron):
            raise ValueError(f"heads, MLPs and neurons can be ablated; {node} is none of these")
    require_once(nodes, "part")
    return nodes


def node_masks(
    model: HookedGPT2,
    task: Task,
    nodes: Sequence[Node],
    positions: Sequence[Position] | None,
    side: Side = "clean",
) -> dict[Key, Bool[Tensor, "prompt pos unit"]]:
    """Masks of nodes: True at their roles, or at some positions for nodes without a role.

    Args:
        model: the model, which must have the parts
        task: the prompts, from `Task.right_padded`, on the model's device
        nodes: the nodes
        positions: roles or indices for nodes without a role; None for all
        side: which text of each pair

    Returns:
        Site and layer -> mask.
    """
    where = {role: positions_mask(task, [role], side) for role in {n.role for n in nodes} if role}
    everywhere = positions_mask(task, positions, side)  # prompt pos
    masks: dict[Key, Tensor] = {}
    for node in nodes:
        key = site_of(node)
        if key not in masks:
            shape = (*everywhere.shape, n_units(model, key[0]))
            masks[key] = torch.zeros(shape, dtype=torch.bool, device=everywhere.device)
        masks[key][:, :, unit_of(node.part)] |= where[node.role] if node.role else everywhere
    return masks


@dataclass(frozen=True)
class PreparedAblation:
    """An ablation prepared for one model and one task.

    Args:
        masks: (site, layer) -> where the activation is replaced
        new: the stand-ins
        width: number of positions of the task
    """

    masks: dict[Key, Bool[Tensor, "prompt pos unit"]]
    new: StandIns
    width: int

    def hooks(self, rows: slice | Prompts, length: int | None = None) -> Hooks:
        """Forward hooks for a run of some prompts.

        Args:
            rows: which prompts of the task
            length: number of positions of the run; by default all positions of the task

        Returns:
            The hooks, for `HookedGPT2.hooks` and `run_task`.
        """

        def replace(mask: Tensor, new: Tensor) -> Callable[..., Tensor]:
            def hook(value: Tensor, hook: object) -> Tensor:
                length = value.shape[1]  # number of positions of the longest prompt in the run
                return torch.where(_like(mask[:, :length], value), new[:, :length], value)

            return hook

        values = self.new.values(rows, length or self.width)
        return [
            (hook_name(*key), replace(mask[rows], values[key])) for key, mask in self.masks.items()
        ]

    def edits(self, rows: Prompts, length: int) -> Edits:
        """The same as edits of the resumed forward pass."""

        def replace(mask: Tensor, new: Tensor) -> Callable[[Rows, Tensor], Tensor]:
            full = new.expand(mask.shape[0], length, *new.shape[2:])
            return lambda at, value: torch.where(_like(at.of(mask), value), at.of(full), value)

        values = self.new.values(rows, length)
        return {key: replace(mask[rows], values[key]) for key, mask in self.masks.items()}


def _like(mask: Bool[Tensor, "... unit"], value: Tensor) -> Bool[Tensor, "..."]:
    """The mask, with as many dimensions as the activation."""
    return mask[..., None] if value.ndim > mask.ndim else mask


def prepared(
    ablation: Ablation | None, model: HookedGPT2, task: Task, side: Side = "clean"
) -> PreparedAblation | None:
    """Prepare an ablation, if there is one.

    Args:
        ablation: what is knocked out; None for nothing
        model: the model
        task: the prompts that will be run
        side: which text of each pair

    Returns:
        The prepared ablation, or None.

    Raises:
        TypeError: the argument is not an Ablation
        ValueError: as for `Ablation.prepare`
    """
    if ablation is None:
        return None
    if not isinstance(ablation, Ablation):
        raise TypeError(
            f"expected an Ablation, such as Ablation(['9.9', 'm0'], value='mean'); got {ablation!r}"
        )
    return ablation.prepare(model, task, side)
