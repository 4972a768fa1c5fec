"""The prompt file of the IOI task: templates, names and nouns.

The file is JSON with the keys `baba_templates`, `names`, `places` and `objects`, each a list of
strings; other keys are ignored. A template has the slots [B] (the subject S, twice), [A] (the
indirect object IO, once in the sentence and once at the end, as the answer), and optionally [PLACE]
and [OBJECT]. It is written in BABA order; ABBA is the same with the first [B] and [A] swapped.

Source: Wang et al. 2022 (arXiv 2211.00593), appendix E, and the layout of their code release.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from interp.tasks.tokens import single_tokens
from interp.tasks.words import require_words

OWN_FILE = Path(__file__).with_name("ioi_prompts.json")
_KEYS = {
    "baba_templates": "templates",
    "names": "names",
    "places": "places",
    "objects": "objects",
}
_NAMES_IN_ORDER = {"BABA": ("{S1}", "{IO}", "{S2}"), "ABBA": ("{IO}", "{S1}", "{S2}")}
_SLOT = re.compile(r"\[(\w+)\]")


@dataclass(frozen=True)
class PromptFile:
    """The contents of a prompt file: templates in BABA form, names, places and objects."""

    templates: tuple[str, ...]
    names: tuple[str, ...]
    places: tuple[str, ...]
    objects: tuple[str, ...]


def read_prompts(path: str | Path | None = None) -> PromptFile:
    """Read a prompt file.

    Args:
        path: the JSON file; None for interp's own

    Returns:
        The templates, names, places and objects.

    Raises:
        FileNotFoundError: the file does not exist
        ValueError: the file is not JSON, or a list is missing, is empty, has repeats, or does not
            hold strings
    """
    file = OWN_FILE if path is None else Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"no prompt file {str(file)!r}; prompts=None uses interp's own")
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{str(file)!r} is not a JSON file: {error}") from error
    if not isinstance(data, dict) or any(key not in data for key in _KEYS):
        found = list(data) if isinstance(data, dict) else type(data).__name__
        raise ValueError(f"{str(file)!r} needs the keys {list(_KEYS)}; it has {found}")
    for key in _KEYS:
        words = data[key]
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise ValueError(f"{key!r} in {str(file)!r} must be a list of strings")
        bare = key != "baba_templates"
        require_words(words, f"{key!r} in {str(file)!r}", bare=bare)
    return PromptFile(**{field: tuple(data[key]) for key, field in _KEYS.items()})


def parse_template(template: str, order: str) -> str:
    """Turn a BABA template into a format string without the answer.

    Args:
        template: the template in BABA form, ending in " [A]"
        order: "BABA", or "ABBA" to swap the first two names

    Returns:
        A string for `str.format` with the fields S1, IO and S2, and PLACE and OBJECT if present.

    Raises:
        ValueError: a slot is unknown, not after a space, or joined to a letter; the names do not
            come as B, A, B; or the template does not end in " [A]"

    Example:
        >>> parse_template("When [B] and [A] met, [B] spoke to [A]", "ABBA")
        'When {IO} and {S1} met, {S2} spoke to'
    """
    slots = list(_SLOT.finditer(template))
    for slot in slots:
        if slot[1] not in ("A", "B", "PLACE", "OBJECT"):
            raise ValueError(
                f"unknown slot {slot[0]} in template {template!r}; it may have [A], [B], [PLACE] "
                "and [OBJECT]"
            )
        if not template[: slot.start()].endswith(" "):
            raise ValueError(
                f"{slot[0]} at character {slot.start()} of template {template!r} has no space "
                "before it, which makes it another token than the same word after a space; start "
                "with some other word"
            )
        if template[slot.end() : slot.end() + 1].isalnum():
            raise ValueError(
                f"{slot[0]} at character {slot.start()} of template {template!r} is joined to the "
                "next letter, which can make it another token; put a space or a mark after it"
            )
    names = [slot[1] for slot in slots if slot[1] in "AB"]
    if names != ["B", "A", "B", "A"] or not template.endswith(" [A]"):
        raise ValueError(
            f"template {template!r} has its names in the order {' '.join(names)!r}; it must have "
            "them as [B] ... [A] ... [B] ... and end in ' [A]', the answer (ABBA is derived)"
        )
    fields = iter(_NAMES_IN_ORDER[order])
    text = template.removesuffix(" [A]").replace("{", "{{").replace("}", "}}")
    return _SLOT.sub(lambda slot: next(fields) if slot[1] in "AB" else f"{{{slot[1]}}}", text)


def usable_words(
    tokenizer: PreTrainedTokenizerBase,
    words: Sequence[str],
    *,
    kind: str,
    drop_split: bool,
    least: int = 1,
    option: bool = False,
) -> dict[str, int]:
    """Keep the words that are a single token after a space.

    Args:
        tokenizer: the model's tokenizer
        words: the words
        kind: what an error calls the words, for instance "names"
        drop_split: whether to leave out words of several tokens; otherwise they are an error
        least: number of words needed
        option: whether errors may suggest leaving out words of several tokens

    Returns:
        The words kept, each with its token id.

    Raises:
        ValueError: a word is several tokens and `drop_split` is off, or too few are left
    """
    ids, split = single_tokens(tokenizer, words)
    shown = ", ".join(f"{word!r} = {pieces}" for word, pieces in list(split.items())[:5])
    more = f" and {len(split) - 5} more" if len(split) > 5 else ""
    if split and not drop_split:
        raise ValueError(
            f"{len(split)} of {len(words)} {kind} are not single tokens with a space before them: "
            f"{shown}{more}; "
            + (
                "take them out, or pass drop_split_words=True to leave them out"
                if option
                else "the task needs a tokenizer in which they are"
            )
        )
    if len(ids) < least:
        raise ValueError(
            f"{least} {kind} are needed, but only {len(ids)} of {len(words)} are single tokens "
            f"under this tokenizer ({shown}{more}); give more {kind}"
        )
    return ids
