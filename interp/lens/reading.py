"""How a vector of the residual stream becomes logits, and what is computed from them.

With w and b the gain and bias of the final layer norm and C the centering over d_model,

    logits(x) = (C x / scale * w + b) W_U + b_U,    scale = sqrt(variance(x) + eps).

At a given scale the map is affine, so the contributions of several parts of the stream add up: a
part x adds x . direction / scale to a logit, with direction = C (w * W_U[:, token]).

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
"""What is computed from the logits -> its unit."""

_LOGITS = 1 << 24  # values of logits held at once


def row_chunks(model: HookedGPT2, n: int) -> Iterator[slice]:
    """Cut n rows into chunks whose logits fit into 64 MiB."""
    step = max(1, _LOGITS // model.config.d_vocab)
    return (slice(start, start + step) for start in range(0, n, step))


def final_scale(model: HookedGPT2, stream: Float[Tensor, "... d_model"]) -> Float[Tensor, "... 1"]:
    """The divisor that the final layer norm applies to a stream, in at least float32."""
    # Half precision cannot hold the variance of a long stream.
    return (wide(stream).var(-1, unbiased=False, keepdim=True) + model.config.eps).sqrt()


def logits_of(
    model: HookedGPT2,
    x: Float[Tensor, "... d_model"],
    *,
    scale: Float[Tensor, "... 1"] | None = None,
    bias: bool = True,
) -> Float[Tensor, "... d_vocab"]:
    """Read a vector of the stream as the model reads its last stream.

    Args:
        model: the model
        x: a stream or a part of one
        scale: the divisor of the final layer norm; None for that of `x` itself
        bias: whether to add the biases of the layer norm and the unembedding

    Returns:
        The logits, in at least float32.
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
    """Compute every reading, [vector row ...], with logits for only a few rows at a time.

    Args:
        model: the model
        vectors: for some rows, returns the vectors to read
        final: the last stream of the run, which sets the final scale
        whole: the last stream of the whole model, whose prediction is compared
        scale: the scale at which to read
        bias: whether to add the biases
        targets: the answers and foils of the rows
        k: number of most probable tokens to keep
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
