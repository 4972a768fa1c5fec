"""How much each head attends from one role of the task to another.

Source: Wang et al. 2022 (arXiv 2211.00593), section 3 (attention of the head classes).
"""

from collections.abc import Sequence

import torch
import xarray as xr

from interp.heads.roles import chosen_roles
from interp.model import HookedGPT2
from interp.results import labeled
from interp.runs.ablation import Ablation
from interp.runs.arguments import require_finite
from interp.runs.question import question
from interp.runs.sides import Progress, batches, ready_task, run_side
from interp.tasks import Task


@torch.inference_mode()
def attention_between(
    model: HookedGPT2,
    task: Task,
    *,
    queries: Sequence[str] | None = None,
    keys: Sequence[str] | None = None,
    ablation: Ablation | None = None,
    progress: Progress = iter,
) -> xr.DataArray:
    """Attention from the token of one role to the token of another, in the clean prompts.

    Args:
        model: the model
        task: prompts with roles
        queries: roles that attend; by default all roles of the task
        keys: roles attended to; by default all
        ablation: what is knocked out of the model
        progress: wraps the batches, for a progress bar

    Returns:
        The attention probability, dims layer, head, query, key, prompt; 0 where the key comes after
        the query.

    Raises:
        ValueError: a role is unknown or given twice, a list is empty, the task does not fit the
            model, or the model has hooks or gives numbers that are not finite
        TypeError: an argument is not a task, or not a list of roles
    """
    task = ready_task(model, task, "attention_between")
    queries, keys = chosen_roles(task, queries, "queries"), chosen_roles(task, keys, "keys")
    layers = range(model.config.n_layers)
    prepared = ablation.prepare(model, task) if ablation else None
    parts = []
    for rows in batches(task, progress):
        hooks = prepared.hooks(rows) if prepared else ()
        patterns = [("pattern", layer) for layer in layers]
        last, kept = run_side(model, task, rows, "clean", patterns, hooks=hooks)  # b q h k
        require_finite(model, last)
        q, k = (
            torch.stack([task.positions[role][rows] for role in names]) for names in (queries, keys)
        )  # role b
        row = torch.arange(q.shape[1], device=model.device)
        picked = [kept["pattern", i][row, q[:, None], :, k[None]] for i in layers]  # q k b h
        parts.append(torch.stack(picked))  # layer q k b h
    values = torch.cat(parts, 3).permute(0, 4, 1, 2, 3)  # layer head query key prompt
    return labeled(
        values,
        ("layer", "head", "query", "key", "prompt"),
        name="attention",
        title="Attention between roles",
        unit="probability",
        model=model,
        task=task,
        coords={"query": queries, "key": keys},
        question=question(
            "attention_between",
            site="pattern",
            task=task,
            ablation=ablation,
            queries=queries,
            keys=keys,
        ),
    )
