"""Which heads read what earlier heads write, from the weights alone.

A head writes through its W_OV = W_V W_O, and a later head reads that into its queries, keys or
values. How much of what is written lies where the later head reads is a ratio of Frobenius norms:

    q:  ||W_OV W_QK||   / (||W_OV|| ||W_QK||)
    k:  ||W_OV W_QK^T|| / (||W_OV|| ||W_QK||)       W_QK = W_Q W_K^T of the later head
    v:  ||W_OV W_OV'||  / (||W_OV|| ||W_OV'||)      W_OV' of the later head

Unrelated matrices do not score 0. If the earlier head's output is rotated at random, the mean
square of the score is exactly 1 / d_model, whatever the matrices are; only the excess over that is
evidence of composition.

The outer factors enter the norms only through their triangular parts, [d_head d_head].

Source: Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits" (composition of
heads), which also subtracts the score of random matrices.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
import xarray as xr
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from interp.heads.products import Weights, weights_of
from interp.model import AttentionWeights
from interp.parts import QKV, Head, require_once
from interp.results import labeled
from interp.runs.arguments import count, items
from interp.runs.question import question

_PAIR = ("sender_layer", "sender_head", "layer", "head")


@torch.inference_mode()
def composition_scores(
    model: Weights, *, kinds: Sequence[str] = QKV, fold_layer_norm: bool = True
) -> xr.DataArray:
    """Composition score of every pair of heads.

    Args:
        model: a model, or the weights of `interp.load_attention`
        kinds: the inputs of the later head: some of "q", "k", "v"
        fold_layer_norm: whether to fold the layer norm into what reads the stream and to center
            what writes to it, so that only what passes the norm counts; False takes the weights as
            they are

    Returns:
        The scores, fractions from 0 to 1, dims kind, sender_layer, sender_head, layer, head; NaN
        where the sender is not in an earlier layer.

    Raises:
        ValueError: the list is empty, a kind is not q, k or v or is given twice, or weights are not
            finite
        TypeError: `kinds` is not a list
    """
    kinds = _kinds(kinds)
    weights = weights_of(model, fold_layer_norm)
    values = _scores(weights, weights.W_O, kinds)
    asked = question("composition_scores", fold_layer_norm=fold_layer_norm)
    return _result(model, kinds, values, "Composition of heads", asked)


@torch.inference_mode()
def random_composition(
    model: Weights,
    *,
    kinds: Sequence[str] = QKV,
    fold_layer_norm: bool = True,
    samples: int = 1,
    seed: int = 0,
) -> xr.DataArray:
    """The same scores when what the earlier heads write is rotated at random.

    A random rotation keeps all singular values and all relations among the earlier heads, but
    destroys their relation to the later ones. Within a sample, all earlier heads get the same
    rotation.

    Args:
        model: a model, or the weights of `interp.load_attention`
        kinds: the inputs of the later head: some of "q", "k", "v"
        fold_layer_norm: whether to fold the layer norm, as for `composition_scores`
        samples: number of rotations
        seed: seed of the rotations

    Returns:
        The scores, fractions, dims sample, kind, sender_layer, sender_head, layer, head.

    Raises:
        ValueError: as for `composition_scores`, or `samples` is below 1
        TypeError: `kinds` is not a list, or `samples` is not an integer
    """
    kinds = _kinds(kinds)
    samples = count(samples, "samples", 1)
    weights = weights_of(model, fold_layer_norm)
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    for _ in range(samples):
        # Always float32, so that a seed gives the same rotation whatever the default dtype is.
        noise = torch.randn(
            weights.d_model, weights.d_model, generator=generator, dtype=torch.float32
        )
        turn, _ = torch.linalg.qr(noise)
        drawn.append(_scores(weights, weights.W_O @ turn.to(weights.W_O), kinds))
    title = "Composition with the senders' outputs turned at random"
    asked = question("random_composition", fold_layer_norm=fold_layer_norm, samples=samples)
    return _result(model, kinds, torch.stack(drawn), title, {**asked, "seed": seed})


def composition_pairs(
    scores: xr.DataArray, *, random: xr.DataArray | None = None, n: int = 20
) -> pd.DataFrame:
    """The pairs of heads with the highest composition scores.

    Args:
        scores: what `composition_scores` returns
        random: what `random_composition` returns, for comparison
        n: number of pairs, over all kinds

    Returns:
        One row per pair, strongest first: `kind`, `sender`, `receiver` ("4.11"), `score`; and with
        `random` also `random` (mean of the kind's random scores) and `excess` (score minus that
        mean), by which the rows are then sorted.

    Raises:
        ValueError: the arrays are others, or n is below 1
        TypeError: n is not an integer
    """
    _require_scores(scores)
    count(n, "n", 1)
    if random is not None and (unknown := set(_names(scores)) - set(_names(random))):
        raise ValueError(f"random has no scores of kind {sorted(unknown)[0]!r}, which scores has")
    dims = [dim for dim in ("kind", *_PAIR) if dim in scores.dims]
    frame = scores.transpose(*dims).to_dataframe("score").reset_index().dropna(subset="score")
    for side, columns in (("sender", _PAIR[:2]), ("receiver", _PAIR[2:])):
        pairs = zip(*(frame[column] for column in columns), strict=True)
        frame[side] = [str(Head(layer, head)) for layer, head in pairs]
    frame = frame[["kind", "sender", "receiver", "score"]]
    by = "score"
    if random is not None:
        typical = random.mean([dim for dim in random.dims if dim != "kind"])
        by_kind = dict(zip(_names(random), np.atleast_1d(typical.values), strict=True))
        frame = frame.assign(random=frame["kind"].map(by_kind))
        frame, by = frame.assign(excess=frame["score"] - frame["random"]), "excess"
    return frame.sort_values(by, ascending=False, kind="stable").head(n).reset_index(drop=True)


def strongest_senders(scores: xr.DataArray) -> pd.DataFrame:
    """The earlier head that each head reads most.

    Args:
        scores: what `composition_scores` returns

    Returns:
        One row for each kind and each head that has an earlier one: `kind`, `receiver`, `sender`,
        `score`, and for the second strongest `runner_up` and `runner_up_score` (missing if there is
        only one).

    Raises:
        ValueError: the array is another
    """
    _require_scores(scores)
    scores = scores if "kind" in scores.dims else scores.expand_dims("kind")
    stacked = scores.stack(sender=_PAIR[:2], receiver=_PAIR[2:]).dropna("receiver", how="all")
    senders, receivers = (
        [str(Head(*pair)) for pair in stacked[x].values] for x in ("sender", "receiver")
    )
    rows = []
    for kind in stacked["kind"].values:
        values = stacked.sel(kind=kind).transpose("receiver", "sender").fillna(-np.inf).values
        order = np.argsort(-values, axis=1, kind="stable")
        for row, (first, *others), receiver in zip(values, order, receivers, strict=True):
            found = {"kind": kind, "receiver": receiver}
            found |= {"sender": senders[first], "score": row[first]}
            if others and np.isfinite(row[others[0]]):
                second = others[0]
                found |= {"runner_up": senders[second], "runner_up_score": row[second]}
            rows.append(found)
    return pd.DataFrame(rows)


def _kinds(kinds: Sequence[str]) -> list[str]:
    chosen = items(kinds, "kinds", "['q', 'k', 'v']")
    unknown = [kind for kind in chosen if kind not in QKV]
    if unknown:
        raise ValueError(f"expected kinds among {', '.join(QKV)}; got {unknown[0]!r}")
    require_once(chosen, "kind")
    return chosen


def _names(scores: xr.DataArray) -> list[str]:
    """The kinds of an array, which may have a single kind."""
    return [str(kind) for kind in np.atleast_1d(scores["kind"].values)]


def _require_scores(scores: xr.DataArray) -> None:
    """Refuse an array that does not come from `composition_scores`."""
    missing = [dim for dim in _PAIR if dim not in scores.dims]
    if missing or "kind" not in scores.coords or "sample" in scores.dims:
        raise ValueError(
            f"expected the scores of composition_scores, dims kind, {', '.join(_PAIR)}; got "
            f"{scores.dims}"
        )


def _result(
    model: Weights,
    kinds: Sequence[str],
    values: Float[Tensor, "..."],
    title: str,
    asked: Mapping[str, object],
) -> xr.DataArray:
    return labeled(
        values,
        ("sample", "kind", *_PAIR)[-values.ndim :],
        name="composition",
        title=title,
        unit="fraction",
        model=model,
        coords={"kind": list(kinds)},
        question=asked,
    )


def _scores(
    weights: AttentionWeights,
    W_O: Float[Tensor, "layer head d_head d_model"],
    kinds: Sequence[str],
) -> Float[Tensor, "kind layer head layer head"]:
    """Scores of all pairs, with the senders writing through `W_O`."""
    n_layers, n_heads = weights.n_layers, weights.n_heads
    write = _root(weights.W_V) @ W_O  # l h k d, W_OV up to a rotation on its left
    size = write.norm(dim=(-2, -1))  # l h
    scores = W_O.new_full((len(kinds), *(n_layers, n_heads) * 2), torch.nan)
    for i, kind in enumerate(kinds):
        near, far = {
            "q": (weights.W_Q, weights.W_K),
            "k": (weights.W_K, weights.W_Q),
            "v": (weights.W_V, weights.W_O.transpose(-2, -1)),
        }[kind]
        read = near @ _root(far).transpose(-2, -1)  # l h d k
        for layer in range(1, n_layers):
            pair = einsum(write[:layer], read[layer], "l s i d, h d j -> l s h i j")
            norms = size[:layer, :, None] * read[layer].norm(dim=(-2, -1))  # l s h
            scores[i, :layer, :, layer] = pair.norm(dim=(-2, -1)) / norms
    return scores


def _root(factor: Float[Tensor, "l h d k"]) -> Float[Tensor, "l h k k"]:
    """R with R^T R = factor^T factor, so that ||factor M|| = ||R M|| for every M."""
    return torch.linalg.qr(factor, mode="r").R
