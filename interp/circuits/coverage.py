"""How much of what a model does lies at the roles of a task.

A circuit is made of heads at roles, so it can do no more than all heads at all roles together:

    covered    F(heads kept at the roles alone) / F(M)

where F is the mean of a metric, and every head is ablated at all positions that have no role. If
this is below `ENOUGH`, most of what the model does passes through tokens that the task does not
name, and no circuit of heads at its roles can be faithful. It takes two runs of the prompts.
"""

import torch

from interp.circuits.evaluation import only
from interp.metrics import Metrics, named_metrics
from interp.model import HookedGPT2
from interp.parts import Head, Node
from interp.patching import measure
from interp.runs.sides import Progress, ready_task
from interp.runs.stand_ins import Reference, Value
from interp.statistics import Estimate, estimate_mean, estimate_ratio
from interp.tasks import Task

ENOUGH = 0.5
"""The fraction of a metric that heads at roles must keep, or the task warns."""


class RolesWarning(UserWarning):
    """The roles of a task miss the positions at which the model does it."""


@torch.inference_mode()
def covered_by_roles(
    model: HookedGPT2,
    task: Task,
    *,
    metrics: Metrics | None = None,
    value: Value = "group mean",
    reference: Reference = None,
    progress: Progress = iter,
) -> Estimate:
    """Measure how much of a metric is left if heads work at the task's roles alone.

    Args:
        model: the model
        task: clean prompts with roles
        metrics: the metrics, as in `patch`, of which the first counts; by default the task's own
        value: what heads say at the other positions, as in `Ablation`
        reference: prompts whose corrupted texts stand in, as in `Ablation`; by default a sample of
            the task's kind
        progress: wraps the batches of each run, for a progress bar

    Returns:
        The fraction, with its interval; NaN if the whole model's mean is not positive, so that
        there is nothing to keep.

    Raises:
        ValueError: the task does not fit the model
    """
    task = ready_task(model, task, "covered_by_roles")
    first = next(iter(named_metrics(metrics, task)))
    c = model.config
    every = [
        Node(Head(layer, head), role)
        for layer in range(c.n_layers)
        for head in range(c.n_heads)
        for role in task.positions
    ]
    left = only(model, every, value=value, reference=reference)
    whole = measure(model, task, metrics, progress=progress)[first]
    if not estimate_mean(whole).mean > 0:
        return Estimate(float("nan"), float("nan"), float("nan"))
    alone = measure(model, task, metrics, ablation=left, progress=progress)[first]
    return estimate_ratio(alone, whole)


def uncovered(task: Task, share: Estimate) -> str:
    """Say that the roles of a task miss what the model does, if they do.

    Args:
        task: the prompts
        share: what `covered_by_roles` returns

    Returns:
        A sentence for a warning or a page, or "" if the roles are enough.
    """
    bare = set(task.positions) == {"END"}
    if not bare and not share.mean < ENOUGH:
        return ""
    kept = (
        f"heads at its roles alone ({', '.join(task.positions)}) keep {share.mean:.0%} of what the "
        "model does"
    )
    if bare:
        about = f"the task {task.name!r} has no roles besides END"
        about += f"; {kept}" if share.mean < ENOUGH else ""
    else:
        about = f"most of what the model does on {task.name!r} lies at positions without a role"
        about += f": {kept}"
    return (
        f"{about}. A circuit of heads at roles cannot show the rest; give roles to the tokens that "
        "matter, or use heads at every position (everywhere=True, or --positions all)"
    )
