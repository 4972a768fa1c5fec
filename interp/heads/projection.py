"""Whether a head writes what it looks at: attention to a token, against that token's logit.

For a head at END and a token t that stands at some role, with z its mixed values, C the centering,
scale, w the final layer norm's, and W_U centered over the vocabulary,

    attention   A[END, position of t]
    projection  (C z W_O / scale * w) . (W_U[t] - mean W_U)

A copying head has a strong correlation of the two over prompts and roles, a negative one where it
writes against what it looks at. `next_token_projection` takes the same projection along the token
that comes next, at every position where the text repeats itself.

Source: Wang et al. 2022 (arXiv 2211.00593), section 3.1, figure 3 (c), and appendix H.
"""

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor

from interp.heads.roles import answer_roles
from interp.model import HookedGPT2
from interp.model.masks import after_same_token
from interp.patching import Ablation, Progress
from interp.results import labelled
from interp.runs.sides import at, batches, run_side
from interp.tasks import Task

_PROMPTS = 16  # run at once


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
    layers = range(model.config.n_layers)
    keys = [(site, i) for i in layers for site in ("z", "pattern")]
    looks, writes = [], []
    for rows in batches(task, progress):
        hooks = prepared.hooks(rows) if prepared else ()
        last, kept = run_side(model, task, rows, "clean", keys, hooks=hooks)
        end = task.positions["END"][rows]
        where = torch.stack([task.positions[role][rows] for role in roles])  # r b
        prompt = torch.arange(where.shape[1], device=where.device)
        tokens = task.clean_tokens[rows][prompt, where]  # r b
        direction = _direction(model, tokens, last)  # r b d
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


@torch.inference_mode()
def next_token_projection(
    model: HookedGPT2, tokens: Int[Tensor, "prompt pos"], *, progress: Progress = iter
) -> xr.DataArray:
    """What every head writes for the next token, where that token followed the same one before.

    Args:
        model: the model.
        tokens: prompts of one length, without padding, in which something is repeated, such as
            those of `repeated_tokens`.
        progress: wraps the batches, for a progress bar.

    Returns:
        In logits above the mean token's, averaged over those positions, dims layer, head, prompt.

    Raises:
        ValueError: for a prompt in which nothing is repeated.
    """
    tokens = tokens.to(model.device)
    before = after_same_token(tokens)[:, :-1]  # b q k
    repeats = (before & (tokens[:, None] == tokens[:, 1:, None])).any(-1)  # b q
    if not repeats.any(-1).all():
        i = int((~repeats.any(-1)).nonzero()[0])
        raise ValueError(f"prompt {i} repeats no pair of tokens; expected text that repeats itself")
    last = model.config.n_layers - 1
    names = [f"blocks.{i}.attn.hook_z" for i in range(last + 1)]
    stream = f"blocks.{last}.hook_resid_post"
    found = []
    for start in progress(list(range(0, len(tokens), _PROMPTS))):
        some = slice(start, start + _PROMPTS)
        _, kept = model.run_with_cache(
            tokens[some], names_filter=[*names, stream], stop_at_layer=last + 1
        )
        b, q = repeats[some].nonzero(as_tuple=True)
        direction = _direction(model, tokens[some][b, q + 1], kept[stream][b, q])  # row d
        writes = [
            einsum(kept[name][b, q], block.attn.W_O, direction, "row h k, h k d, row d -> h row")
            for name, block in zip(names, model.blocks, strict=True)
        ]
        sums = torch.zeros(last + 1, model.config.n_heads, len(tokens[some]), device=tokens.device)
        sums.index_add_(-1, b, torch.stack(writes).to(sums.dtype))
        found.append(sums / repeats[some].sum(-1))
    return labelled(
        torch.cat(found, -1),
        ("layer", "head", "prompt"),
        name="next_token",
        title="Output along the next token",
        unit="logits",
        model=model,
    )


def _direction(
    model: HookedGPT2, tokens: Int[Tensor, "*#r"], last: Float[Tensor, "*#r d"]
) -> Float[Tensor, "*r d"]:
    """What an output is multiplied by for its logit of a token, above the mean token's.

    Args:
        model: the model.
        tokens: whose logit.
        last: the stream after the last block, which has the final layer norm's scale.
    """
    norm = model.ln_final
    direction = (model.unembed.weight[tokens] - model.unembed.weight.mean(0)) * norm.w
    direction = direction - direction.mean(-1, keepdim=True)
    return direction / (last.var(-1, unbiased=False, keepdim=True) + norm.eps).sqrt()
