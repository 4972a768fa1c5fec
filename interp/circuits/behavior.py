"""What a head does at its role, and the class that follows.

Attention is measured from the token at the head's role, as a mean over the clean prompts:

    previous    to the token before
    duplicate   to earlier occurrences of its own token
    induction   to what followed such an occurrence
    answer      to tokens that are the answer
    foil        to tokens that are the foil

`writes_answer` and `writes_foil` say what it writes to the logits: what its output at END adds to
the logit of the answer, and of the foil, above the mean of the task's other candidates. `copy` and
`anti_copy` say whether the tokens of the answer and the foil are among the five highest logits of
what the head would write for them, or of its negative. The class is the first that fits:

    induction              looks most where induction heads look, unless it looks more at the answer
                           elsewhere
    previous token, duplicate token
                           look most there, and have no link to the logits
    S-inhibition           its links into queries of movers are stronger than its other links into
                           movers and the logits, and it looks at the foil
    S suppressor           has links to the logits, and what it adds to the logit difference is
                           mostly written against the foil
    name mover             has links to the logits, what it adds is mostly written for the answer,
                           and it looks at the answer
    negative name mover    has links to the logits, and what it takes from the logit difference is
                           mostly written against the answer
    mover                  adds by writing for the answer but looks elsewhere, so another token has
                           brought it there; or has links into values of movers, and looks at the
                           answer or copies
    other                  none of these

where "looks" means a mean attention of at least `min_attention`, and a head copies if its score is
at least one half. In tasks without a role IO, no names are moved: there the classes are mover,
backup mover, negative mover and foil suppressor, and there is no S-inhibition.

Source: Wang et al. 2022 (arXiv 2211.00593), section 3, for what distinguishes the classes.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool
from torch import Tensor

from interp.circuits.classes import NAME_MOVERS
from interp.circuits.links import Link
from interp.circuits.nodes import node_list
from interp.heads import copy_scores
from interp.lens import direct_logit_attribution
from interp.model import HookedGPT2
from interp.model.masks import after_same_token, same_token_before
from interp.parts import Head, Logits, Node, NodeLike, require_in_model
from interp.results import labeled
from interp.runs.question import question
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
    "writes_answer": "What it adds to the answer's logit, above the mean candidate's",
    "writes_foil": "What it adds to the foil's logit, above the mean candidate's",
}
_STRUCTURAL = {
    "previous": "previous token",
    "duplicate": "duplicate token",
    "induction": "induction",
}
_COPIES = 0.5
_MOVERS = (*NAME_MOVERS, "mover")
_OF_OTHER_TASKS = {
    "name mover": "mover",
    "backup name mover": "backup mover",
    "negative name mover": "negative mover",
    "S suppressor": "foil suppressor",
    "S-inhibition": "other",
}


@torch.inference_mode()
def node_behavior(model: HookedGPT2, task: Task, nodes: Sequence[NodeLike]) -> xr.Dataset:
    """Measure where heads look from their roles, and what they copy.

    Args:
        model: the model
        task: the prompts; the clean ones are run
        nodes: heads at roles, such as "9.6@END"

    Returns:
        The attentions that the module lists, as probabilities, `copy` and `anti_copy`, as
        fractions, and `writes_answer` and `writes_foil`, in logits, 0 away from END; dims node
        ("9.6@END"), prompt. Copying is NaN if no role of the task holds the answer or the foil.

    Raises:
        ValueError: a node is not a head at a role, or the model or the task lacks it
    """
    heads = require_heads(model, task, nodes)
    task = task.right_padded().to(model.device)
    layers = sorted({head.layer for head, _ in heads})
    parts = []
    for rows in batches(task):
        tokens = task.clean_tokens[rows]
        targets = _targets(tokens, task.answer[rows], task.foil[rows])
        _, kept = run_side(model, task, rows, "clean", [("pattern", layer) for layer in layers])
        row = torch.arange(len(tokens), device=tokens.device)
        found = torch.zeros(len(targets), len(heads), len(tokens))
        for i, ((layer, head), role) in enumerate(heads):
            at = task.positions[role][rows]
            looks = kept["pattern", layer][row, at, head]  # b k
            width = looks.shape[-1]
            for j, target in enumerate(targets.values()):
                found[j, i] = (looks * target[row, at, :width]).sum(-1)
        parts.append(found)
    attention = torch.cat(parts, -1)
    values = {name: attention[j].numpy() for j, name in enumerate(list(_TITLES)[:5])}
    values |= _copying(model, task, [head for head, _ in heads])
    values |= _writing(model, task, heads)
    names = [str(Node(head, role)) for head, role in heads]
    return xr.Dataset(
        {
            name: labeled(
                value,
                ("node", "prompt"),
                name=name,
                title=_TITLES[name],
                unit=_unit(name),
                model=model,
                task=task,
                coords={"node": names},
                question=question("node_behavior"),
            )
            for name, value in values.items()
        }
    )


def require_heads(
    model: HookedGPT2, task: Task, nodes: Sequence[NodeLike]
) -> list[tuple[Head, str]]:
    """Refuse anything but heads at roles of the task.

    Args:
        model: the model
        task: the prompts
        nodes: the nodes

    Returns:
        Head and role of each.

    Raises:
        ValueError: a node is another part or is given twice, or the model or the task lacks it
    """
    found = []
    for node in node_list(nodes):
        if not isinstance(node.part, Head):
            raise ValueError(f"expected heads at roles, such as '9.6@END'; got {str(node)!r}")
        if node.role not in task.positions:
            raise ValueError(
                f"{node} stands at a role that the task does not have: there is no role "
                f"{node.role!r} in {list(task.positions)}"
            )
        found.append((node.part, str(node.role)))
    require_in_model(model, [head for head, _ in found])
    return found


def class_of(
    node: Node,
    behavior: xr.Dataset,
    links: Sequence[Link],
    later: Mapping[Node, str],
    min_attention: float,
) -> str:
    """The class of a head at a role, by the rules of the module.

    Args:
        node: the head at its role
        behavior: its row of `node_behavior`, averaged over prompts
        links: the links of the circuit
        later: the nodes of later layers and their classes
        min_attention: the smallest mean attention that counts as looking

    Returns:
        One of `CLASSES`.
    """
    looks = {str(name): float(value) for name, value in behavior.items()}
    sums = dict.fromkeys(("logits", "q", "k", "v"), 0.0)  # effects on the logits and on movers
    for link in links:
        if link.sender != node or link.effect is None:
            continue
        if isinstance(link.receiver.part, Logits):
            sums["logits"] += link.effect
        elif link.input and later.get(link.receiver) in _MOVERS:
            sums[link.input] += abs(link.effect) if link.input == "q" else link.effect
    patterns = ["induction"] if sums["logits"] else list(_STRUCTURAL)
    pattern = max(patterns, key=lambda name: looks[name])
    if looks[pattern] >= max(min_attention, looks["answer"]):
        return _STRUCTURAL[pattern]
    writes = sums["logits"] + sums["v"]
    if sums["q"] > abs(writes) and looks["foil"] >= min_attention:
        return "S-inhibition"
    if sums["logits"]:
        return _writer(looks, sums["logits"] < 0, min_attention)
    moves = looks["answer"] >= min_attention or looks["copy"] >= _COPIES
    return "mover" if sums["v"] and moves else "other"


def _writer(looks: Mapping[str, float], helps: bool, min_attention: float) -> str:
    """The class of a head that writes to the logits, by which of the two tokens it writes for."""
    answer, foil = looks["writes_answer"], looks["writes_foil"]
    if helps and -foil > max(answer, 0.0):
        return "S suppressor"
    if helps and answer > 0:
        return "name mover" if looks["answer"] >= min_attention else "mover"
    if not helps and -answer > max(foil, 0.0):
        return "negative name mover"
    return "other"


def named_for(task: Task, kind: str) -> str:
    """The name of one of the paper's classes in a task.

    Args:
        task: the prompts
        kind: the paper's class

    Returns:
        One of `CLASSES`.
    """
    return kind if "IO" in task.positions else _OF_OTHER_TASKS.get(kind, kind)


def _targets(tokens: Tensor, answer: Tensor, foil: Tensor) -> dict[str, Bool[Tensor, "b q k"]]:
    """Which keys count as which target; causal masking does the rest."""
    duplicate = same_token_before(tokens)
    previous = torch.ones_like(duplicate[0]).tril(-1).triu(-1)  # q k

    def among(ids: Tensor) -> Tensor:
        """Mark the tokens that are one of each prompt's ids, one or a set."""
        some = (tokens[:, :, None] == ids.reshape(len(ids), 1, -1)).any(-1)
        return some[:, None].expand_as(duplicate)

    return {
        "previous": previous.expand_as(duplicate),
        "duplicate": duplicate,
        "induction": after_same_token(tokens),
        "answer": among(answer),
        "foil": among(foil),
    }


