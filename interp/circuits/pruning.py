"""A first circuit for any model: the head outputs whose ablation matters.

An output is one head at one role's position. All outputs elsewhere are mean-ablated from the start,
or, with `positions`, those at some positions alone: a model that does the task by way of tokens
without a role has nothing left to prune where these are gone. Then, from the last layer to the
first, each output is ablated in turn, on top of those that are gone already; if the mean logit
difference changes by less than `threshold` of the whole model's, it stays ablated, else it belongs
to the circuit. So what a head does through heads that step in for each other counts as soon as the
others are gone, which one ablation at a time would miss.

Source: pruning from the output to the input with a threshold as in Conmy et al. 2023 (ACDC,
arXiv 2304.14997), here on heads at positions, not on edges; mean ablation is that of Wang et al.
2022 (arXiv 2211.00593), section 2. What the heads do, and their links, `interp.circuits.derive`
tells, which takes them as `nodes`.
"""

from collections.abc import Sequence

import torch

from interp.model import HookedGPT2
from interp.patching import Ablation, Keep, Progress, kept_outputs
from interp.runs.readout import logit_diff_of
from interp.runs.sides import at, batches, positions_mask
from interp.tasks import Task


@torch.inference_mode()
def prune_heads(
    model: HookedGPT2,
    task: Task,
    *,
    threshold: float = 0.02,
    positions: Sequence[str | int] | None = None,
    progress: Progress = iter,
) -> list[Keep]:
    """The head outputs that the task needs, found by ablating from the last layer to the first.

    Args:
        model: the model.
        task: clean prompts, whose corrupted partners give the means.
        threshold: smallest change of the mean logit difference that keeps an output, as a fraction
            of the whole model's.
        positions: roles or indices where heads are ablated, as in `only`; by default everywhere.
        progress: wraps the heads, for a progress bar.

    Returns:
        (layer, head, role) of each output in the circuit, by layer.

    Raises:
        ValueError: for a threshold that is not positive, or a role that the task does not have.
    """
    if not threshold > 0:
        raise ValueError(f"threshold must be a positive fraction, got {threshold}")
    n_layers, n_heads, roles = model.config.n_layers, model.config.n_heads, list(task.positions)
    keep = [(i, h, role) for i in range(n_layers) for h in range(n_heads) for role in roles]
    task = task.right_padded().to(model.device)
    where = positions_mask(task, positions)[..., None]  # prompt pos 1
    ablated = Ablation(heads="all", value="group mean").prepare(model, task)

    def leave(layer: int, some: list[Keep]) -> None:
        """Ablate a layer's outputs but for some."""
        ablated.masks["z", layer].copy_(where & ~kept_outputs(model, task, some)[layer])

    def run(starts: list[torch.Tensor], layer: int) -> float:
        """Mean logit difference of the ablated model, resumed at a layer."""
        values = []
        for rows, resid in zip(batches(task), starts, strict=True):
            with model.hooks(fwd_hooks=list(ablated.hooks(rows))):
                out = model(resid, start_at_layer=layer, stop_at_layer=n_layers)
            last = at(out, task.positions["END"][rows])
            values.append(logit_diff_of(model, last, task.answer[rows], task.foil[rows]))
        return float(torch.cat(values).mean())

    def streams(layer: int) -> list[torch.Tensor]:
        """The residual stream before a layer, one tensor a batch, the ablations before it done."""
        found = []
        for rows in batches(task):
            with model.hooks(fwd_hooks=list(ablated.hooks(rows))):
                found.append(model(task.clean_tokens[rows], stop_at_layer=layer))
        return found

    whole = streams(0)
    for layer in range(n_layers):
        ablated.masks["z", layer].fill_(False)
    smallest = threshold * abs(run(whole, 0))
    for layer in range(n_layers):
        leave(layer, keep)
    starts, at_layer, current = whole, 0, run(whole, 0)
    for layer, head in progress(
        [(i, h) for i in reversed(range(n_layers)) for h in range(n_heads)]
    ):
        if layer != at_layer:  # what lies before the layer stays as it is while it is pruned
            starts, at_layer = streams(layer), layer
        for drop in [roles, *([role] for role in roles)]:  # the whole head, else role by role
            trial = [entry for entry in keep if entry[:2] != (layer, head) or entry[2] not in drop]
            leave(layer, trial)
            value = run(starts, layer)
            if abs(value - current) < smallest:
                keep, current = trial, value
                if drop is roles:
                    break
        leave(layer, keep)
    return keep
