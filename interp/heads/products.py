"""OV and QK: what a head moves, and what it looks for, as products of two thin matrices.

    W_OV = W_V W_O      what is written, for each direction that is read: x -> x W_OV
    W_QK = W_Q W_K^T    the attention score of a reading and a read direction: x_q W_QK x_k^T

Both are d_model x d_model of rank d_head and are never multiplied out: a `FactoredMatrix` computes
their singular values, eigenvalues and norms from the factors. Their singular directions, read as
tokens, show what a head is about: for W_OV through W_E on the left (what it reads) and W_U on the
right (what it writes), for W_QK through W_E on both sides (what looks for what).

Source: Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"; Millidge and Black
2022, "The Singular Value Decompositions of Transformer Weight Matrices are Highly Interpretable".
"""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from interp.model import AttentionWeights, HookedGPT2
from interp.model._lens import FactoredMatrix
from interp.parts import NodeLike, as_head, require_in_model
from interp.runs.arguments import count, require_finite, token_texts, wide

Weights = HookedGPT2 | AttentionWeights
"""What analyses of weights take: a model, or the weights of `interp.load_attention`."""


def ov_matrices(model: Weights, *, fold_layer_norm: bool = True) -> FactoredMatrix:
    """The OV matrix of every head.

    Args:
        model: a model or attention weights
        fold_layer_norm: whether to fold the layer norm into what reads the stream and to center
            what writes to it, see `interp.model.attention_only`; False takes the weights as they
            are

    Returns:
        W_V W_O [layer head d_model d_model], as factors of width d_head.

    Example:
        >>> import interp
        >>> ov_matrices(interp.load("mini")).shape[-1] == interp.load("mini").config.d_model
        True
    """
    weights = weights_of(model, fold_layer_norm)
    return FactoredMatrix(weights.W_V, weights.W_O)


def qk_matrices(model: Weights, *, fold_layer_norm: bool = True) -> FactoredMatrix:
    """The QK matrix of every head.

    Args:
        model: a model or attention weights
        fold_layer_norm: as for `ov_matrices`

    Returns:
        W_Q W_K^T [layer head d_model d_model], as factors of width d_head, not divided by
        sqrt(d_head) and without the biases.
    """
    weights = weights_of(model, fold_layer_norm)
    return FactoredMatrix(weights.W_Q, weights.W_K.transpose(-2, -1))


def ov_directions(model: HookedGPT2, head: NodeLike, *, n: int = 5, k: int = 8) -> pd.DataFrame:
    """What a head reads and writes along its strongest OV directions, as tokens.

    Args:
        model: the model
        head: the head, as (9, 6) or "9.6"
        n: how many singular directions, strongest first
        k: how many tokens at each end

    Returns:
        Two rows per direction, because its sign is arbitrary: `direction`, `singular_value`,
        `sign`, and the tokens that lie farthest along it, `reads` (in the embedding) and `writes`
        (in the unembedding). When the head reads the tokens of a row, it writes those of the same
        row.

    Raises:
        ValueError: the model has no such head, n or k is out of range, or its weights are not
            finite
        TypeError: no head, or no integers
    """
    unembed = (model.unembed.weight - model.unembed.weight.mean(0)) * model.ln_final.w
    sides = {"reads": model.embed.W_E, "writes": unembed}
    return _directions(model, head, n, k, ov_matrices, sides)


def qk_directions(model: HookedGPT2, head: NodeLike, *, n: int = 5, k: int = 8) -> pd.DataFrame:
    """Which tokens look for which along a head's strongest QK directions.

    Args:
        model: the model
        head: the head, as (9, 6) or "9.6"
        n: how many singular directions, strongest first
        k: how many tokens at each end

    Returns:
        As for `ov_directions`, with `query` (tokens that attend) and `key` (tokens attended to) in
        place of `reads` and `writes`. The tokens of a row raise each other's score.

    Raises:
        ValueError: the model has no such head, n or k is out of range, or its weights are not
            finite
        TypeError: no head, or no integers
    """
    sides = {"query": model.embed.W_E, "key": model.embed.W_E}
    return _directions(model, head, n, k, qk_matrices, sides)


def weights_of(model: Weights, fold_layer_norm: bool) -> AttentionWeights:
    """The attention weights of a model, in float32 at least.

    Args:
        model: a model or attention weights
        fold_layer_norm: whether to fold the layer norm in

    Returns:
        The weights.

    Raises:
        ValueError: a weight is not finite
    """
    weights = AttentionWeights.of(model)
    found = {field.name: getattr(weights, field.name) for field in fields(weights)}
    tensors: dict[str, Any] = {name: wide(x) for name, x in found.items() if isinstance(x, Tensor)}
    for x in tensors.values():
        require_finite(model, x)
    weights = replace(weights, **tensors)
    return weights.folded() if fold_layer_norm else weights


@torch.inference_mode()
def _directions(
    model: HookedGPT2,
    head: NodeLike,
    n: int,
    k: int,
    matrices: Callable[[Weights], FactoredMatrix],
    sides: dict[str, Float[Tensor, "d_vocab d_model"]],
) -> pd.DataFrame:
    one = as_head(head)
    require_in_model(model, [one])
    n = count(n, "n", 1, model.config.d_head, " (d_head)")
    k = count(k, "k", 1, model.config.d_vocab, " (d_vocab)")
    U, S, V = matrices(model)[one.layer, one.head].svd()  # d k, k, d k
    rows = []
    for i in range(n):
        along = [wide(table) @ end[:, i] for table, end in zip(sides.values(), (U, V), strict=True)]
        for sign in (1, -1):
            ends = {
                side: _tokens(model, (sign * scores).topk(k).indices)
                for side, scores in zip(sides, along, strict=True)
            }
            rows.append({"direction": i, "singular_value": float(S[i]), "sign": sign, **ends})
    return pd.DataFrame(rows)


def _tokens(model: HookedGPT2, ids: Tensor) -> list[str]:
    """The tokens as quoted text, or as ids if the model has no tokenizer."""
    words = token_texts(model, ids.tolist())
    return words if model.tokenizer is None else [repr(word) for word in words]
