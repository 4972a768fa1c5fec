"""Cells of a table that say where a role stands: a position, or a word of the clean text.

A whole number is the index of a token, from 0. Anything else is a word or a phrase of the clean
text, as it is written there; the role stands at its last token, where the model has read all of it.
If the text has the word several times, "Mary#2" is its second occurrence (and "17#1" is the word
"17", not position 17).
"""

import re
from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

_NUMBER = re.compile(r"[+-]?\d+(\.0*)?")
_OCCURRENCE = re.compile(r"(.+)#(\d+)", re.DOTALL)


def role_positions(
    tokenizer: PreTrainedTokenizerBase,
    cells: Sequence[Any],
    role: str,
    *,
    clean: Sequence[str],
    corrupted: Sequence[str],
    lengths: Sequence[int],
) -> list[int]:
    """Read a column of a role.

    Args:
        tokenizer: the model's tokenizer
        cells: the cells, one for each row
        role: name of the role
        clean: the clean texts
        corrupted: the corrupted texts, in which the role has the same position
        lengths: number of tokens of each text

    Returns:
        The position of the role in each row.

    Raises:
        ValueError: a cell is empty, a position is outside the prompt, or a word is not in the clean
            text or occurs several times; the message names the row
    """
    found = []
    for row, cell in enumerate(cells):
        text = cell.strip() if isinstance(cell, str) else cell
        complaint = (
            f"row {row}: the position of role {role!r} must be a whole number from 0 to "
            f"{lengths[row] - 1}, or a word of the clean text"
        )
        if isinstance(text, str) and text and not _NUMBER.fullmatch(text):
            end = _end_of_word(text, clean[row], corrupted[row], complaint)
            found.append(_token_at(tokenizer, clean[row], end - 1))
            continue
        number = _number(text)
        if number is None or not 0 <= number < lengths[row]:
            raise ValueError(
                f"{complaint}, not {cell!r}; if {role!r} is not a role, name the columns that are"
            )
        found.append(number)
    return found


def _number(cell: Any) -> int | None:
    """A whole number, or None."""
    if cell is None or isinstance(cell, bool):
        return None
    try:
        number = float(cell)
    except (TypeError, ValueError):
        return None
    return int(number) if number.is_integer() else None


def _end_of_word(text: str, clean: str, corrupted: str, complaint: str) -> int:
    """Where a word ends in the clean text."""
    which = _OCCURRENCE.fullmatch(text)
    word, number = (which[1].strip(), int(which[2])) if which else (text, None)
    places = _places(word, clean)
    if not places:
        hint = "; the corrupted text has it, but roles are looked up in the clean one"
        raise ValueError(
            f"{complaint}; {word!r} is not in {clean!r}{hint if _places(word, corrupted) else ''}"
        )
    if number is None and len(places) > 1:
        ways = " or ".join(repr(f"{word}#{i + 1}") for i in range(len(places)))
        raise ValueError(
            f"{complaint}; {word!r} is in {clean!r} {len(places)} times, so write {ways}"
        )
    if number is not None and not 1 <= number <= len(places):
        raise ValueError(
            f"{complaint}; {text!r} is not there: {word!r} is in {clean!r} {len(places)} "
            f"time{'s' * (len(places) > 1)}, counted from 1"
        )
    return places[(number or 1) - 1]


def _places(word: str, text: str) -> list[int]:
    """Where a word ends in a text, each time that it stands there by itself."""
    before = r"(?<!\w)" if word[:1].isalnum() else ""
    after = r"(?!\w)" if word[-1:].isalnum() else ""
    return [one.end() for one in re.finditer(before + re.escape(word) + after, text)]


def _token_at(tokenizer: PreTrainedTokenizerBase, text: str, character: int) -> int:
    """The last token that a character of a text belongs to."""
    spans = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return max(i for i, (start, end) in enumerate(spans) if start <= character < end)
