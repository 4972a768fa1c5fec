"""Direct logit attribution: what each part of the model adds to a logit, or to a difference of two.

The last stream is a sum of what all parts wrote, and the final layer norm, at the scale it has in
the run, is affine. So a logit is a sum too; with C the centering over d_model, a part x adds

    attribution(x) = x . C (w * u) / scale,    u = W_U[:, answer] - W_U[:, foil],

and the layer norm's bias adds b . u, the unembedding's b_U[answer] - b_U[foil].

    by            parts                                              add up to
    component     embed, pos_embed; of each layer attn (all heads),  the logit (difference)
                  b_O, mlp (all neurons) and b_out; ln_final.b, b_U
    head          z_h W_O_h                                          attn of the layer
    neuron        post_n W_out[n]                                    mlp of the layer
    source        pattern_h[position, s] v_h[s] W_O_h                the head
    source_role   the same, at the tokens of the task's roles

This is the direct path alone: what a part does by way of later layers is not in it.

Source: Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"; Wang et al. 2022
(arXiv 2211.00593), section 3.1.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
import xarray as xr
from einops import einsum
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.lens.reading import (
    Prompt,
    Token,
    as_task,
    final_scale,
    positions_of,
    token_id,
    token_texts,
)
from interp.model import HookedGPT2
from interp.patching import Ablation, Progress
from interp.results import labelled
from interp.runs.readout import answer_direction
from interp.runs.sides import Key, at, batches, run_side
from interp.tasks import Task

By = Literal["component", "head", "neuron", "source", "source_role"]

_SITES: dict[str, tuple[str, ...]] = {
    "component": ("attn_out", "mlp_out"),
    "head": ("z",),
    "neuron": ("mlp_post",),
    "source": ("pattern", "v"),
    "source_role": ("pattern", "v"),
}
_DIMS = {
    "component": ("component",),
    "head": ("layer", "head"),
    "neuron": ("layer", "neuron"),
    "source": ("layer", "head", "source"),
    "source_role": ("layer", "head", "source_role"),
}


@torch.inference_mode()
def direct_logit_attribution(
    model: HookedGPT2,
    prompt: Prompt,
    *,
    by: By = "component",
    answer: Token | Sequence[Token] | None = None,
    foil: Token | None = None,
    position: str | int = "END",
    ablation: Ablation | None = None,
    progress: Progress = iter,
) -> xr.DataArray:
    """What each part writes toward the answer.

    Args:
        model: the model.
        prompt: a task, for the logit difference of answer and foil in its clean prompts; or a text
            or token ids, for the logits of tokens of one's choice.
        by: the parts; see the module.
        answer: for a text, the token or tokens to attribute.
        foil: for a text, a token whose logit is subtracted; None for the logits alone.
        position: where the prediction is made: a role, or an index from 0; "END" is the last token.
        ablation: what is knocked out of the model.
        progress: wraps the batches, for a progress bar.

    Returns:
        In logits, positive toward the answer. Dims: component (with `kind` and `layer`); layer,
        head; layer, neuron; layer, head, source (index) or source_role; then prompt of a task, or
        answer of a text. NaN where a prompt has no such source, and for the neurons of an MLP and
        the sources of a head that `ablation` replaces at the position.

    Raises:
        ValueError: for an unknown kind of part, role or token; no answer for a text, or one for a
            task; or source roles of a text.

    Example:
        >>> import interp
        >>> model = interp.load("mini")
        >>> found = direct_logit_attribution(model, "Yesterday Mary and John met", answer=[" at"])
        >>> found.sel(component="0.attn").dims
        ('answer',)
    """
    if by not in get_args(By):
        raise ValueError(f"expected by to be one of {', '.join(get_args(By))}; got {by!r}")
    if isinstance(prompt, Task) and not (answer is None and foil is None):
        raise ValueError("a task has its own answers and foils; pass none")
    if by == "source_role" and not isinstance(prompt, Task):
        raise ValueError("a text has no roles; use by='source'")
    task = as_task(model, prompt, ablation)
    row, coords = "prompt", {}
    has_foil = isinstance(prompt, Task) or foil is not None
    if not isinstance(prompt, Task):
        task, row = _with_answers(model, task, answer, foil), "answer"
        coords = {"answer": token_texts(model, task.answer.tolist())}
    where = positions_of(task, position)
    prepared = ablation.prepare(model, task) if ablation else None
    last = ("resid_post", model.config.n_layers - 1)
    keys = [(site, i) for site in _SITES[by] for i in range(model.config.n_layers)]
    keys += [("embed", 0), last] if by == "component" else [last]
    parts = []
    for rows in batches(task, progress):
        hooks = prepared.hooks(rows) if prepared else ()
        _, kept = run_side(model, task, rows, "clean", keys, hooks=hooks)
        foils = task.foil[rows] if has_foil else None
        u, b_U = answer_direction(model, task.answer[rows], foils)
        scale = final_scale(model, at(kept[last], where[rows]))  # b 1
        toward = u * model.ln_final.w
        toward = (toward - toward.mean(-1, keepdim=True)) / scale  # b d
        masks = {key: mask[rows] for key, mask in prepared.masks.items()} if prepared else {}
        some = task.subset(range(len(task))[rows])
        run = _Run(model, some, kept, where[rows], u, b_U, toward, masks)
        parts.append(_PARTS[by](run))  # part ... b
    return labelled(
        torch.cat(parts, -1),
        (*_DIMS[by], row),
        name="attribution",
        title=f"Direct logit attribution by {by.replace('_', ' ')} at {position}",
        unit="logits",
        model=model,
        task=task,
        coords=coords | _labels(model, task, by),
    )


def cumulative(attribution: xr.DataArray) -> xr.DataArray:
    """The logit (difference) that the stream holds after each component has written.

    Args:
        attribution: of `direct_logit_attribution` by component.

    Returns:
        Dims component, without the two constants that come after the last layer, and prompt or
        answer: the sum up to and with each component, the constants counted from the start. This is
        what the logit lens reads there at the final scale; the last value is the model's own.

    Raises:
        ValueError: an attribution to other parts.
    """
    if "component" not in attribution.dims:
        raise ValueError(
            "components write one after the other and can be accumulated; got an attribution with "
            f"dims {attribution.dims}. Use direct_logit_attribution(..., by='component')"
        )
    last = attribution.kind == "constant"
    total = attribution[~last].cumsum("component") + attribution[last].sum("component")
    total = total.assign_coords(attribution[~last].coords).transpose(*attribution.dims)
    return total.assign_attrs(attribution.attrs | {"title": "Accumulated direct logit attribution"})


def _with_answers(
    model: HookedGPT2, task: Task, answer: Token | Sequence[Token] | None, foil: Token | None
) -> Task:
    """The one prompt of a text again for each answer."""
    if answer is None:
        raise ValueError("for a text, pass answer: the token, or tokens, whose logit to attribute")
    chosen = [answer] if isinstance(answer, str | int) else list(answer)
    ids = task.answer.new_tensor([token_id(model, token) for token in chosen])
    if not len(ids):
        raise ValueError("answer is an empty list; pass at least one token")
    foils = (ids + 1) % model.config.d_vocab if foil is None else ids * 0 + token_id(model, foil)
    return replace(task.subset([0] * len(ids)), answer=ids, foil=foils)


def _labels(model: HookedGPT2, task: Task, by: By) -> dict[str, Any]:
    if by == "source_role":
        return {"source_role": list(task.positions)}
    if by != "component":
        return {}
    names = [("embed", "embed", -1), ("pos_embed", "pos_embed", -1)]
    for i in range(model.config.n_layers):
        names += [(f"{i}.{kind}", kind, i) for kind in ("attn", "b_O", "mlp", "b_out")]
    names += [(name, "constant", model.config.n_layers) for name in ("ln_final.b", "b_U")]
    labels, kinds, layers = zip(*names, strict=True)
    return {
        "component": list(labels),
        "kind": ("component", list(kinds)),
        "layer": ("component", list(layers)),
    }


@dataclass(frozen=True)
class _Run:
    """Some prompts after their run, and the direction that their parts are projected on."""

    model: HookedGPT2
    task: Task
    kept: Mapping[Key, Float[Tensor, "b p ..."]]
    where: Int[Tensor, " b"]
    u: Float[Tensor, "b d"]
    b_U: Float[Tensor, " b"]
    toward: Float[Tensor, "b d"]
    masks: Mapping[Key, Bool[Tensor, "b p unit"]]

    def at(self, site: str, layer: int) -> Float[Tensor, "b ..."]:
        return at(self.kept[site, layer], self.where)

    def known(
        self, value: Float[Tensor, "b unit ..."], site: str, layer: int
    ) -> Float[Tensor, "b unit ..."]:
        """NaN where what the parts make is replaced."""
        if (site, layer) not in self.masks:
            return value
        mask = at(self.masks[site, layer], self.where)  # b unit
        return value.masked_fill(mask.view(*mask.shape, *(1,) * (value.ndim - 2)), torch.nan)


def _components(run: _Run) -> Float[Tensor, "component b"]:
    model, toward = run.model, run.toward

    def of(x: Tensor) -> Float[Tensor, " b"]:
        return (x * toward).sum(-1)

    parts = [of(run.at("embed", 0)), of(model.pos_embed.W_pos[run.where])]
    for i, block in enumerate(model.blocks):
        for out, bias in (("attn_out", block.attn.b_O), ("mlp_out", block.mlp.b_out)):
            parts += [of(run.at(out, i) - bias), of(bias)]
    return torch.stack([*parts, run.u @ model.ln_final.b, run.b_U])


def _heads(run: _Run) -> Float[Tensor, "layer head b"]:
    return torch.stack(
        [
            einsum(run.at("z", i), block.attn.W_O, run.toward, "b h k, h k d, b d -> h b")
            for i, block in enumerate(run.model.blocks)
        ]
    )


def _neurons(run: _Run) -> Float[Tensor, "layer neuron b"]:
    """Each neuron's output weights are projected first: no vector of d_model for every neuron."""
    parts = [
        run.known(run.at("mlp_post", i) * (run.toward @ block.mlp.W_out.T), "mlp_out", i).T
        for i, block in enumerate(run.model.blocks)
    ]
    return torch.stack(parts)


def _sources(run: _Run) -> Float[Tensor, "layer head source b"]:
    """The values at each source, projected first."""
    width = run.task.clean_tokens.shape[1]
    real = run.task.attention_mask[:, None]  # b 1 source
    parts = []
    for i, block in enumerate(run.model.blocks):
        reads = einsum(block.attn.W_O, run.toward, "h k d, b d -> b h k")
        values = einsum(run.kept["v", i], reads, "b s h k, b h k -> b h s")
        found = run.known(run.at("pattern", i) * values, "z", i)  # b h s
        found = torch.nn.functional.pad(found, (0, width - found.shape[-1]))
        parts.append(found.masked_fill(~real, torch.nan).permute(1, 2, 0))
    return torch.stack(parts)


def _source_roles(run: _Run) -> Float[Tensor, "layer head role b"]:
    every = _sources(run)  # layer head source b
    roles = torch.stack(list(run.task.positions.values()))  # role b
    return every.gather(2, roles.expand(*every.shape[:2], *roles.shape))


_PARTS: dict[str, Callable[[_Run], Tensor]] = {
    "component": _components,
    "head": _heads,
    "neuron": _neurons,
    "source": _sources,
    "source_role": _source_roles,
}
