"""How a vector of the residual stream becomes logits, and the prompts that a lens reads.

With w and b the gain and bias of the final layer norm and C the centering over d_model,

    logits(x) = (C x / scale * w + b) W_U + b_U,    scale = sqrt(variance(x) + eps).

At a given scale the map is affine, so what several parts of the stream add to a logit adds up: a
part x adds x . direction / scale, with direction = C (w * W_U[:, token]).

Source: Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits".
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from interp.model import HookedGPT2
from interp.patching import Ablation
from interp.tasks import Task

Prompt = str | Int[Tensor, "..."] | Task
"""A text, the token ids of one prompt ([pos] or [1 pos]), or the clean prompts of a task."""

Token = str | int
"""A text that is one token, or its id."""

_LOGITS = 1 << 24  # values of logits held at once


def row_chunks(model: HookedGPT2, n: int) -> Iterator[slice]:
    """Cut n rows so that the logits of a chunk fit into 64 MiB."""
    step = max(1, _LOGITS // model.config.d_vocab)
    return (slice(start, start + step) for start in range(0, n, step))


def final_scale(model: HookedGPT2, stream: Float[Tensor, "... d_model"]) -> Float[Tensor, "... 1"]:
    """What the final layer norm divides a stream by."""
    return (stream.var(-1, unbiased=False, keepdim=True) + model.config.eps).sqrt()


def logits_of(
    model: HookedGPT2,
    x: Float[Tensor, "... d_model"],
    *,
    scale: Float[Tensor, "... 1"] | None = None,
    bias: bool = True,
) -> Float[Tensor, "... d_vocab"]:
    """Read a vector of the stream as the model reads its last one.

    Args:
        model: the model.
        x: a stream or a part of one.
        scale: of the final layer norm; None for that of `x` itself.
        bias: whether to add the layer norm's and the unembedding's bias.

    Returns:
        Logits, in at least float32.
    """
    scale = final_scale(model, x) if scale is None else scale
    normalized = (x - x.mean(-1, keepdim=True)) / scale * model.ln_final.w
    if bias:
        logits = model.unembed(normalized + model.ln_final.b)
    else:
        logits = F.linear(normalized, model.unembed.weight)
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def as_task(model: HookedGPT2, prompt: Prompt, ablation: Ablation | None) -> Task:
    """The prompts to read, padded on the right, on the model's device.

    A text becomes a task of one prompt that is its own corrupted partner; its answer and foil mean
    nothing.

    Args:
        model: the model.
        prompt: a text, token ids or a task.
        ablation: what will be knocked out; a text has no other prompts to take means from.

    Returns:
        The task.

    Raises:
        ValueError: for a batch of prompts, an empty one, or an ablation that lacks a reference.
    """
    if isinstance(prompt, Task):
        return prompt.right_padded().to(model.device)
    tokens = model.to_tokens(prompt) if isinstance(prompt, str) else torch.atleast_2d(prompt)
    if tokens.ndim != 2 or len(tokens) != 1 or tokens.shape[1] == 0 or tokens.is_floating_point():
        raise ValueError(
            "expected one prompt: a text, its token ids [pos], or a task for several; got "
            f"{tokens.dtype} of shape {tuple(tokens.shape)}"
        )
    if ablation is not None and ablation.value != "zero" and ablation.reference is None:
        raise ValueError(
            f"ablation by {ablation.value!r} needs other prompts, and a text has none; pass "
            "Ablation(reference=a task), or value='zero'"
        )
    tokens = tokens.to(model.device).long()
    text = (prompt if isinstance(prompt, str) else words_of(model, tokens[0]),)
    one = tokens.new_ones(1)
    return Task(
        "text",
        *(text, text),
        clean_tokens=tokens,
        corrupted_tokens=tokens,
        attention_mask=torch.ones_like(tokens, dtype=torch.bool),
        answer=one,
        foil=one - 1,
        positions={"END": one * (tokens.shape[1] - 1)},
        group=("text",),
        template=("",),
        order=("",),
    )


def words_of(model: HookedGPT2, tokens: Int[Tensor, " pos"]) -> str:
    """The text of tokens; their ids where the model has no tokenizer."""
    return "".join(token_texts(model, tokens.tolist()))


def token_texts(model: HookedGPT2, ids: Sequence[int]) -> list[str]:
    """Each token's own text; its id where the model has no tokenizer."""
    if model.tokenizer is None:
        return [f"[{i}]" for i in ids]
    known = {i: model.to_string(i) for i in set(ids)}
    return [known[i] for i in ids]


def token_id(model: HookedGPT2, token: Token) -> int:
    """The id of a token.

    Args:
        model: the model.
        token: its text or its id.

    Returns:
        The id.

    Raises:
        ValueError: for a text of several tokens or an id outside the vocabulary.
    """
    if isinstance(token, str):
        return model.to_single_token(token)
    if not 0 <= token < model.config.d_vocab:
        raise ValueError(
            f"token ids are from 0 to {model.config.d_vocab - 1} (d_vocab - 1), got {token}"
        )
    return token


def positions_of(task: Task, position: str | int) -> Int[Tensor, " prompt"]:
    """Where a role or an index stands in each prompt.

    Args:
        task: the prompts, padded on the right.
        position: a role, or an index from 0.

    Returns:
        One position a prompt.

    Raises:
        ValueError: for a role that the task does not have, or an index outside a prompt.
    """
    if isinstance(position, str):
        if position not in task.positions:
            raise ValueError(f"there is no role {position!r}; there are {list(task.positions)}")
        return task.positions[position]
    shortest = int(task.lengths.min())
    if not 0 <= position < shortest:
        raise ValueError(
            f"position {position} is not in every prompt; the shortest has {shortest} tokens, "
            "counted from 0"
        )
    return torch.full_like(task.positions["END"], position)
