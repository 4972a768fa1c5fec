"""Whether a head writes what it looks at: attention to a token, against that token's logit.

For a head at END and a token t that stands at some role, with z its mixed values, C the centering,
scale, w the final layer norm's, and W_U centered over the vocabulary,

    attention   A[END, position of t]
    projection  (C z W_O / scale * w) . (W_U[t] - mean W_U)

A copying head has a strong correlation of the two over prompts and roles, a negative one where it
writes against what it looks at.

Source: Wang et al. 2022 (arXiv 2211.00593), section 3.1, figure 3 (c).
"""

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from einops import einsum

from interp.heads.roles import answer_roles
from interp.model import HookedGPT2
from interp.patching import Ablation, Progress
from interp.patching.runs import at, batches, run_side
from interp.results import labelled
from interp.tasks import Task


@torch.inference_mode()
def attention_projection(
    model: HookedGPT2,
    task: Task,
    *,
    roles: Sequence[str] | None = None,
    ablation: Ablation | None = None,
    progress: Progress = iter,
) -> xr.Dataset:
    """Attention of every head from END to some tokens, and what it writes for them.

    Args:
        model: the model.
        task: prompts with roles, of which the clean ones are run.
        roles: where the tokens stand; by default the roles that hold the answer or the foil.
        ablation: what is knocked out of the model.
        progress: wraps the batches, for a progress bar.

    Returns:
        `attention` as a probability and `projection` in logits above the mean token's, dims layer,
        head, role, prompt.

    Raises:
        ValueError: for a role that the task does not have, or if no role holds answer or foil.
    """
    roles = answer_roles(task, roles)
    task = task.right_padded().to(model.device)
    prepared = ablation.prepare(model, task) if ablation else None
    layers, norm = range(model.config.n_layers), model.ln_final
    mean_token = model.unembed.weight.mean(0)  # d
    keys = [(site, i) for i in layers for site in ("z", "pattern")]
    looks, writes = [], []
    for rows in batches(task, progress):
        hooks = prepared.hooks(rows) if prepared else ()
        last, kept = run_side(model, task, rows, "clean", keys, hooks=hooks)
        end = task.positions["END"][rows]
        where = torch.stack([task.positions[role][rows] for role in roles])  # r b
        prompt = torch.arange(where.shape[1], device=where.device)
        tokens = task.clean_tokens[rows][prompt, where]  # r b
        direction = (model.unembed.weight[tokens] - mean_token) * norm.w
        direction = direction - direction.mean(-1, keepdim=True)
        direction /= (last.var(-1, unbiased=False) + norm.eps).sqrt()[:, None]  # r b d
        at_end = [at(kept["pattern", i], end) for i in layers]  # b h k
        looks.append(torch.stack([a[prompt, :, where] for a in at_end]))  # layer r b h
        writes.append(
            torch.stack(
                [
                    einsum(at(kept["z", i], end), model.blocks[i].attn.W_O, direction,
                           "b h k, h k d, r b d -> r b h")
                    for i in layers
                ]
            )
        )  # fmt: skip
    found = {
        "attention": (looks, "Attention from END", "probability"),
        "projection": (writes, "Output at END along the attended token", "logits"),
    }
    return xr.Dataset(
        {
            name: labelled(
                torch.cat(parts, 2).permute(0, 3, 1, 2),
                ("layer", "head", "role", "prompt"),
                name=name,
                title=title,
                unit=unit,
                model=model,
                task=task,
                coords={"role": list(roles)},
            )
            for name, (parts, title, unit) in found.items()
        }
    )


def correlation(result: xr.Dataset) -> xr.DataArray:
    """Correlation of attention with projection, over all prompts and roles together.

    Args:
        result: of `attention_projection`.

    Returns:
        Pearson's r, dims layer, head; NaN where attention or projection is always the same.
    """
    x, y = (result[name] for name in ("attention", "projection"))
    over = ("role", "prompt")
    x, y = x - x.mean(over), y - y.mean(over)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = (x * y).sum(over) / np.sqrt((x**2).sum(over) * (y**2).sum(over))
    title = "Correlation of attention with logit projection"
    return r.assign_attrs(result["attention"].attrs | {"title": title, "unit": "r"}).rename(
        "correlation"
    )
