"""Labels of the axes and cells of figures."""

from collections.abc import Hashable, Mapping, Sequence
from itertools import product

import xarray as xr
from transformers import PreTrainedTokenizerBase

from interp.characters import escape
from interp.tasks import Task
from interp.tasks.sides import Side

AXES: Mapping[str, str] = {
    "source": "position attended to",
    "source_role": "role attended to",
}
"""Titles of axes that differ from the name of the dim."""

_NUMBERED = ("layer", "head", "neuron")
_VARIES = "\N{HORIZONTAL ELLIPSIS}"


def position_labels(
    task: Task, tokenizer: PreTrainedTokenizerBase, *, side: Side = "clean"
) -> list[str]:
    """Label each position with its token, and with its roles in bold.

    A position at which the prompts differ shows only its roles, or an ellipsis if it has none. The
    leading space of a token is not shown.

    Args:
        task: prompts whose roles stand at the same positions: one prompt, or one group
        tokenizer: the model's tokenizer
        side: which text of each pair

    Returns:
        One label per position of the text, in plotly's markup.

    Raises:
        ValueError: the prompts differ in length or in the positions of their roles

    Example:
        One prompt's labels are like `["Then", "Mary <b>IO</b>", "and", ...]`.
    """
    task = task.right_padded()
    lengths, roles = task.mask(side).sum(-1), task.roles(side)
    for name, at in (("number of tokens", lengths), *roles.items()):
        if not bool((at == at[0]).all()):
            raise ValueError(
                f"the prompts differ in {name!r}, so that a position does not mean the same in "
                "all; take the prompts of one group, or sweep over 'role'"
            )
    labels = []
    for pos, ids in enumerate(task.tokens(side).T[: int(lengths[0])]):
        here = " ".join(role for role, at in roles.items() if int(at[0]) == pos)
        same = bool((ids == ids[0]).all())
        token = _visible(tokenizer.decode([int(ids[0])])) if same else "" if here else _VARIES
        labels.append(f"{token} <b>{here}</b>".strip() if here else token)
    return labels


def cell_label(dims: Sequence[Hashable], labels: Sequence[str]) -> str:
    """Name one cell of a sweep.

    Args:
        dims: the parts swept over
        labels: the value of each part

    Returns:
        The name: a head as "9.6", before everything else; a layer without a head as "layer 9"; what
        is attended to as "to IO".

    Example:
        >>> cell_label(("role", "layer", "head"), ("S2", "9", "6"))
        '9.6 S2'
        >>> cell_label(("layer", "role"), ("9", "S2"))
        'layer 9, S2'
    """
    rest = dict(zip(map(str, dims), labels, strict=True))
    if rest.get("position", "").isdecimal():
        rest["position"] = f"position {rest['position']}"
    for dim in rest.keys() & AXES.keys():
        rest[dim] = f"to {rest[dim]}"
    for unit in ("head", "neuron"):
        if unit in rest and "layer" in rest:
            return " ".join([f"{rest.pop('layer')}.{rest.pop(unit)}", *rest.values()])
    numbered = [f"{dim} {rest.pop(dim)}" for dim in _NUMBERED if dim in rest]
    return ", ".join([*numbered, *rest.values()])


def cell_labels(effects: xr.DataArray) -> list[str]:
    """Name all cells of a sweep, with the last dim varying fastest.

    Args:
        effects: effects with any dims

    Returns:
        One name per value of `effects.values.ravel()`.
    """
    values = [map(str, effects[dim].values) for dim in effects.dims]
    return [cell_label(effects.dims, labels) for labels in product(*values)]


def _visible(token: str) -> str:
    """A token as text that plotly does not read as markup, with visible white space."""
    text = token.replace("\n", "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}").removeprefix(" ")
    return escape(text, quote=False) or "\N{OPEN BOX}"
