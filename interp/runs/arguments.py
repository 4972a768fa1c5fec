"""Check the arguments of lenses and head scores: tokens, positions, layers, lists and counts.

The same rules hold everywhere: a list must be a list and must not be empty, an index counts from 0
and must exist, and errors are raised before any work is done.
"""

from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from interp.model import AttentionWeights, HookedGPT2
from interp.parts import require_once
from interp.runs.places import Position
from interp.tasks import Task

Token = str | int | np.integer
"""A text that is one token, or its id."""


def token_texts(model: HookedGPT2, ids: Sequence[int]) -> list[str]:
    """The text of each token; its id in brackets if the model has no tokenizer."""
    if model.tokenizer is None:
        return [f"[{i}]" for i in ids]
    known = {i: model.to_string(i) for i in set(ids)}
    return [known[i] for i in ids]


def token_id(model: HookedGPT2, token: Token) -> int:
    """Turn a token into its id.

    Args:
        model: the model
        token: its text or its id

    Returns:
        The id.

    Raises:
        ValueError: the text is several tokens, or the id is outside the vocabulary
        TypeError: the token is neither a text nor an integer
    """
    if isinstance(token, str):
        return model.to_single_token(token)
    found = whole(token, "a token, as its text or its id")
    if not 0 <= found < model.config.d_vocab:
        raise ValueError(
            f"token ids are from 0 to {model.config.d_vocab - 1} (d_vocab - 1), got {found}"
        )
    return found


def token_ids(
    model: HookedGPT2, tokens: Sequence[Token] | Int[Tensor, "..."], what: str
) -> Int[Tensor, " token"]:
    """Turn several tokens into their ids.

    Args:
        model: the model
        tokens: their texts or ids
        what: the argument's name, for the errors

    Returns:
        The ids, on the model's device.

    Raises:
        ValueError: there are no tokens, or as for `token_id`
        TypeError: the argument is not a list of tokens
    """
    given = items(tokens, what, "[' Mary', ' John']")
    return torch.tensor([token_id(model, token) for token in given], device=model.device)


def one_or_more(model: HookedGPT2, tokens: Any, what: str) -> tuple[Int[Tensor, " token"], bool]:
    """Turn one token or several into ids.

    Args:
        model: the model
        tokens: a token, or a list of tokens
        what: the argument's name, for the errors

    Returns:
        The ids, and whether they were given as a list.

    Raises:
        ValueError: as for `token_ids`
        TypeError: the argument is neither
    """
    several = hasattr(tokens, "__iter__") and not isinstance(tokens, str)
    return token_ids(model, tokens if several else [tokens], what), several


def require_vocabulary(model: HookedGPT2, tokens: Int[Tensor, "..."]) -> None:
    """Refuse token ids outside the model's vocabulary.

    Args:
        model: the model
        tokens: the ids, at least one

    Raises:
        ValueError: an id is outside the vocabulary
    """
    low, high = (int(end) for end in tokens.aminmax())
    if low < 0 or high >= model.config.d_vocab:
        raise ValueError(
            f"token ids must be from 0 to {model.config.d_vocab - 1} (d_vocab - 1); got ids from "
            f"{low} to {high}"
        )


def position_in(task: Task, position: Position) -> Int[Tensor, " prompt"]:
    """The position of a role or an index in each prompt.

    Args:
        task: the prompts, padded on the right
        position: a role, or an index from 0

    Returns:
        One position per prompt.

    Raises:
        ValueError: the task lacks the role, or a prompt is too short for the index
        TypeError: it is neither a role nor an integer
    """
    if isinstance(position, str):
        if position not in task.positions:
            raise ValueError(f"there is no role {position!r}; there are {list(task.positions)}")
        return task.positions[position]
    found = whole(position, "a position, as a role such as 'END' or an index from 0")
    shortest = int(task.lengths.min())
    if not 0 <= found < shortest:
        raise ValueError(
            f"position {found} is not in every prompt: prompt {int(task.lengths.argmin())}, the "
            f"shortest, has {shortest} tokens, counted from 0; 'END' is each prompt's last"
        )
    return torch.full_like(task.positions["END"], found)


def chosen_layers(model: HookedGPT2, layers: Sequence[int] | None) -> list[int]:
    """The layers asked for, or all layers.

    Args:
        model: the model
        layers: indices from 0; None for all

    Returns:
        The layers.

    Raises:
        ValueError: the list is empty, or a layer is not in the model or is given twice
        TypeError: the argument is not a list of integers
    """
    n_layers = model.config.n_layers
    if layers is None:
        return list(range(n_layers))
    chosen = [whole(layer, "a layer") for layer in items(layers, "layers", "[0, 1]")]
    require_once(chosen, "layer")
    if not all(0 <= layer < n_layers for layer in chosen):
        raise ValueError(f"the model has layers 0 to {n_layers - 1}, got {chosen}")
    return chosen


def items(given: Any, what: str, example: str) -> list[Any]:
    """The items of a list that must not be empty.

    Args:
        given: the list
        what: the argument's name, for the errors
        example: an example of the list, for errors

    Returns:
        The items.

    Raises:
        ValueError: the list is empty
        TypeError: the argument is a string, or has no items
    """
    if isinstance(given, str) or not hasattr(given, "__iter__"):
        raise TypeError(f"{what} must be a list, such as {example}; got {given!r}")
    found = list(given)
    if not found:
        raise ValueError(f"{what} is an empty list; expected at least one item, such as {example}")
    return found


def whole(value: Any, what: str) -> int:
    """Turn any kind of integer, except a boolean, into an `int`.

    Args:
        value: the number
        what: what was expected, for the error

    Returns:
        The integer.

    Raises:
        TypeError: the value is not an integer
    """
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        return index(value)
    except TypeError:
        raise TypeError(f"expected {what}; got {value!r}") from None


def count(value: Any, what: str, low: int, high: int | None = None, note: str = "") -> int:
    """Check that a number of things is within bounds.

    Args:
        value: the number
        what: the argument's name, for the errors
        low: the smallest value allowed
        high: the largest value allowed; None for no bound
        note: the origin of the bound, for the error, such as " (d_vocab)"

    Returns:
        The number.

    Raises:
        ValueError: the number is out of bounds
        TypeError: the value is not an integer
    """
    found = whole(value, f"an integer for {what}")
    if found < low or (high is not None and found > high):
        bounds = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"{what} must be {bounds}{note}, got {found}")
    return found


def require_finite(model: HookedGPT2 | AttentionWeights, values: Tensor) -> None:
    """Refuse values that are not finite.

    Args:
        model: the model, for its name
        values: activations of a run, or weights

    Raises:
        ValueError: a value is infinite or NaN
    """
    if not bool(values.isfinite().all()):
        raise ValueError(
            f"{model.name} gives values that are not finite: its weights hold NaN or infinity, or "
            f"its activations exceed the range of {values.dtype}; correct the weights, or use "
            "model.float()"
        )


def wide(values: Tensor) -> Tensor:
    """The values in float32, or in float64 if they are float64."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
