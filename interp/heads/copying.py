"""Whether a head writes for the token that it reads.

If a head attended to one position alone, it would write that position's value. With x the stream
there after the first block (before which GPT-2's heads cannot read a token well),

    logits of head h   =  LN_final((LN1(x) W_V_h + b_V_h) W_O_h) W_U + b_U
    copy score         =  fraction of tokens that are among the k highest of these logits
    anti-copy score    =  the same with the head's output negated

`copy_scores` takes x from the prompts of a task, as the paper does; `ov_ranks` makes it from each
token by itself, x = W_E[t] + MLP0(LN2(W_E[t])), without position and attention: the full OV
circuit. Both count b_V as part of what the head writes for a token, so a model with value biases
folded into b_O scores differently. The eigenvalues of the linear circuit W_E W_V W_O W_U answer the
question without any input: positive ones copy,

    eigenvalue score   =  sum Re(lambda) / sum |lambda|           from -1 to 1.

The circuit has rank d_head, so its nonzero eigenvalues are those of W_O (W_U W_E) W_V, which is
[d_head d_head].

Source: Wang et al. 2022 (arXiv 2211.00593), section 3.1; we apply each head's own LN1, whereas the
paper's code applies that of block 1 to all heads. Elhage et al. 2021, "A Mathematical Framework for
Transformer Circuits", for the eigenvalues.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import xarray as xr
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor

from interp.heads.products import weights_of
from interp.heads.roles import answer_roles
from interp.model import HookedGPT2
from interp.model.user_hooks import require_no_hooks
from interp.results import labeled
from interp.runs.arguments import Token, count, require_finite, token_ids, wide
from interp.runs.question import question
from interp.runs.sides import Progress, at, batches, ready_task, run_side
from interp.tasks import Task

_LOGITS = 1 << 24  # values of logits held at once
_STATES = 1 << 24  # values of the stream held at once


@torch.inference_mode()
def copy_scores(
    model: HookedGPT2,
    task: Task,
    *,
    roles: Sequence[str] | None = None,
    k: int = 5,
    progress: Progress = iter,
) -> xr.Dataset:
    """Measure whether each head copies or suppresses the tokens of a task.

    Args:
        model: the model
        task: prompts with roles; the clean texts are run
        roles: roles of the tokens; by default those that hold the answer or the foil (for IOI: IO,
            S1 and S2, as in the paper)
        k: number of highest logits that count
        progress: wraps the layers, for a progress bar

    Returns:
        `copy` and `anti_copy`, each 1 or 0, dims layer, head, role, prompt; their means are the
        scores, as fractions.

    Raises:
        ValueError: a role is unknown, no role holds the answer or the foil, k is not from 1 to
            d_vocab, or the task does not fit the model
        TypeError: an argument is not a task, or not a list of roles
    """
    k = count(k, "k", 1, model.config.d_vocab, " (d_vocab)")
    task = ready_task(model, task, "copy_scores")
    roles = answer_roles(task, roles)
    where = torch.stack([task.positions[role] for role in roles])  # role prompt
    tokens = task.clean_tokens[torch.arange(len(task), device=where.device), where]
    streams = []
    for rows in batches(task):
        _, kept = run_side(model, task, rows, "clean", [("resid_post", 0)])
        streams.append(torch.stack([at(kept["resid_post", 0], one) for one in where[:, rows]]))
    x = torch.cat(streams, 1).flatten(0, 1)  # role*prompt d
    ranks = _own_ranks(model, x, tokens.flatten(), progress, enough=k)  # sign layer head n
    values = (ranks < k).float().unflatten(-1, where.shape)
    titles = (f"Own token among the top {k} of the head's output", "The same, output negated")
    return xr.Dataset(
        {
            name: labeled(
                value,
                ("layer", "head", "role", "prompt"),
                name=name,
                title=title,
                unit="fraction",
                model=model,
                task=task,
                coords={"role": roles},
                question=question("copy_scores", roles=roles, k=k),
            )
            for name, title, value in zip(("copy", "anti_copy"), titles, values, strict=True)
        }
    )


@torch.inference_mode()
def ov_ranks(
    model: HookedGPT2,
    *,
    tokens: Sequence[Token] | Int[Tensor, " token"] | None = None,
    first_mlp: bool = True,
    progress: Progress = iter,
) -> xr.Dataset:
    """Rank every token in what each head writes when it attends to that token (full OV copying).

    Args:
        model: the model
        tokens: ids or texts of the tokens; by default the whole vocabulary, which takes minutes for
            GPT-2 on a CPU
        first_mlp: whether to add the output of MLP 0 to the embedding, without which GPT-2's heads
            recognize few tokens; False takes W_E alone
        progress: wraps the layers, for a progress bar

    Returns:
        `rank` and `anti_rank` (output negated), dims layer, head, token: the number of other tokens
        with at least as high a logit. `(ranks["rank"] < 5).mean("token")` is the fraction copied.

    Raises:
        ValueError: the list is empty, a text is not a single token, an id is outside the
            vocabulary, or the model gives numbers that are not finite
        TypeError: `tokens` is not a list of tokens
    """
    require_no_hooks(model, "ov_ranks")  # hooks would act in MLP 0 and nowhere else
    given = range(model.config.d_vocab) if tokens is None else tokens
    ids = token_ids(model, given, "tokens")
    block = model.blocks[0]
    step = max(1, _STATES // model.config.d_mlp)
    x = model.embed.W_E[ids]  # token d
    if first_mlp:
        x = torch.cat([e + block.mlp(block.ln2.unhooked(e)) for e in x.split(step)])
    titles = ("Rank of a token in the head's output", "The same, output negated")
    ranks = _own_ranks(model, x, ids, progress)
    return xr.Dataset(
        {
            name: labeled(
                value,
                ("layer", "head", "token"),
                name=name,
                title=title,
                unit="tokens",
                model=model,
                coords={"token": ids.cpu().numpy()},
                question=question("ov_ranks", first_mlp=first_mlp),
            )
            for name, title, value in zip(("rank", "anti_rank"), titles, ranks, strict=True)
        }
    )


@torch.inference_mode()
def eigenvalue_scores(model: HookedGPT2) -> xr.DataArray:
    """Measure how much each head's OV circuit copies, by its eigenvalues.

    Layer norms are folded and W_U is centered over the vocabulary, so the processed model has the
    same scores.

    Args:
        model: the model

    Returns:
        The sum of the eigenvalues over the sum of their absolute values, a fraction from -1 to 1,
        dims layer, head: 1 copies every direction, -1 suppresses every direction. NaN for a head
        that writes nothing.

    Raises:
        ValueError: the model's weights are not finite
    """
    weights = weights_of(model, fold_layer_norm=True)
    unembed = wide(model.unembed.weight)
    W_U = (unembed - unembed.mean(0)) * model.ln_final.w  # vocab d
    around = W_U.T @ wide(model.embed.W_E)  # d d
    square = einsum(
        weights.W_O, around, weights.W_V, "l h i d, d e, l h e j -> l h i j"
    )  # the same eigenvalues as W_E W_V W_O W_U
    require_finite(model, square)
    values = torch.linalg.eigvals(square.double())  # l h k
    return labeled(
        (values.real.sum(-1) / values.abs().sum(-1)).to(square.dtype),
        ("layer", "head"),
        name="eigenvalue",
        title="Eigenvalues of the OV circuit: sum over sum of absolute values",
        unit="fraction",
        model=model,
        question=question("eigenvalue_scores"),
    )


def _own_ranks(
    model: HookedGPT2,
    x: Float[Tensor, "n d_model"],
    tokens: Int[Tensor, " n"],
    progress: Progress,
    *,
    enough: int | None = None,
) -> Int[Tensor, "sign layer head n"]:
    """Rank each token in what each head writes from its stream, and in the negative of that.

    Args:
        model: the model
        x: the streams
        tokens: the token of each stream
        progress: wraps the layers
        enough: a rank that is high enough: the vocabulary is searched part by part, and a token is
            dropped as soon as both its ranks are known to be at least this high
    """
    norm, W_U = model.ln_final, model.unembed.weight  # vocab d
    for values in (x, W_U):
        require_finite(model, values)
    bias = W_U @ norm.b + model.unembed.b_U  # vocab
    some = () if enough is None else (256, 2048, 16384)
    parts = [slice(*ends) for ends in pairwise([0, *(i for i in some if i < len(W_U)), len(W_U)])]
    ids = torch.arange(len(W_U), device=x.device)
    signs = torch.tensor([1.0, -1.0], device=x.device, dtype=x.dtype)
    layers = []
    for i in progress(list(range(model.config.n_layers))):
        block, heads = model.blocks[i], []
        v = einsum(block.ln1.unhooked(x), block.attn.W_V, "n d, h d k -> h n k")
        v = v + block.attn.b_V[:, None]  # h n k
        require_finite(model, v)
        require_finite(model, block.attn.W_O)
        for value, W_O in zip(v, block.attn.W_O, strict=True):
            W_O = W_O - W_O.mean(-1, keepdim=True)
            scale = ((value @ W_O).pow(2).mean(-1, keepdim=True) + norm.eps).sqrt()  # n 1
            value, W_O = value / scale, W_O * norm.w
            own = ((value @ W_O) * W_U[tokens]).sum(-1)  # n
            own = bias[tokens] + signs[:, None] * own  # sign n
            ranks = torch.zeros_like(own, dtype=torch.long)
            left = torch.arange(len(x), device=x.device)
            for part in parts:
                if not len(left):
                    break
                to_logits = W_O @ W_U[part].T  # k part: cheaper than n outputs through W_U
                for some in left.split(max(1, _LOGITS // len(W_U))):
                    written = value[some] @ to_logits  # some part
                    others = tokens[some, None] != ids[part]
                    for rank, sign, least in zip(ranks, signs, own, strict=True):
                        above = bias[part] + sign * written >= least[some, None]
                        rank[some] += (above & others).sum(-1)
                if enough is not None:
                    left = left[(ranks[:, left] < enough).any(0)]
            heads.append(ranks)
        layers.append(torch.stack(heads, 1))  # sign h n
    return torch.stack(layers, 1)
