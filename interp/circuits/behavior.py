"""What a head does at its position, and the class that follows from it.

Attention from the head's position, mean over the clean prompts:

    previous    to the token before
    duplicate   to earlier occurrences of its own token
    induction   to what followed such an occurrence
    answer      to tokens that are the answer
    foil        to tokens that are the foil

and `copy`, `anti_copy`: whether the tokens of the answer and the foil are among the five highest
logits of what the head would write for them, or of its negative. The class is the first that fits:

    induction              looks most by induction, unless more at the answer elsewhere
    previous token, duplicate token
                           likewise, of heads without a link to the logits
    S-inhibition           its links into queries of movers are stronger than its others into movers
                           or the logits, and it looks at the foil
    name mover             has links to the logits, or has links into values of movers and looks at
                           the answer or copies; the answer loses without it
    negative name mover    the same, and the answer gains
    other                  none of these

where "looks" is a mean attention of `min_attention` or more, and copying a score of one half. In
tasks other than the paper's, those without a role IO, movers move no names: they are called mover,
backup mover and negative mover, and there is no S-inhibition.

Source: Wang et al. 2022 (arXiv 2211.00593), section 3, for what tells the classes apart.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool
from torch import Tensor

from interp.circuits.circuit import MOVERS, CircuitHead
from interp.circuits.links import LOGITS, Link
from interp.heads import copy_scores
from interp.model import HookedGPT2
from interp.model.masks import after_same_token, same_token_before
from interp.results import labelled
from interp.runs.sides import batches, run_side
from interp.tasks import Task

_TITLES = {
    "previous": "Attention to the previous token",
    "duplicate": "Attention to earlier occurrences of the token",
    "induction": "Attention to what followed the token before",
    "answer": "Attention to the answer's token",
    "foil": "Attention to the foil's token",
    "copy": "Answer and foil among the head's own five highest logits",
    "anti_copy": "The same, output negated",
}
_STRUCTURAL = {
    "previous": "previous token",
    "duplicate": "duplicate token",
    "induction": "induction",
}
_COPIES = 0.5
_OF_OTHER_TASKS = {
    "name mover": "mover",
    "backup name mover": "backup mover",
    "negative name mover": "negative mover",
    "S-inhibition": "other",
}


@torch.inference_mode()
def node_behavior(
    model: HookedGPT2, task: Task, nodes: Sequence[tuple[int, int, str]]
) -> xr.Dataset:
    """Where heads look from their positions, and what they copy.

    Args:
        model: the model.
        task: the prompts, of which the clean ones are run.
        nodes: (layer, head, role) of each head.

    Returns:
        The attentions of the module as probabilities, `copy` and `anti_copy` as fractions, dims
        node, prompt. Copying is NaN if no role of the task holds the answer or the foil.
    """
    task = task.right_padded().to(model.device)
    layers = sorted({layer for layer, _, _ in nodes})
    parts = []
    for rows in batches(task):
        tokens = task.clean_tokens[rows]
        targets = _targets(tokens, task.answer[rows], task.foil[rows])
        _, kept = run_side(model, task, rows, "clean", [("pattern", layer) for layer in layers])
        row = torch.arange(len(tokens), device=tokens.device)
        found = torch.zeros(len(targets), len(nodes), len(tokens))
        for i, (layer, head, role) in enumerate(nodes):
            at = task.positions[role][rows]
            looks = kept["pattern", layer][row, at, head]  # b k
            width = looks.shape[-1]
            for j, target in enumerate(targets.values()):
                found[j, i] = (looks * target[row, at, :width]).sum(-1)
        parts.append(found)
    attention = torch.cat(parts, -1)
    values = {name: attention[j].numpy() for j, name in enumerate(list(_TITLES)[:5])}
    values |= _copying(model, task, nodes)
    names = [f"{layer}.{head} at {role}" for layer, head, role in nodes]
    return xr.Dataset(
        {
            name: labelled(
                value,
                ("node", "prompt"),
                name=name,
                title=_TITLES[name],
                unit="fraction" if name.endswith("copy") else "probability",
                model=model,
                task=task,
                coords={"node": names},
            )
            for name, value in values.items()
        }
    )


def class_of(
    node: tuple[str, str],
    behavior: xr.Dataset,
    links: Sequence[Link],
    later: Mapping[tuple[str, str], CircuitHead],
    min_attention: float,
) -> str:
    """The class of a head at a position; the module has the rules.

    Args:
        node: the head's label and its role.
        behavior: its row of `node_behavior`, mean over prompts.
        links: of the circuit.
        later: the heads of later layers, with their classes, by label and role.
        min_attention: smallest mean attention that counts as looking.

    Returns:
        One of `KINDS`.
    """
    looks = {str(name): float(value) for name, value in behavior.items()}
    told = dict.fromkeys(("logits", "q", "k", "v"), 0.0)  # effects on the logits and on movers
    for link in links:
        if (link.sender, link.sent_from) != node or link.effect is None:
            continue
        receiver = later.get((link.receiver, link.received_at))
        if link.receiver == LOGITS:
            told["logits"] += link.effect
        elif receiver is not None and receiver.kind in MOVERS:
            told[link.inputs] += abs(link.effect) if link.inputs == "q" else link.effect
    patterns = ["induction"] if told["logits"] else list(_STRUCTURAL)
    pattern = max(patterns, key=lambda name: looks[name])
    if looks[pattern] >= max(min_attention, looks["answer"]):
        return _STRUCTURAL[pattern]
    writes = told["logits"] + told["v"]
    if told["q"] > abs(writes) and looks["foil"] >= min_attention:
        return "S-inhibition"
    moves = looks["answer"] >= min_attention or looks["copy"] >= _COPIES
    if told["logits"] or (told["v"] and moves):
        return "name mover" if writes < 0 else "negative name mover"
    return "other"


def named_for(task: Task, kind: str) -> str:
    """What a class of the paper's is called in a task.

    Args:
        task: the prompts.
        kind: of `class_of`.

    Returns:
        One of `KINDS`.
    """
    return kind if "IO" in task.positions else _OF_OTHER_TASKS.get(kind, kind)


def _targets(tokens: Tensor, answer: Tensor, foil: Tensor) -> dict[str, Bool[Tensor, "b q k"]]:
    """What counts as looking where; the mask of the attention does the rest."""
    duplicate = same_token_before(tokens)
    previous = torch.ones_like(duplicate[0]).tril(-1).triu(-1)  # q k

    def among(ids: Tensor) -> Tensor:
        """Tokens that are one of the ids, of which a prompt has one or a set."""
        some = (tokens[:, :, None] == ids.reshape(len(ids), 1, -1)).any(-1)
        return some[:, None].expand_as(duplicate)

    return {
        "previous": previous.expand_as(duplicate),
        "duplicate": duplicate,
        "induction": after_same_token(tokens),
        "answer": among(answer),
        "foil": among(foil),
    }


def _copying(
    model: HookedGPT2, task: Task, nodes: Sequence[tuple[int, int, str]]
) -> dict[str, np.ndarray]:
    try:
        scores = copy_scores(model, task).mean("role")
    except ValueError:  # the answer does not stand in the prompt
        return {name: np.full((len(nodes), len(task)), np.nan) for name in ("copy", "anti_copy")}
    layer, head = [i for i, _, _ in nodes], [h for _, h, _ in nodes]
    return {
        name: scores[name].transpose("layer", "head", "prompt").values[layer, head]
        for name in ("copy", "anti_copy")
    }
