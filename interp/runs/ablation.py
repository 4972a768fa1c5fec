"""Ablation: a part of the model says what it says without the input, or nothing.

    zero         0
    mean         its mean over the real positions of all reference prompts
    group mean   its mean over the reference prompts of the same group, at each position apart (the
                 IOI paper's: what the template tells is kept, who the names are is lost)
    resample     what it says on the prompt's own reference partner, at the same position

The reference prompts are the task's corrupted ones, or those of another task. Heads are ablated at
z, neurons after their activation function, MLPs at their output.

Source: Wang et al. 2022 (arXiv 2211.00593), section 2.2 (mean ablation); Chan et al. 2022, "Causal
Scrubbing", for resampling.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp.model import HookedGPT2
from interp.runs.forward import HOOKS, Edits, Rows
from interp.runs.sides import Hooks, Key, Progress, Prompts, batches, positions_mask, run_side
from interp.tasks import Task

Keep = tuple[int, int, str]
"""Layer, head and role of an output that is left as it is."""

Value = Literal["zero", "mean", "group mean", "resample"]

StandIn = Callable[[slice | Prompts, int], dict[Key, Float[Tensor, "_ _ ..."]]]
"""(prompts, positions) -> replacements by (site, layer), each broadcastable to the activation."""


@dataclass(frozen=True)
class Ablation:
    """What is knocked out of a model, for any technique to work on what is left.

    Args:
        heads: (layer, head) pairs, or "all".
        mlps: layers whose whole MLP is ablated.
        neurons: (layer, neuron) pairs.
        value: what they say instead; see the module.
        positions: roles, or indices from 0, at which they are ablated; None for everywhere.
        keep: (layer, head, role) of head outputs that are left alone all the same: a circuit.
        reference: prompts, by their corrupted texts, that means are taken over or resampled from;
            None for the task's own.

    Example:
        >>> Ablation(heads=[(9, 9), (9, 6)], value="resample").value
        'resample'
    """

    heads: Sequence[tuple[int, int]] | Literal["all"] = ()
    mlps: Sequence[int] = ()
    neurons: Sequence[tuple[int, int]] = ()
    value: Value = "mean"
    positions: Sequence[str | int] | None = None
    keep: Sequence[Keep] = ()
    reference: Task | None = None

    def prepare(self, model: HookedGPT2, task: Task, *, progress: Progress = iter) -> "Prepared":
        """Work out what is replaced by what, on the prompts of a task.

        Args:
            model: the model.
            task: the prompts that will be run.
            progress: wraps the batches of reference prompts, for a progress bar.

        Returns:
            The ablation as hooks and as edits of the engine.

        Raises:
            ValueError: for a head, layer, neuron, role or position that model or task do not have,
                or reference prompts that do not fit.
        """
        task = task.right_padded().to(model.device)
        masks = self._masks(model, task)
        new = stand_ins(
            model, task, list(masks), self.value, reference=self.reference, progress=progress
        )
        return Prepared(masks, new, task.clean_tokens.shape[1])

    def check(self, model: HookedGPT2, task: Task) -> None:
        """Raise the errors of `prepare` for what model or task do not have, before any run."""
        self._masks(model, task.right_padded())

    def _masks(self, model: HookedGPT2, task: Task) -> dict[Key, Bool[Tensor, "prompt pos unit"]]:
        """Where each activation is replaced."""
        c, n = model.config, task.clean_tokens.shape
        where = positions_mask(task, self.positions).to(model.device)  # prompt pos
        masks: dict[Key, Tensor] = {}

        def add(site: str, layer: int, unit: int, width: int) -> None:
            if not (0 <= layer < c.n_layers and 0 <= unit < width):
                raise ValueError(
                    f"the model has no {_PARTS[site]} {layer}.{unit}: it has {c.n_layers} layers "
                    f"of {width}"
                )
            if (site, layer) not in masks:
                masks[site, layer] = torch.zeros(*n, width, dtype=torch.bool, device=where.device)
            masks[site, layer][:, :, unit] = where

        pairs = [(i, h) for i in range(c.n_layers) for h in range(c.n_heads)]
        for layer, head in pairs if self.heads == "all" else self.heads:
            add("z", layer, head, c.n_heads)
        for layer, neuron in self.neurons:
            add("mlp_post", layer, neuron, c.d_mlp)
        for layer in self.mlps:
            add("mlp_out", layer, 0, 1)
        kept = kept_outputs(model, task, self.keep)
        for (site, layer), mask in masks.items():
            if site == "z":
                mask &= ~kept[layer]
        return masks


_PARTS = {"z": "head", "mlp_post": "neuron", "mlp_out": "MLP"}


@dataclass(frozen=True)
class Prepared:
    """An ablation of one model on one task.

    Args:
        masks: (site, layer) -> where the activation is replaced, read anew in each run.
        new: by what.
        width: positions of the task.
    """

    masks: dict[Key, Bool[Tensor, "prompt pos unit"]]
    new: StandIn
    width: int

    def hooks(self, rows: slice | Prompts, length: int | None = None) -> Hooks:
        """Forward hooks for a run of some prompts.

        Args:
            rows: which prompts of the task.
            length: positions of the run; by default all that the task has.

        Returns:
            The hooks, for `HookedGPT2.hooks` and `run_task`.
        """

        def replace(mask: Tensor, new: Tensor) -> Callable[..., Tensor]:
            def hook(value: Tensor, hook: object) -> Tensor:
                length = value.shape[1]  # of the longest prompt of the run
                return torch.where(_like(mask[:, :length], value), new[:, :length], value)

            return hook

        values = self.new(rows, length or self.width)
        return [
            (f"blocks.{layer}.{HOOKS[site]}", replace(mask[rows], values[site, layer]))
            for (site, layer), mask in self.masks.items()
        ]

    def edits(self, rows: Prompts, length: int) -> Edits:
        """The same for the engine."""

        def replace(mask: Tensor, new: Tensor) -> Callable[[Rows, Tensor], Tensor]:
            full = new.expand(mask.shape[0], length, *new.shape[2:])
            return lambda at, value: torch.where(_like(at.of(mask), value), at.of(full), value)

        values = self.new(rows, length)
        return {key: replace(mask[rows], values[key]) for key, mask in self.masks.items()}


def _like(mask: Bool[Tensor, "... unit"], value: Tensor) -> Bool[Tensor, "..."]:
    """The mask with as many dimensions as the activation."""
    return mask[..., None] if value.ndim > mask.ndim else mask


def stand_ins(
    model: HookedGPT2,
    task: Task,
    keys: Sequence[Key],
    value: Value,
    *,
    reference: Task | None = None,
    progress: Progress = iter,
) -> StandIn:
    """What ablated activations are replaced by.

    Args:
        model: the model.
        task: the prompts that will be run, padded on the right.
        keys: the activations.
        value: which replacement; see the module.
        reference: as in `Ablation`.
        progress: wraps the batches of reference prompts, for a progress bar.

    Returns:
        For a slice of the prompts and a number of positions, the replacements.

    Raises:
        ValueError: for an unknown value, or reference prompts that do not fit the task.
    """
    if value not in get_args(Value):
        raise ValueError(f"expected a value among {list(get_args(Value))}, got {value!r}")
    source = (task if reference is None else reference).right_padded()
    if value == "zero":
        nothing = torch.zeros((), device=model.device, dtype=model.dtype)
        shapes = {site: (1,) * (4 if site in ("q", "k", "v", "z") else 3) for site, _ in keys}
        return lambda rows, length: {key: nothing.view(shapes[key[0]]) for key in keys}
    if value == "resample":
        if len(source) != len(task) or not torch.equal(
            source.mask("corrupted"), task.mask("clean")
        ):
            raise ValueError(
                "resampling takes each prompt's activations from its partner at the same "
                "positions, so the reference needs a corrupted text of the same length for each "
                "prompt of the task"
            )
        return lambda rows, length: run_side(model, source, rows, "corrupted", keys, length=length)[
            1
        ]
    means = _means(model, source, keys, by_group=value == "group mean", progress=progress)
    if value == "mean":
        return lambda rows, length: means
    labels = sorted(set(source.group))
    missing = sorted(set(task.group) - set(labels))
    if missing:
        raise ValueError(
            f"the reference has no prompts of group {missing[0]!r}; a group mean needs every group "
            "of the task in it"
        )
    group = torch.tensor([labels.index(label) for label in task.group], device=model.device)
    return lambda rows, length: {key: mean[group[rows], :length] for key, mean in means.items()}


def _means(
    model: HookedGPT2, task: Task, keys: Sequence[Key], *, by_group: bool, progress: Progress
) -> dict[Key, Float[Tensor, "group pos ..."]]:
    """Means over corrupted prompts: of each group at each position, or of all (dims of size 1)."""
    labels = sorted(set(task.group)) if by_group else []
    group = torch.tensor(
        [labels.index(label) if by_group else 0 for label in task.group], device=model.device
    )
    n_groups, width = max(len(labels), 1), task.corrupted_tokens.shape[1]
    real = task.mask("corrupted").to(model.device)
    sums: dict[Key, Tensor] = {}
    for rows in batches(task, progress):
        _, kept = run_side(model, task, rows, "corrupted", keys, length=width)
        for key, value in kept.items():
            if not by_group:
                value = value[real[rows]].sum(0, keepdim=True)[None]  # 1 1 ...
                sums[key] = sums[key] + value if key in sums else value
                continue
            if key not in sums:
                sums[key] = value.new_zeros(n_groups, *value.shape[1:])
            sums[key].index_add_(0, group[rows], value)
    if not by_group:
        return {key: total / real.sum() for key, total in sums.items()}
    counts = torch.bincount(group, minlength=n_groups)
    return {key: total / counts.view(-1, *(1,) * (total.ndim - 1)) for key, total in sums.items()}


def kept_outputs(
    model: HookedGPT2, task: Task, keep: Sequence[Keep]
) -> Bool[Tensor, "layer prompt pos head"]:
    """Where head outputs are kept: True at each head's roles.

    Args:
        model: the model.
        task: the prompts.
        keep: (layer, head, role) of the outputs to keep.

    Returns:
        One truth value a head output.

    Raises:
        ValueError: for a head outside the model or a role that the task does not have.
    """
    n_layers, n_heads = model.config.n_layers, model.config.n_heads
    kept = torch.zeros(
        n_layers, *task.clean_tokens.shape, n_heads, dtype=torch.bool, device=model.device
    )
    prompts = torch.arange(len(task), device=model.device)
    for layer, head, role in keep:
        if not (0 <= layer < n_layers and 0 <= head < n_heads):
            raise ValueError(
                f"head {layer}.{head} is not in the model, which has {n_layers} layers of "
                f"{n_heads} heads"
            )
        if role not in task.positions:
            raise ValueError(f"the task has no role {role!r}; it has {list(task.positions)}")
        kept[layer, prompts, task.positions[role].to(model.device), head] = True
    return kept
