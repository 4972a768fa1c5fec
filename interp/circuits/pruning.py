"""Pruning: a first circuit for any model, made of the head outputs whose ablation matters.

An output is one head at the position of one role. All outputs elsewhere are ablated from the start,
or, with `positions`, only those at some positions: a model that does the task through tokens
without a role has nothing left to prune once these are ablated. Then, from the last layer to the
first, each output is ablated in turn, in addition to those already ablated; if the mean of every
metric changes by less than `threshold` of the whole model's, the output stays ablated, else it
belongs to the circuit. Thus a head for which others step in counts as soon as the others are
ablated, which single ablations would miss.

Earlier layers do not change while a layer is pruned, so every trial resumes at that layer.

Source: pruning from the output to the input with a threshold as in Conmy et al. 2023 (ACDC,
arXiv 2304.14997), applied to heads at positions instead of edges; mean ablation as in Wang et al.
2022 (arXiv 2211.00593), section 2. `interp.circuits.derive`, given the heads as `nodes`, finds what
they do and how they are linked; `derive_pruned` does both steps.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from interp.circuits.derivation import derive, require_fractions
from interp.circuits.evaluation import only
from interp.circuits.evidence import Derivation
from interp.metrics import Metrics, named_metrics
from interp.model import HookedGPT2
from interp.model.hooking import Hooks
from interp.parts import Head, Node
from interp.patching import Ablation, measure
from interp.runs.ablation import node_masks
from interp.runs.readout import Readout
from interp.runs.sides import Progress, at, batches, ready_task
from interp.runs.sites import hook_name
from interp.runs.stand_ins import Reference, Value
from interp.tasks import Task


@torch.inference_mode()
def prune_heads(
    model: HookedGPT2,
    task: Task,
    *,
    metrics: Metrics | None = None,
    threshold: float = 0.02,
    value: Value = "group mean",
    positions: Sequence[str | int] | None = None,
    reference: Reference = None,
    progress: Progress = iter,
) -> list[Node]:
    """Find the head outputs that a task needs by ablating from the last layer to the first.

    Args:
        model: the model
        task: clean prompts with roles
        metrics: the metrics, as in `patch`; by default the task's own metric. An output is kept if
            it matters for at least one of them.
        threshold: the smallest change of a metric's mean for which an output is kept, as a fraction
            of the whole model's mean
        value: what ablated heads say instead, as in `Ablation`
        positions: roles or indices where heads are ablated, as in `only`; by default everywhere
        reference: prompts whose corrupted texts stand in, as in `Ablation`; by default a sample of
            the task's kind
        progress: wraps the heads, for a progress bar

    Returns:
        The outputs that are kept, such as Node(Head(9, 6), "END"), in the order of a forward pass.

    Raises:
        ValueError: the threshold is not positive, the task does not fit the model or lacks one of
            the positions, or the mean of a metric over runs of the whole model is zero
    """
    require_threshold(threshold)
    task = ready_task(model, task, "prune_heads")
    trials = _Trials(model, task, metrics, value, positions, reference)
    roles = list(task.positions)
    heads = [Head(i, h) for i in range(model.config.n_layers) for h in range(model.config.n_heads)]
    keep = [Node(head, role) for head in heads for role in roles]
    whole = trials.metrics_of(trials.streams(0, None), 0, None)
    for name, mean in whole.items():
        if not abs(mean) > 1e-6:
            raise ValueError(
                f"the mean of {name} over the whole model's runs is {mean:.1g}, and an output "
                "counts if it changes a fraction of it; choose a metric that is not 0, such as "
                "logit_diff"
            )
    smallest = {name: threshold * abs(mean) for name, mean in whole.items()}
    starts, at_layer = trials.streams(0, keep), 0
    current = trials.metrics_of(starts, 0, keep)
    order = sorted(heads, key=lambda head: (-head.layer, head.head))
    for head in progress(order):
        if head.layer != at_layer:
            starts, at_layer = trials.streams(head.layer, keep), head.layer
        for drop in [roles, *([role] for role in roles)]:  # the whole head first, then role by role
            left = [node for node in keep if node.part != head or node.role not in drop]
            found = trials.metrics_of(starts, head.layer, left)
            if all(abs(found[name] - current[name]) < least for name, least in smallest.items()):
                keep, current = left, found
                if drop is roles:
                    break
    return sorted(keep)


def derive_pruned(
    model: HookedGPT2,
    task: Task,
    *,
    metrics: Metrics | None = None,
    threshold: float = 0.02,
    fdr: float = 0.05,
    min_attention: float = 0.2,
    least: float = 0.5,
    value: Value = "group mean",
    reference: Reference = None,
    progress: Progress = iter,
) -> Derivation:
    """Prune the heads of a task, then measure the links between those that are left.

    Heads are ablated at all positions. If what is left keeps too little of the first metric, the
    search is repeated with heads ablated only at the task's roles.

    Args:
        model: the model
        task: clean prompts with corrupted partners and roles
        metrics: as in `prune_heads` and `derive`
        threshold: as in `prune_heads`; also the `smallest` of `derive`
        fdr: as in `derive`
        min_attention: as in `derive`
        least: the fraction of the first metric that the heads must keep
        value: what ablated heads say instead, as in `Ablation`
        reference: prompts whose corrupted texts stand in, as in `Ablation`; by default a sample of
            the task's kind
        progress: wraps the heads of each search, for a progress bar

    Returns:
        The circuit with its evidence. The circuit's source says where heads were ablated.

    Raises:
        ValueError: as for `prune_heads` and `derive`
    """
    require_fractions(threshold=threshold, fdr=fdr)
    task = ready_task(model, task, "derive_pruned")
    first = next(iter(named_metrics(metrics, task)))
    whole = float(measure(model, task, metrics)[first].mean())
    for positions in (None, list(task.positions)):
        keep = prune_heads(
            model, task, metrics=metrics, threshold=threshold, value=value, positions=positions,
            reference=reference, progress=progress,
        )  # fmt: skip
        left = only(model, keep, value=value, positions=positions, reference=reference)
        if float(measure(model, task, metrics, ablation=left)[first].mean()) / whole >= least:
            break
    found = derive(
        model, task, metrics=metrics, smallest=threshold, fdr=fdr, min_attention=min_attention,
        nodes=keep, ablation=left, progress=progress,
    )  # fmt: skip
    where = "the task's roles alone" if positions else "all positions"
    source = (
        f"heads pruned from the last layer to the first, ablated at {where}, threshold "
        f"{threshold:.1%} of the mean {' or '.join(found.metrics)}; links and classes by path "
        "patching in what is left"
    )
    return replace(found, circuit=replace(found.circuit, source=source))


def require_threshold(threshold: float) -> None:
    """Refuse a threshold that is not positive.

    Args:
        threshold: a fraction of the whole model's metric

    Raises:
        ValueError: it is not positive
    """
    if not threshold > 0:
        raise ValueError(f"threshold must be a positive fraction, got {threshold}")


class _Trials:
    """Runs in which all heads except some are ablated, resumed at a layer.

    Args:
        model: the model
        task: the prompts, padded on the right, on the model's device
        metrics: the metrics
        value: what stands in for ablated heads
        positions: where heads are ablated
        reference: prompts that the stand-ins come from
    """

    def __init__(
        self,
        model: HookedGPT2,
        task: Task,
        metrics: Metrics | None,
        value: Value,
        positions: Sequence[str | int] | None,
        reference: Reference,
    ) -> None:
        self.model, self.task = model, task
        self.readout = Readout(model, task, metrics)
        ablation = Ablation("heads", value=value, positions=positions, reference=reference)
        prepared = ablation.prepare(model, task)
        self.where = {layer: mask for (_, layer), mask in prepared.masks.items()}
        every = torch.arange(len(task), device=model.device)
        self.batches = [every[rows] for rows in batches(task)]
        self.new = [prepared.new.values(rows, prepared.width) for rows in self.batches]

    def streams(self, layer: int, keep: Sequence[Node] | None) -> list[Tensor]:
        """The residual stream before a layer, one tensor per batch; None keeps all heads."""
        found = []
        for i, rows in enumerate(self.batches):
            with self.model.own_hooks(self._hooks(i, 0, keep, layer)):
                found.append(self.model(self.task.clean_tokens[rows], stop_at_layer=layer))
        return found

    def metrics_of(
        self, starts: Sequence[Tensor], layer: int, keep: Sequence[Node] | None
    ) -> dict[str, float]:
        """Means of the metrics, resumed at a layer from the streams before it."""
        end, parts = self.model.config.n_layers, []
        for i, (rows, stream) in enumerate(zip(self.batches, starts, strict=True)):
            with self.model.own_hooks(self._hooks(i, layer, keep, end)):
                out = self.model(stream, start_at_layer=layer, stop_at_layer=end)
            parts.append(self.readout(at(out, self.task.positions["END"][rows]), rows))
        return {
            name: float(torch.cat([part[name] for part in parts]).mean())
            for name in self.readout.chosen
        }

    def _hooks(self, batch: int, first: int, keep: Sequence[Node] | None, end: int) -> Hooks:
        """Hooks that ablate all heads except some in the layers from `first` up to `end`."""
        if keep is None:
            return []
        here = [node for node in keep if first <= node.layer < end]
        kept = node_masks(self.model, self.task, here, None)
        rows, found = self.batches[batch], []
        for layer in range(first, end):
            mask = self.where[layer]
            if ("z", layer) in kept:
                mask = mask & ~kept["z", layer]
            new = self.new[batch]["z", layer]
            found.append((hook_name("z", layer), _replace(mask[rows][..., None], new)))
        return found


def _replace(mask: Tensor, new: Tensor) -> Callable[..., Tensor]:
    return lambda value, hook: torch.where(mask, new, value)
