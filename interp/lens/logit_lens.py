"""Logit lens: what the model would say if it stopped here.

An activation x of a layer is read with the final layer norm and the unembedding, as if it were the
last stream (see `interp.lens.reading`):

    site                               what is read
    resid_pre, resid_mid, resid_post   the stream; at the last resid_post, the model's own logits
    attn_out, mlp_out                  what a layer's attention or MLP adds to it
    z                                  what each head adds to it, z_h W_O_h

The final layer norm divides by one of two scales:

    own     sqrt(variance(x) + eps): x taken for a whole stream, whatever its size. The default for
            streams, and what the term logit lens means.
    final   that of the run's last stream at the same position: x counts as much as it does in the
            final logits, and what parts add is what direct logit attribution says. The default for
            parts, which are small; at a scale of their own they would all look certain.

The biases of layer norm and unembedding belong to whole streams and are left out for parts.

Source: nostalgebraist 2020, "interpreting GPT: the logit lens"; Belrose et al. 2023 (arXiv
2303.08112) for the tuned lens, which corrects each layer's stream before it is read.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from interp import metrics
from interp.lens.reading import (
    Prompt,
    Token,
    as_task,
    final_scale,
    logits_of,
    positions_of,
    row_chunks,
    token_id,
    token_texts,
)
from interp.lens.tuned import TunedLens
from interp.model import HookedGPT2
from interp.patching import Ablation, Progress
from interp.results import labelled
from interp.runs.sides import Key, at, batches, run_side
from interp.tasks import Choice, Task

STREAMS = ("resid_pre", "resid_mid", "resid_post")
LENS_SITES = (*STREAMS, "attn_out", "mlp_out", "z")
Scale = Literal["own", "final"]

UNITS = {
    "top_id": "token id",
    "top_probability": "probability",
    "entropy": "nats",
    "kl_divergence": "nats",
    "probability": "probability",
    "rank": "tokens",
    "logit_diff": "logits",
}
"""What is read off the logits, and its unit."""


@torch.inference_mode()
def logit_lens(
    model: HookedGPT2,
    prompt: Prompt,
    *,
    site: str = "resid_post",
    scale: Scale | None = None,
    tuned: TunedLens | None = None,
    layers: Sequence[int] | None = None,
    k: int = 5,
    answer: Token | None = None,
    foil: Token | None = None,
    position: str | int = "END",
    ablation: Ablation | None = None,
    progress: Progress = iter,
) -> xr.Dataset:
    """Read an activation of every layer as a prediction of the next token.

    Args:
        model: the model.
        prompt: a text or token ids, read at every position; or a task, whose clean prompts are read
            at one position each.
        site: which activation; see the module.
        scale: of the final layer norm, "own" or "final"; None for "own" at streams and "final" at
            parts.
        tuned: translators to apply to the stream first; for resid_pre and resid_post.
        layers: the layers to read; by default all.
        k: how many of the most probable tokens to keep.
        answer: for a text, the token whose probability and rank are kept; a task has its own.
        foil: for a text, the token that the answer's logit is compared with.
        position: for a task, where to read: a role, or an index from 0.
        ablation: what is knocked out of the model, in the final distribution too.
        progress: wraps the batches, for a progress bar.

    Returns:
        Dims layer, head (of z) and position (of a text, with its `token`) or prompt (of a task):
        `entropy` of the reading and `kl_divergence` KL(final || reading), in nats; `top_id`,
        `top_token` and `top_probability` of the k most probable tokens, with a dim top. With an
        answer, its `probability` and `rank` (0: the first choice); with a foil, `logit_diff`
        (positive: toward the answer).

    Raises:
        ValueError: for an unknown site, scale, layer, role or token; a tuned lens of another model
            or at another site; an answer given for a task.

    Example:
        >>> import interp
        >>> reading = logit_lens(interp.load("mini"), "Yesterday Mary and John met")
        >>> reading.entropy.dims, reading.top_token.dims
        (('layer', 'position'), ('layer', 'position', 'top'))
    """
    layers = _check(model, site, scale, tuned, layers, k)
    scale = scale or ("own" if site in STREAMS else "final")
    is_task = isinstance(prompt, Task)
    if is_task and not (answer is None and foil is None):
        raise ValueError("a task has its own answers and foils; pass none")
    if foil is not None and answer is None:
        raise ValueError("a foil is what an answer is compared with; pass an answer too")
    task = as_task(model, prompt, ablation)
    where = positions_of(task, position)
    named = {"answer": answer, "foil": foil}
    given = {name: token_id(model, token) for name, token in named.items() if token is not None}
    tuned = tuned.to(model.device) if tuned else None
    prepared = ablation.prepare(model, task) if ablation else None
    last = ("resid_post", model.config.n_layers - 1)
    parts = []
    for rows in batches(task, progress):
        hooks = prepared.hooks(rows) if prepared else ()
        keys = [(site, layer) for layer in layers] + [last]
        _, kept = run_side(model, task, rows, "clean", keys, hooks=hooks)
        kept = {key: at(x, where[rows]) if is_task else x[0] for key, x in kept.items()}
        final = kept[last]  # row d
        if is_task:
            targets = {"answer": task.answer[rows], "foil": task.foil[rows]}
        else:
            targets = {name: where.new_full((len(final),), one) for name, one in given.items()}
        vectors = partial(_vectors, model, kept, site, layers, tuned)
        parts.append(_read(model, vectors, final, scale, site in STREAMS, targets, k))
    found = {name: torch.cat([part[name] for part in parts], 1) for name in parts[0]}
    return _dataset(model, task, found, layers, site, scale, tuned, is_task)


def _check(
    model: HookedGPT2,
    site: str,
    scale: str | None,
    tuned: TunedLens | None,
    layers: Sequence[int] | None,
    k: int,
) -> list[int]:
    """The layers to read."""
    n_layers = model.config.n_layers
    if site not in LENS_SITES:
        raise ValueError(f"unknown site {site!r}; expected one of {', '.join(LENS_SITES)}")
    if scale not in (None, "own", "final"):
        raise ValueError(f"expected scale 'own' or 'final', got {scale!r}")
    if not 1 <= k <= model.config.d_vocab:
        raise ValueError(f"k must be from 1 to {model.config.d_vocab} (d_vocab), got {k}")
    chosen = list(range(n_layers) if layers is None else layers)
    wrong = [layer for layer in chosen if not 0 <= layer < n_layers]
    if wrong or not chosen:
        raise ValueError(f"the model has layers 0 to {n_layers - 1}, got {chosen}")
    if tuned is not None:
        if site not in ("resid_pre", "resid_post") or scale == "final":
            raise ValueError(
                "a tuned lens reads resid_pre or resid_post at their own scale, for which it was "
                f"trained; got site={site!r}, scale={scale!r}"
            )
        tuned.require(model)
    return chosen


def _vectors(
    model: HookedGPT2,
    kept: Mapping[Key, Float[Tensor, "row ..."]],
    site: str,
    layers: Sequence[int],
    tuned: TunedLens | None,
    rows: slice,
) -> Iterator[Float[Tensor, "row d_model"]]:
    """The vectors to read, one after the other: of every layer, and of every head at z."""
    for layer in layers:
        x = kept[site, layer][rows]
        if site == "z":
            W_O = model.blocks[layer].attn.W_O
            yield from (x[:, head] @ W_O[head] for head in range(len(W_O)))
        elif tuned is not None:
            yield tuned(x, layer + (site == "resid_post"))
        else:
            yield x


def _read(
    model: HookedGPT2,
    vectors: Callable[[slice], Iterator[Float[Tensor, "row d_model"]]],
    final: Float[Tensor, "row d_model"],
    scale: Scale,
    bias: bool,
    targets: Mapping[str, Choice],
    k: int,
) -> dict[str, Tensor]:
    """Every reading, [vector row ...]; logits exist for a few rows of one vector at a time."""
    chunks = []
    for rows in row_chunks(model, len(final)):
        reference = logits_of(model, final[rows])
        shared = None if scale == "own" else final_scale(model, final[rows])
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


def _dataset(
    model: HookedGPT2,
    task: Task,
    found: Mapping[str, Tensor],
    layers: Sequence[int],
    site: str,
    scale: Scale,
    tuned: TunedLens | None,
    is_task: bool,
) -> xr.Dataset:
    units = ("layer", "head") if site == "z" else ("layer",)
    dims = (*units, "prompt" if is_task else "position")
    coords: dict[str, Any] = {"layer": list(layers)}
    if not is_task:
        coords["token"] = ("position", token_texts(model, task.clean_tokens[0].tolist()))
    kind = "Logit lens" if tuned is None else "Tuned lens"
    arrays = {}
    for name, value in found.items():
        if site == "z":
            value = value.unflatten(0, (len(layers), -1))
        arrays[name] = labelled(
            value.cpu().numpy(),
            (*dims, "top") if name.startswith("top_") else dims,
            name=name,
            title=f"{kind} at {site}: {name.replace('_', ' ').replace('kl ', 'KL ')}",
            unit=UNITS[name],
            model=model,
            task=task,
            coords=coords,
        )
    ids = arrays["top_id"]
    texts = np.array(token_texts(model, ids.values.ravel().tolist()), dtype=object)
    arrays["top_token"] = ids.copy(data=texts.reshape(ids.shape)).assign_attrs(unit="text")
    origin = {name: ids.attrs[name] for name in ("model", "task")}
    return xr.Dataset(
        arrays, attrs=origin | {"title": f"{kind} at {site}", "site": site, "scale": scale}
    )
