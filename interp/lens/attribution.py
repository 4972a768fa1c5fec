"""Direct logit attribution: what each part of the model adds to a logit, or to a difference of two.

The last stream is the sum of what all parts wrote, and the final layer norm is affine at the scale
it has in the run. So a logit is a sum too: with C the centering over d_model, a part x adds

    attribution(x) = x . C (w * u) / scale,    u = W_U[:, answer] - W_U[:, foil],

the layer norm's bias adds b . u, and the unembedding's bias adds b_U[answer] - b_U[foil].

    by            parts                                              add up to
    component     embed, pos_embed; of each layer attn (all heads),  the logit (difference)
                  b_O, mlp (all neurons) and b_out; ln_final.b, b_U
    head          z_h W_O_h                                          attn of the layer
    neuron        post_n W_out[n]                                    mlp of the layer
    source        pattern_h[position, s] v_h[s] W_O_h                the head
    source_role   the same, at the tokens of the task's roles

This is the direct path only: what a part does through later layers is not included.

Source: Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"; Wang et al. 2022
(arXiv 2211.00593), section 3.1.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import xarray as xr
from torch import Tensor

from interp.lens.contributions import KINDS_OF_PARTS, By, Run
from interp.lens.reading import final_scale
from interp.model import HookedGPT2
from interp.parts import require_once
from interp.results import labeled
from interp.runs.ablation import Ablation
from interp.runs.arguments import (
    Token,
    one_or_more,
    position_in,
    require_finite,
    token_texts,
    wide,
)
from interp.runs.places import Position
from interp.runs.question import question
from interp.runs.readout import LINEAR, answer_direction, linear_direction
from interp.runs.sides import Progress, at, batches, run_side
from interp.runs.texts import (
    Prompt,
    Texts,
    answers_of,
    read_prompts,
    require_reference,
    rows_of,
)
from interp.tasks import Task
from interp.tasks.metric_names import did_you_mean


@torch.inference_mode()
def direct_logit_attribution(
    model: HookedGPT2,
    prompt: Prompt,
    *,
    by: By = "component",
    answer: Token | Sequence[Token] | None = None,
    foil: Token | Sequence[Token] | None = None,
    metric: str | None = None,
    position: Position = "END",
    ablation: Ablation | None = None,
    progress: Progress = iter,
) -> xr.DataArray:
    """Measure what each part writes toward the answer.

    Args:
        model: the model
        prompt: a task, for the logit difference of answer and foil in its clean prompts; or a text,
            several texts or token ids, for the logits of chosen tokens
        by: the parts; see the module
        answer: for one text, the token or tokens to attribute; for several texts, one token for all
            or a list with one for each
        foil: for texts, a token whose logit is subtracted (for several texts, also one for each);
            None for the logits alone
        metric: for a task, what is attributed: "logit_diff", which is the default, or the logit of
            the answer or the foil above the mean of the task's other candidates, "answer_logit" or
            "foil_logit"
        position: position of the prediction: a role, or an index from 0; "END" is the last token
        ablation: what is knocked out of the model
        progress: wraps the batches, for a progress bar

    Returns:
        The attributions, in logits, positive toward the answer. The dims are component (with `kind`
        and `layer`); layer, head; layer, neuron; or layer, head, source (an index) or source_role;
        then answer (for one text) or prompt. NaN where a prompt has no such source, and for neurons
        of an MLP or sources of a head that `ablation` replaces at the position.

    Raises:
        ValueError: a kind of part, role or token is unknown; source roles are asked of a text; a
            text has no answer, or one is passed for a task; a prompt lacks the position; a prompt
            does not fit the model, or the model gives numbers that are not finite
        TypeError: a list, number or prompt is of another type

    Example:
        >>> import interp
        >>> model = interp.load("mini")
        >>> found = direct_logit_attribution(model, "Yesterday Mary and John met", answer=[" at"])
        >>> found.sel(component="0.attn").dims
        ('answer',)
    """
    if by not in KINDS_OF_PARTS:
        raise ValueError(f"expected by to be one of {', '.join(KINDS_OF_PARTS)}; got {by!r}")
    kind = KINDS_OF_PARTS[by]
    if by == "source_role" and not isinstance(prompt, Task):
        raise ValueError("a text has no roles; use by='source', or pass a task")
    texts = read_prompts(model, prompt, "direct_logit_attribution")
    require_linear(metric, texts.is_task)
    require_reference(texts, ablation)
    task, answers, foils = _targets(model, texts, answer, foil)
    where = position_in(task, position)
    prepared = ablation.prepare(model, task) if ablation else None
    last = ("resid_post", model.config.n_layers - 1)
    keys = [(site, i) for site in kind.sites for i in range(model.config.n_layers)]
    keys += [("embed", 0), last] if by == "component" else [last]
    parts = []
    for rows in batches(task, progress):
        hooks = prepared.hooks(rows) if prepared else ()
        _, kept = run_side(model, task, rows, "clean", keys, hooks=hooks)
        end = at(kept[last], where[rows])  # b d
        require_finite(model, end)
        n = len(end)
        some = task.subset(range(len(task))[rows])
        if texts.is_task:
            direction = linear_direction(model, some, metric or "logit_diff")
        else:
            wrong = None if foils is None else rows_of(foils, rows, n)
            direction = answer_direction(model, rows_of(answers, rows, n), wrong)
        u, b_U = map(wide, direction)
        toward = u * model.ln_final.w
        toward = (toward - toward.mean(-1, keepdim=True)) / final_scale(model, end)  # b d
        masks = {key: mask[rows] for key, mask in prepared.masks.items()} if prepared else {}
        run = Run(model, some, kept, where[rows], u, b_U, toward, masks)
        parts.append(kind.contributions(run))  # part ... b
    row = "answer" if texts.is_one else "prompt"
    coords = {"answer": token_texts(model, answers.tolist())} if texts.is_one else {}
    return labeled(
        torch.cat(parts, -1),
        (*kind.dims, row),
        name="attribution",
        title=f"Direct logit attribution by {by.replace('_', ' ')} at {position}",
        unit="logits",
        model=model,
        task=texts.task,
        coords=coords | _labels(model, task, by),
        question=question(
            "direct_logit_attribution",
            task=task,
            ablation=ablation,
            by=by,
            metric=metric,
            position=position,
            answer=None if texts.is_task else answers.tolist(),
            foil=None if texts.is_task or foils is None else foils.tolist(),
        ),
    )


def cumulative(attribution: xr.DataArray) -> xr.DataArray:
    """The logit (or logit difference) that the stream holds after each component has written.

    Args:
        attribution: what `direct_logit_attribution` returns by component, complete, with its dims
            in any order

    Returns:
        The sum up to and including each component, with the same dims. The two constants after the
        last layer are counted from the start and are not components of the result. This is what the
        logit lens reads there at the final scale; the last value is the model's own.

    Raises:
        ValueError: the attribution is to other parts, or lacks some components
        TypeError: `attribution` is not an array
    """
    if not isinstance(attribution, xr.DataArray):
        raise TypeError(
            "expected the array that direct_logit_attribution returns; got "
            f"{type(attribution).__name__}"
        )
    if "component" not in attribution.dims or "kind" not in attribution.coords:
        raise ValueError(
            "components write one after the other and can be accumulated; got an attribution with "
            f"dims {attribution.dims}. Use direct_logit_attribution(..., by='component')"
        )
    n_layers = sum(kind == "attn" for kind in attribution["kind"].values.tolist())
    names = [name for name, _, _ in _component_names(n_layers)]
    if sorted(attribution["component"].values.tolist()) != sorted(names):
        raise ValueError(
            "the sum needs every component once, since each adds to what those before it wrote; "
            f"got {attribution.sizes['component']} of the {len(names)} of {n_layers} layers"
        )
    ordered = attribution.sel(component=names)  # in the order in which they write
    writes, constants = ordered.isel(component=slice(-2)), ordered.isel(component=slice(-2, None))
    total = writes.cumsum("component") + constants.sum("component", skipna=False)
    total = total.assign_coords(writes.coords).transpose(*attribution.dims)
    return total.rename(attribution.name).assign_attrs(
        attribution.attrs | {"title": "Accumulated direct logit attribution"}
    )


def require_linear(metric: str | None, is_task: bool) -> None:
    """Refuse a metric that cannot be attributed.

    Args:
        metric: name of the metric, or None
        is_task: whether the prompts are those of a task

    Raises:
        ValueError: it is not linear in the last stream, or the prompts are texts
    """
    if metric is None:
        return
    if not is_task:
        raise ValueError("a metric is for tasks; for texts, pass answer= and foil=")
    if metric not in LINEAR:
        raise ValueError(
            f"expected a metric that is linear in the stream, {', '.join(LINEAR)}; got {metric!r}"
            + did_you_mean(metric, LINEAR)
        )


def _targets(
    model: HookedGPT2,
    texts: Texts,
    answer: Token | Sequence[Token] | None,
    foil: Token | Sequence[Token] | None,
) -> tuple[Task, Tensor, Tensor | None]:
    """The prompts with their answers and foils; one text is repeated for each of its answers."""
    if not texts.is_task and answer is None:
        raise ValueError("for a text, pass answer: the token, or tokens, whose logit to attribute")
    if not texts.is_one:
        found = answers_of(model, texts, answer, foil)
        return texts.task, found["answer"], found.get("foil")
    ids, _ = one_or_more(model, answer, "answer")
    require_once(token_texts(model, ids.tolist()), "answer")
    foils = answers_of(model, texts, None, foil).get("foil")
    again = texts.task.subset([0] * len(ids))
    # A task needs foils; the foils of the result are returned separately.
    own = (ids + 1) % model.config.d_vocab
    return replace(again, answer=ids, foil=own), ids, foils


def _component_names(n_layers: int) -> list[tuple[str, str, int]]:
    """Name, kind and layer of every component, in the order of writing."""
    names = [("embed", "embed", -1), ("pos_embed", "pos_embed", -1)]
    for i in range(n_layers):
        names += [(f"{i}.{kind}", kind, i) for kind in ("attn", "b_O", "mlp", "b_out")]
    return [*names, *((name, "constant", n_layers) for name in ("ln_final.b", "b_U"))]


def _labels(model: HookedGPT2, task: Task, by: By) -> dict[str, Any]:
    if by == "source_role":
        return {"source_role": list(task.positions)}
    if by != "component":
        return {}
    labels, kinds, layers = zip(*_component_names(model.config.n_layers), strict=True)
    return {
        "component": list(labels),
        "kind": ("component", list(kinds)),
        "layer": ("component", list(layers)),
    }
