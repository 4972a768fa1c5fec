"""Whether a head writes what it looks at: its attention to a token against that token's logit.

For a head at END and a token t at some role, with z the head's mixed values, C the centering over
d_model, and w and scale the gain and the divisor of the final layer norm, we compare

    attention   A[END, position of t]
    projection  (C z W_O / scale * w) . (W_U[t] - mean W_U)

For a copying head the two correlate strongly over prompts and roles; for a head that writes against
what it looks at, they correlate negatively. `next_token_projection` computes the same projection
for the token that comes next, at every position where the text repeats itself.

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
from interp.results import labeled
from interp.runs.ablation import Ablation
from interp.runs.arguments import require_finite, wide
from interp.runs.question import question
from interp.runs.sides import Progress, at, batches, ready_task, run_side
from interp.runs.texts import Prompt, read_prompts
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
    """Measure every head's attention from END to some tokens, and what it writes for them.

    Args:
        model: the model
        task: prompts with roles; their clean texts are run
        roles: roles of the tokens; by default those that hold the answer or the foil
        ablation: what is knocked out of the model
        progress: wraps the batches, for a progress bar

    Returns:
        `attention`, a probability, and `projection`, in logits above the mean token's; dims layer,
        head, role, prompt.

    Raises:
        ValueError: a role is unknown, no role holds the answer or the foil, or the task does not
            fit the model
        TypeError: an argument is not a task, or not a list of roles
    """
    task = ready_task(model, task, "attention_projection")
    roles = answer_roles(task, roles)
    prepared = ablation.prepare(model, task) if ablation else None
    layers = range(model.config.n_layers)
    keys = [(site, i) for i in layers for site in ("z", "pattern")]
    looks, writes = [], []
    for rows in batches(task, progress):
        hooks = prepared.hooks(rows) if prepared else ()
        last, kept = run_side(model, task, rows, "clean", keys, hooks=hooks)
        require_finite(model, last)
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
                    einsum(wide(at(kept["z", i], end)), wide(model.blocks[i].attn.W_O), direction,
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
            name: labeled(
                torch.cat(parts, 2).permute(0, 3, 1, 2),  # layer head role prompt
                ("layer", "head", "role", "prompt"),
                name=name,
                title=title,
                unit=unit,
                model=model,
                task=task,
                coords={"role": roles},
                question=question(
                    "attention_projection", task=task, ablation=ablation, roles=roles
                ),
            )
            for name, (parts, title, unit) in found.items()
        }
    )


def correlation(result: xr.Dataset) -> xr.DataArray:
    """Correlate attention with projection over all prompts and roles.

    Args:
        result: what `attention_projection` returns, or one of its roles

    Returns:
        Pearson's r, dims layer, head; NaN where attention or projection is constant.

    Raises:
        ValueError: the result has no attention, no projection, or no prompts
    """
    if not {"attention", "projection"} <= set(result) or "prompt" not in result.dims:
        raise ValueError(
            "expected what attention_projection returns, attention and projection with the dim "
            f"prompt; got {list(map(str, result))} with dims {tuple(result.dims)}"
        )
    x, y = (result[name] for name in ("attention", "projection"))
    over = [dim for dim in ("role", "prompt") if dim in x.dims]
    x, y = x - x.mean(over), y - y.mean(over)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = (x * y).sum(over) / np.sqrt((x**2).sum(over) * (y**2).sum(over))
    title = "Correlation of attention with logit projection"
    return r.rename("correlation").assign_attrs(
        result["attention"].attrs | {"title": title, "unit": "r"}
    )


@torch.inference_mode()
def next_token_projection(
    model: HookedGPT2, tokens: Prompt, *, progress: Progress = iter
) -> xr.DataArray:
    """What every head writes for the next token, where that token followed the same one earlier.

    Args:
        model: the model
        tokens: token ids, texts or a task with repetitions, such as `repeated_random_tokens`
        progress: wraps the batches, for a progress bar

    Returns:
        The projection, in logits above the mean token's, averaged over those positions; dims layer,
        head, prompt.

    Raises:
        ValueError: a prompt repeats nothing, or does not fit the model
        TypeError: `tokens` is of another type
    """
    task = read_prompts(model, tokens, "next_token_projection").task
    tokens, real = task.clean_tokens, task.attention_mask  # prompt pos
    before = after_same_token(tokens)[:, :-1]  # prompt q k
    repeats = (before & (tokens[:, None] == tokens[:, 1:, None])).any(-1)  # prompt q
    repeats &= real[:, 1:]
    if not repeats.any(-1).all():
        i = int((~repeats.any(-1)).nonzero()[0])
        raise ValueError(f"prompt {i} repeats no pair of tokens; expected text that repeats itself")
    last = ("resid_post", model.config.n_layers - 1)
    keys = [("z", i) for i in range(model.config.n_layers)]
    found = []
    for start in progress(list(range(0, len(tokens), _PROMPTS))):
        rows = slice(start, start + _PROMPTS)
        _, kept = run_side(model, task, rows, "clean", [*keys, last])
        b, q = repeats[rows].nonzero(as_tuple=True)
        stream = kept[last][b, q]  # row d
        require_finite(model, stream)
        direction = _direction(model, tokens[rows][b, q + 1], stream)  # row d
        writes = [
            einsum(wide(kept[key][b, q]), wide(block.attn.W_O), direction,
                   "row h k, h k d, row d -> h row")
            for key, block in zip(keys, model.blocks, strict=True)
        ]  # fmt: skip
        each = torch.stack(writes)  # layer h row
        sums = each.new_zeros(*each.shape[:2], len(tokens[rows])).index_add_(-1, b, each)
        found.append(sums / repeats[rows].sum(-1))  # layer h b
    return labeled(
        torch.cat(found, -1),
        ("layer", "head", "prompt"),
        name="next_token",
        title="Output along the next token",
        unit="logits",
        model=model,
        task=task,
        question=question("next_token_projection"),
    )


def _direction(
    model: HookedGPT2, tokens: Int[Tensor, "*#r"], last: Float[Tensor, "*#r d"]
) -> Float[Tensor, "*r d"]:
    """The direction whose product with an output is a token's logit above the mean token's.

    Args:
        model: the model
        tokens: the tokens
        last: the stream after the last block, which sets the scale of the final layer norm
    """
    norm, weight = model.ln_final, wide(model.unembed.weight)
    direction = (weight[tokens] - weight.mean(0)) * norm.w
    direction = direction - direction.mean(-1, keepdim=True)
    return direction / (wide(last).var(-1, unbiased=False, keepdim=True) + norm.eps).sqrt()
