"""Checks of what a caller chooses (names, heads, files, a device), before torch is imported.

The names that the library accepts are repeated here, because the library's own tables import torch;
tests/analyses/test_choices.py compares the two.
"""

import json
import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

from interp.parts import Head, as_heads

MODELS = ("mini", "mini-ioi", "gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "distilgpt2")
METRICS = (
    "logit_diff",
    "probability",
    "probability_diff",
    "cutoff_sharpness",
    "answer_logit",
    "foil_logit",
    "kl_divergence",
    "accuracy",
    "top1",
    "rank",
)
DIRECTIONS = ("denoising", "noising")
CORRUPTIONS = ("flip", "abc", "random")
VALUES = ("zero", "mean", "group mean", "resample")
INPUTS = {"q": "queries", "k": "keys", "v": "values"}
"""The inputs of a head -> their names in words."""

_DEVICE = re.compile(r"(cpu|mps|cuda(:\d+)?|xpu(:\d+)?)")


def among(what: str, given: Iterable[str], choices: Iterable[str]) -> None:
    """Refuse names that are unknown or given twice.

    Args:
        what: what an error calls such a name
        given: the names
        choices: the known names

    Raises:
        ValueError: a name is unknown, or given twice
    """
    known, seen = list(choices), set()
    for one in given:
        if one not in known:
            hint = did_you_mean(one, known)
            raise ValueError(
                f"unknown {what} {one!r}{hint}; expected one of {', '.join(map(str, known))}"
            )
        if one in seen:
            raise ValueError(f"{what} {one!r} is given twice; give each {what} once")
        seen.add(one)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Suggest the known name nearest to an unknown one, as the end of an error.

    Args:
        word: the unknown name
        known: the known names

    Returns:
        For instance " (did you mean 'END'?)", or "" if no name is near.
    """
    by_lower = {str(name).lower(): str(name) for name in known}
    near = get_close_matches(str(word).lower(), by_lower, n=1)
    return f" (did you mean {by_lower[near[0]]!r}?)" if near else ""


def words(text: str | None, what: str = "name") -> list[str] | None:
    """Split the value of an option that takes several words, such as `--site z,q`.

    Args:
        text: the words, separated by commas; None if the option was not given
        what: what an error calls such a word

    Returns:
        The words, or None.

    Raises:
        ValueError: the text contains no word
    """
    if text is None:
        return None
    found = [word.strip() for word in text.split(",") if word.strip()]
    if not found:
        raise ValueError(f"expected at least one {what}, with commas between several; got {text!r}")
    return found


def heads_of(labels: Sequence[object] | None) -> list[Head] | None:
    """Read heads from labels such as "9.6"; whether the model has them is checked later.

    Args:
        labels: the labels; None for heads that the analysis chooses

    Returns:
        The heads, or None.

    Raises:
        ValueError: a label is not a head, a head is given twice, or there are no labels
    """
    if labels is None:
        return None
    if not labels:
        raise ValueError("expected at least one head, such as 9.6; leave the option out for none")
    return as_heads(labels)


def require_prompts(n: int, *, none: bool = False) -> None:
    """Refuse a number of prompts that is too small for intervals.

    Args:
        n: the number
        none: whether 0, for no prompts, is allowed too

    Raises:
        ValueError: the number is too small
        TypeError: the number is not an integer
    """
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"n must be a whole number of prompts, got {n!r}")
    if n < 2 and not (none and n == 0):
        zero = ", or 0 to leave them out" if none else ""
        raise ValueError(f"n must be at least 2 prompts for an interval{zero}; got {n}")


def require_model(model: object) -> None:
    """Refuse a name or path that leads to no model.

    Args:
        model: a name, a directory, or a loaded model, which is accepted unchecked

    Raises:
        ValueError: there is no model and no directory of this name
    """
    if not isinstance(model, str | Path) or str(model) in MODELS:
        return
    path = Path(model).expanduser()
    if not str(model).strip() or not path.is_dir():
        raise ValueError(
            f"no model and no directory is called {str(model)!r}; models are {', '.join(MODELS)}"
            f"{did_you_mean(path.name, MODELS)}, or give a directory in Hugging Face layout"
        )


def require_device(device: str | None) -> None:
    """Refuse names that are not device names; whether the device exists is checked later.

    Args:
        device: such as "cpu" or "cuda:1"; None for where the model is

    Raises:
        ValueError: it is not the name of a device
    """
    if device is not None and not _DEVICE.fullmatch(str(device)):
        hint = did_you_mean(str(device), ("cpu", "cuda", "mps", "xpu"))
        raise ValueError(
            f"{str(device)!r} is not a device; expected, for instance, cpu, cuda, cuda:1 or "
            f"mps{hint}"
        )


def require_lens(path: str | Path | None) -> None:
    """Refuse a tuned lens that does not exist.

    Args:
        path: a file or folder for `interp.lens.TunedLens.load`; None for none

    Raises:
        ValueError: the path does not exist
    """
    if path is not None and not Path(path).exists():
        raise ValueError(f"there is no tuned lens at {path}; interp tuned-lens writes one")


def read_text(path: str | Path, what: str) -> str:
    """Read a file that the caller named.

    Args:
        path: the file
        what: what it should be, for the error, such as "prompts file"

    Returns:
        Its text.

    Raises:
        ValueError: the file does not exist, is empty, or is not UTF-8
    """
    path = Path(path)
    if not path.is_file():
        there = "is a folder" if path.is_dir() else "is not there"
        raise ValueError(f"the {what} {path} {there}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"the {what} {path} is not UTF-8 text (byte {error.start} is "
            f"{error.object[error.start]:#04x}); save it as UTF-8"
        ) from error
    if not text.strip():
        raise ValueError(f"the {what} {path} is empty")
    return text


def require_json(path: str | Path | None, what: str) -> None:
    """Refuse a file that is not JSON.

    Args:
        path: the file; None for none
        what: what it should be, for the error, such as "prompts file"

    Raises:
        ValueError: as for `read_text`, or the text is not a JSON object
    """
    if path is None:
        return
    try:
        found = json.loads(read_text(path, what))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"the {what} {path} is not JSON: {error.msg} in line {error.lineno}, column "
            f"{error.colno}"
        ) from error
    if not isinstance(found, dict):
        raise ValueError(f"the {what} {path} should hold a JSON object, {{...}}")


def names(heads: Iterable[Sequence[int]]) -> str:
    """Write heads as text.

    Args:
        heads: (layer, head) pairs

    Returns:
        The labels of the heads, separated by commas.

    Example:
        >>> names([(9, 9), (9, 6)])
        '9.9, 9.6'
    """
    return ", ".join(f"{layer}.{head}" for layer, head in heads)
