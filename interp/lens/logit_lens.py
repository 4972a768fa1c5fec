"""Logit lens: what the model would predict if it stopped here.

An activation x of a layer is read with the final layer norm and the unembedding, as if it were the
last stream (see `interp.lens.reading`):

    site                               what is read
    resid_pre, resid_mid, resid_post   the stream; at the last resid_post, the model's own logits
    attn_out, mlp_out                  what a layer's attention or MLP adds to it
    z                                  what each head adds to it, z_h W_O_h

The final layer norm divides by one of two scales:

    own     sqrt(variance(x) + eps): x is taken for a whole stream, whatever its size. The default
            for streams, and the usual meaning of logit lens.
    final   the scale of the run's last stream at the same position: x counts as much as it does in
            the final logits, so parts agree with direct logit attribution. The default for parts,
            which are small; at their own scale they would all look certain.

The biases of the layer norm and the unembedding belong to whole streams; they are left out for
parts.

The divergence is always measured from the same distribution: the final prediction of the whole
model, with nothing ablated, at that token.

Source: nostalgebraist 2020, "interpreting GPT: the logit lens"; Belrose et al. 2023 (arXiv
2303.08112) for the tuned lens, which corrects each layer's stream before it is read.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor

from interp.lens.reading import UNIT_OF, Scale, readings
from interp.lens.tuned import TunedLens
from interp.model import HookedGPT2
from interp.results import labeled
from interp.runs.ablation import Ablation
from interp.runs.arguments import (
    Token,
    chosen_layers,
    count,
    position_in,
    require_finite,
    token_texts,
)
from interp.runs.places import Position
from interp.runs.question import question as asked
from interp.runs.sides import Progress, at, batches, run_side
from interp.runs.sites import Key
from interp.runs.texts import (
    Prompt,
    Texts,
    answers_of,
    read_prompts,
    require_reference,
    rows_of,
)

LENS_SITES: Mapping[str, Literal["stream", "part"]] = MappingProxyType(
    {
        "resid_pre": "stream",
        "resid_mid": "stream",
        "resid_post": "stream",
        "attn_out": "part",
        "mlp_out": "part",
        "z": "part",
    }
)
"""The activations that a lens can read: whole streams, and parts that are added to them."""

COMPARED_WITH = "the last prediction of the whole model, nothing ablated"
"""What `kl_divergence` is measured from, as results state it."""


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
    answer: Token | Sequence[Token] | None = None,
    foil: Token | Sequence[Token] | None = None,
    position: Position | None = None,
    ablation: Ablation | None = None,
    progress: Progress = iter,
) -> xr.Dataset:
    """Read an activation of every layer as a prediction of the next token.

    Args:
        model: the model
        prompt: a text or its token ids, several texts, or a task, whose clean prompts are read
        site: the activation; see the module
        scale: scale of the final layer norm, "own" or "final"; None for "own" at streams and
            "final" at parts
        tuned: translators to apply to the stream first, for resid_pre and resid_post
        layers: the layers to read; by default all
        k: number of most probable tokens to keep
        answer: the token whose probability and rank to keep; for several texts, one token for all
            or a list with one for each; a task has its own
        foil: the token with which to compare the answer's logit, given in the same way
        position: where to read: a role, or an index from 0. By default, one text is read at every
            position, and several prompts at "END", the last token of each.
        ablation: what is knocked out of the model that is read
        progress: wraps the batches, for a progress bar

    Returns:
        The readings, dims layer, head (at z), and position (for one text, with its `token`) or
        prompt: `entropy` of the reading and `kl_divergence`, KL(final || reading), both in nats,
        where final is the last prediction of the whole model with nothing ablated; `top_id`,
        `top_token` and `top_probability` of the k most probable tokens, with a dim top. With an
        answer, also its `probability` and `rank` (0 is the first choice); with a foil, `logit_diff`
        (positive toward the answer).

    Raises:
        ValueError: a site, scale, layer, role or token is unknown; a prompt lacks the position; the
            tuned lens belongs to another model or site; an answer is given for a task; a prompt
            does not fit the model, or the model gives numbers that are not finite
        TypeError: a list, number or prompt is of another type

    Example:
        >>> import interp
        >>> reading = logit_lens(interp.load("mini"), "Yesterday Mary and John met")
        >>> reading.entropy.dims, reading.top_token.dims
        (('layer', 'position'), ('layer', 'position', 'top'))
    """
    chosen = _check(model, site, scale, tuned, layers, k)
    scale = scale or ("own" if LENS_SITES[site] == "stream" else "final")
    if foil is not None and answer is None:
        raise ValueError("a foil is what an answer is compared with; pass an answer too")
    texts = read_prompts(model, prompt, "logit_lens")
    require_reference(texts, ablation)
    task = texts.task
    targets = answers_of(model, texts, answer, foil)
    if position is None and texts.is_one:
        where, place = torch.arange(int(task.lengths[0]), device=model.device), "all"
    else:
        place = "END" if position is None else str(position)
        where = position_in(task, "END" if position is None else position)  # prompt
    tuned = tuned.to(model.device) if tuned else None
    prepared = ablation.prepare(model, task) if ablation else None
    last = ("resid_post", model.config.n_layers - 1)

    def pick(kept: Mapping[Key, Tensor], rows: slice) -> dict[Key, Float[Tensor, "row ..."]]:
        """The activations to read: one position per prompt, or the chosen ones of one text."""
        if texts.is_one:
            return {key: x[0, where] for key, x in kept.items()}
        return {key: at(x, where[rows]) for key, x in kept.items()}

    parts = []
    for rows in batches(task, progress):
        hooks = prepared.hooks(rows) if prepared else ()
        keys = [(site, layer) for layer in chosen] + [last]
        kept = pick(run_side(model, task, rows, "clean", keys, hooks=hooks)[1], rows)
        whole = kept
        if prepared is not None:
            whole = pick(run_side(model, task, rows, "clean", [last])[1], rows)
        require_finite(model, kept[last])
        some = {name: rows_of(ids, rows, len(kept[last])) for name, ids in targets.items()}
        vectors = partial(_vectors, model, kept, site, chosen, tuned)
        is_stream = LENS_SITES[site] == "stream"
        parts.append(readings(model, vectors, kept[last], whole[last], scale, is_stream, some, k))
    found = {name: torch.cat([part[name] for part in parts], 1) for name in parts[0]}
    given = {} if texts.is_task else {name: ids.tolist() for name, ids in targets.items()}
    question = asked(
        "logit_lens",
        ablation=ablation,
        site=site,
        layers=chosen,
        position=place,
        scale=scale,
        k=k,
        tuned=None if tuned is None else dict(tuned.metadata),
        answer=given.get("answer"),
        foil=given.get("foil"),
    )
    return _dataset(model, texts, found, chosen, where, site, scale, tuned, question)


def _check(
    model: HookedGPT2,
    site: str,
    scale: str | None,
    tuned: TunedLens | None,
    layers: Sequence[int] | None,
    k: int,
) -> list[int]:
    """Check the arguments; return the layers to read."""
    if site not in LENS_SITES:
        raise ValueError(f"unknown site {site!r}; expected one of {', '.join(LENS_SITES)}")
    if scale not in (None, "own", "final"):
        raise ValueError(f"expected scale 'own' or 'final', got {scale!r}")
    count(k, "k", 1, model.config.d_vocab, " (d_vocab)")
    if tuned is not None:
        if site not in ("resid_pre", "resid_post") or scale == "final":
            raise ValueError(
                "a tuned lens reads resid_pre or resid_post at their own scale, for which it was "
                f"trained; got site={site!r}, scale={scale!r}"
            )
        tuned.require(model)
    return chosen_layers(model, layers)


def _vectors(
    model: HookedGPT2,
    kept: Mapping[Key, Float[Tensor, "row ..."]],
    site: str,
    layers: Sequence[int],
    tuned: TunedLens | None,
    rows: slice,
) -> Iterator[Float[Tensor, "row d_model"]]:
    """The vectors to read, in order: one per layer, or one per head at z."""
    for layer in layers:
        x = kept[site, layer][rows]
        if site == "z":
            W_O = model.blocks[layer].attn.W_O  # h k d
            yield from (x[:, head] @ W_O[head] for head in range(len(W_O)))
        elif tuned is not None:
            yield tuned(x, layer + (site == "resid_post"))
        else:
            yield x


def _dataset(
    model: HookedGPT2,
    texts: Texts,
    found: Mapping[str, Tensor],
    layers: Sequence[int],
    where: Int[Tensor, " row"],
    site: str,
    scale: Scale,
    tuned: TunedLens | None,
    question: Mapping[str, object],
) -> xr.Dataset:
    task = texts.task
    units = ("layer", "head") if site == "z" else ("layer",)
    dims = (*units, "position" if texts.is_one else "prompt")
    coords: dict[str, Any] = {"layer": list(layers)}
    if texts.is_one:
        read = task.clean_tokens[0, where].tolist()
        coords |= {"position": where.tolist(), "token": ("position", token_texts(model, read))}
    kind = "Logit lens" if tuned is None else "Tuned lens"
    arrays = {}
    for name, value in found.items():
        if site == "z":
            value = value.unflatten(0, (len(layers), -1))  # layer head row ...
        arrays[name] = labeled(
            value.cpu().numpy(),
            (*dims, "top") if name.startswith("top_") else dims,
            name=name,
            title=f"{kind} at {site}: {name.replace('_', ' ').replace('kl ', 'KL ')}",
            unit=UNIT_OF[name],
            model=model,
            task=task,
            coords=coords,
            question=question,
        )
    arrays["kl_divergence"].attrs["compared_with"] = COMPARED_WITH
    ids = arrays["top_id"]
    words = np.array(token_texts(model, ids.values.ravel().tolist()), dtype=object)
    arrays["top_token"] = ids.copy(data=words.reshape(ids.shape)).assign_attrs(unit="text")
    origin = {name: ids.attrs[name] for name in ("model", "task")}
    return xr.Dataset(
        arrays,
        attrs=origin
        | {"title": f"{kind} at {site}", "site": site, "scale": scale}
        | {"compared_with": COMPARED_WITH},
    )