def _unit(name: str) -> str:
    if name.startswith("writes"):
        return "logits"
    return "fraction" if name.endswith("copy") else "probability"


def _writing(
    model: HookedGPT2, task: Task, heads: Sequence[tuple[Head, str]]
) -> dict[str, np.ndarray]:
    """What heads at END write to the logits for the answer and the foil, dims node, prompt."""
    found = {}
    for name, metric in (("writes_answer", "answer_logit"), ("writes_foil", "foil_logit")):
        every = direct_logit_attribution(model, task, by="head", metric=metric)
        values = np.zeros((len(heads), len(task)), dtype=every.dtype)
        for i, ((layer, head), role) in enumerate(heads):
            if role == "END":
                values[i] = every.sel(layer=layer, head=head).values
        found[name] = values
    return found


def _copying(model: HookedGPT2, task: Task, heads: Sequence[Head]) -> dict[str, np.ndarray]:
    try:
        scores = copy_scores(model, task).mean("role")
    except ValueError:  # the answer does not occur in the prompt
        return {name: np.full((len(heads), len(task)), np.nan) for name in ("copy", "anti_copy")}
    layer, head = [one.layer for one in heads], [one.head for one in heads]
    return {
        name: scores[name].transpose("layer", "head", "prompt").values[layer, head]
        for name in ("copy", "anti_copy")
    }
