"""What a caller chooses by name: sites, heads, roles; and heads chosen by their effects."""

from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr

import interp

Head = tuple[int, int]
"""Layer and head."""


def among(what: str, given: Iterable[str], choices: Iterable[str]) -> None:
    """Refuse what is none of the choices.

    Raises:
        ValueError: with the first that is not.
    """
    known = list(choices)
    for one in given:
        if one not in known:
            raise ValueError(f"unknown {what} {one!r}; expected one of {', '.join(known)}")


def words(text: str | None) -> list[str] | None:
    """The words of an option that takes several, such as `--site z,q`."""
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]


def heads(labels: Sequence[str], model: interp.HookedGPT2) -> list[Head]:
    """Layer and head of labels such as "9.6".

    Args:
        labels: the heads as they are written in figures.
        model: that they must be in.

    Returns:
        (layer, head) pairs.

    Raises:
        ValueError: for a label that is not layer.head, or not in the model.
    """
    found = []
    for label in labels:
        layer, dot, head = label.partition(".")
        if not (dot and layer.isdecimal() and head.isdecimal()):
            raise ValueError(f"expected heads as layer.head, such as 9.6,9.9; got {label!r}")
        c = model.config
        if not (int(layer) < c.n_layers and int(head) < c.n_heads):
            raise ValueError(
                f"the model has no head {label}: it has {c.n_layers} layers of {c.n_heads} heads, "
                "from 0"
            )
        found.append((int(layer), int(head)))
    return found


def strongest(effects: xr.Dataset, n: int) -> list[Head]:
    """The heads with the largest absolute mean effects, the largest first.

    Args:
        effects: with `mean`, dims layer, head.
        n: how many.

    Returns:
        (layer, head) pairs.
    """
    mean = effects["mean"].transpose("layer", "head")
    order = np.argsort(-np.abs(mean.values), axis=None, kind="stable")[:n]
    rows, columns = np.unravel_index(order, mean.shape)
    layers, units = mean["layer"].values[rows], mean["head"].values[columns]
    return [(int(layer), int(head)) for layer, head in zip(layers, units, strict=True)]


def names(chosen: Sequence[Head]) -> str:
    """Heads as text.

    >>> names([(9, 9), (9, 6)])
    '9.9, 9.6'
    """
    return ", ".join(f"{layer}.{head}" for layer, head in chosen)
