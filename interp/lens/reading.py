"""How a vector of the residual stream becomes logits, and what is read off them.

With w and b the gain and bias of the final layer norm and C the centering over d_model,

    logits(x) = (C x / scale * w + b) W_U + b_U,    scale = sqrt(variance(x) + eps).

At a given scale the map is affine, so what several parts of the stream add to a logit adds up: a
part x adds x . direction / scale, with direction = C (w * W_U[:, token]).

Source: Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits".
"""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from interp import metrics
from interp.model import HookedGPT2
from interp.runs.arguments import wide
from interp.tasks.sides import Choice

Scale = Literal["own", "final"]

UNIT_OF: Mapping[str, str] = MappingProxyType(
    {
        "top_id": "token id",
        "top_probability": "probability",
        "entropy": "nats",
        "kl_divergence": "nats",
        "probability": "probability",
        "rank": "tokens",
        "logit_diff": "logits",
    }
)
"""What is read off the logits, and its unit."""

_LOGITS = 1 << 24  # values of logits held at once


def row_chunks(model: HookedGPT2, n: int) -> Iterator[slice]:
    """Cut n rows so that the logits of a chunk fit into 64 MiB."""
    step = max(1, _LOGITS // model.config.d_vocab)
    return (slice(start, start + step) for start in range(0, n, step))


def final_scale(model: HookedGPT2, stream: Float[Tensor, "... d_model"]) -> Float[Tensor, "... 1"]:
    """What the final layer norm divides a stream by, in float32 at least."""
    # The variance of a long stream is beyond what half precision can hold.
    return (wide(stream).var(-1, unbiased=False, keepdim=True) + model.config.eps).sqrt()


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
        scale: what the final layer norm divides by; None for the scale of `x` itself.
        bias: whether to add the layer norm's and the unembedding's bias.

    Returns:
        Logits, in float32 at least.
    """
    scale = final_scale(model, x) if scale is None else scale
    centered = wide(x) - wide(x).mean(-1, keepdim=True)
    normalized = centered / scale * model.ln_final.w
    if bias:
        logits = model.unembed((normalized + model.ln_final.b).to(model.dtype))
    else:
        logits = F.linear(normalized.to(model.dtype), model.unembed.weight)
    return wide(logits)


def readings(
    model: HookedGPT2,
    vectors: Callable[[slice], Iterator[Float[Tensor, "row d_model"]]],
    final: Float[Tensor, "row d_model"],
    whole: Float[Tensor, "row d_model"],
    scale: Scale,
    bias: bool,
    targets: Mapping[str, Choice],
    k: int,
) -> dict[str, Tensor]:
    """Every reading, [vector row ...]; logits exist for a few rows of one vector at a time.

    Args:
        model: the model.
        vectors: rows -> the vectors to read.
        final: the last stream of the run that is read, which gives the final scale.
        whole: the last stream of the whole model, which gives the prediction to compare with.
        scale: which scale to read at.
        bias: whether the biases are added.
        targets: answers and foils of the rows.
        k: how many of the most probable tokens to keep.
    """
    chunks = []
    for rows in row_chunks(model, len(final)):
        reference = logits_of(model, whole[rows])  # row vocab
        shared = None if scale == "own" else final_scale(model, final[rows])  # row 1
        some = {name: ids[rows] for name, ids in targets.items()}
        read = [
            _values(logits_of(model, x, scale=shared, bias=bias), reference, some, k)
            for x in vectors(rows)
        ]
        chunks.append({name: torch.stack([one[name] for one in read]) for name in read[0]})
    return {name: torch.cat([chunk[name] for chunk in chunks], 1) for name in chunks[0]}


def _values(
    logits: Float[Tensor, "row d_vocab"],
    reference: Float[Tensor, "row d_vocab"],
    targets: Mapping[str, Choice],
    k: int,
) -> dict[str, Tensor]:
    log_p = logits.log_softmax(-1)
    top = log_p.topk(k)
    found = {
        "top_id": top.indices,
        "top_probability": top.values.exp(),
        "entropy": -(log_p.exp() * log_p).sum(-1),
        "kl_divergence": metrics.kl_divergence(logits, reference),
    }
    if "answer" in targets:
        found["probability"] = metrics.probability(logits, targets["answer"])
        found["rank"] = metrics.rank(logits, targets["answer"])
    if "foil" in targets:
        found["logit_diff"] = metrics.logit_diff(logits, targets["answer"], targets["foil"])
    return found
