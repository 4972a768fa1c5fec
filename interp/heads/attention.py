"""How much each head attends from one role of the task to another.

Source: Wang et al. 2022 (arXiv 2211.00593), section 3 (attention of the head classes).
"""

from collections.abc import Sequence

import torch
import xarray as xr

from interp.heads.roles import chosen_roles
from interp.model import HookedGPT2
from interp.results import labelled
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
    """Attention probability from the token of one role to the token of another, clean prompts.

    Args:
        model: the model.
        task: prompts with roles.
        queries: roles that look; by default all that the task has.
        keys: roles that are looked at; by default all.
        ablation: what is knocked out of the model.
        progress: wraps the batches, for a progress bar.

    Returns:
        Dims layer, head, query, key, prompt, as a probability; 0 where the key comes after the
        query.

    Raises:
        ValueError: a role that the task does not have or that is given twice, an empty list, a task
            that does not fit the model, or a model with hooks or whose numbers are not finite.
        TypeError: no task, or no list of roles.
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
    return labelled(
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
