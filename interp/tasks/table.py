"""A task from a table of your own, with clean texts, corrupted texts, answers and foils.

An answer must tokenize to a single token and is taken as written: " Mary" and "Mary" are different
tokens. A table that omits leading spaces would silently measure the wrong token, so a word that
would follow its prompt without a space is an error unless `leading_space` is given.
"""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from transformers import PreTrainedTokenizerBase

from interp.tasks.candidates import candidate_ids
from interp.tasks.fit import vocabulary_of
from interp.tasks.metric_names import did_you_mean
from interp.tasks.task import Task
from interp.tasks.tokens import encode, encode_pairs, pieces

_COLUMNS = ("clean", "corrupted", "answer", "foil")
_LABELS = ("group", "template", "order")
_NEXT = re.compile(r"(.+)([+-]\d+)")


def from_table(
    tokenizer: PreTrainedTokenizerBase,
    table: str | Path | pd.DataFrame,
    *,
    name: str = "table",
    roles: Sequence[str] = (),
    leading_space: bool | None = None,
) -> Task:
    """Build a task from a CSV file or a DataFrame, one row per prompt.

    Args:
        tokenizer: the model's tokenizer
        table: a DataFrame or the path of a CSV file (UTF-8, comma separated, with a header).
            The columns `clean` and `corrupted` hold the texts without the answer, `answer` and
            `foil` the right and the wrong next token as text. The columns `group`, `template` and
            `order` are used if present; without `group`, prompts of equal length form a group.
            Other columns are ignored.
        name: name of the task in results
        roles: columns that hold the position of a role in each prompt, as an index from 0 into its
            tokens. "END" always exists and need not be given; a role such as "S+1" must be the
            token after "S", if both are given.
        leading_space: True adds a space before every answer and foil that has none; False takes
            them as written; None also takes them as written, but refuses a word right after a
            letter or a punctuation mark if the same word after a space is a token

    Returns:
        The task.

    Raises:
        FileNotFoundError: the file does not exist
        TypeError: the table is neither a path nor a DataFrame, or `roles` is a string
        ValueError: the file is not UTF-8 or not CSV, a column is missing or occurs twice, or a row
            does not fit; the message names the row, counting from 0
    """
    if leading_space not in (True, False, None):
        raise ValueError(f"leading_space must be True, False or None; it is {leading_space!r}")
    _require_roles(roles)
    frame = _read(table)
    _require_columns(frame, roles)
    if frame.empty:
        raise ValueError("the table has no rows; a task needs at least one prompt")

    labels = [label for label in _LABELS if label in frame.columns]
    columns = {c: _texts(frame, c, empty=c in _LABELS) for c in (*_COLUMNS, *labels)}
    clean, corrupted = columns["clean"], columns["corrupted"]
    for side in ("clean", "corrupted"):
        for row, text in enumerate(columns[side]):
            if text.endswith(" "):
                raise ValueError(
                    f"row {row}: {side} ends in a space, {text!r}; that space is part of the next "
                    "token, so move it to the answer and the foil"
                )
    answer = _ids(tokenizer, columns["answer"], clean, "answer", leading_space)
    foil = _ids(tokenizer, columns["foil"], clean, "foil", leading_space)
    for row, pair in enumerate(zip(answer, foil, strict=True)):
        if pair[0] == pair[1]:
            raise ValueError(f"row {row}: answer and foil are both {columns['answer'][row]!r}")
        _require_alike(row, columns["answer"][row], columns["foil"][row], leading_space)

    clean_tokens, corrupted_tokens, mask = encode_pairs(tokenizer, clean, corrupted, unit="row")
    lengths = mask.sum(-1)
    at = {role: _positions(frame, role, lengths.tolist()) for role in roles}
    _require_no_contradiction(at, lengths.tolist())
    blank = ("",) * len(frame)
    return Task(
        name=name,
        clean=clean,
        corrupted=corrupted,
        clean_tokens=clean_tokens,
        corrupted_tokens=corrupted_tokens,
        attention_mask=mask,
        answer=torch.tensor(answer),
        foil=torch.tensor(foil),
        positions={role: torch.tensor(rows) for role, rows in at.items()} | {"END": lengths - 1},
        group=columns.get("group") or tuple(f"{length} tokens" for length in lengths.tolist()),
        template=columns.get("template", blank),
        order=columns.get("order", blank),
        candidates=candidate_ids([*answer, *foil]),
        vocabulary=vocabulary_of(
            tokenizer, clean_tokens, corrupted_tokens, torch.tensor(answer + foil)
        ),
    )


def _read(table: Any) -> pd.DataFrame:
    if isinstance(table, pd.DataFrame):
        return table
    if not isinstance(table, str | Path):
        raise TypeError(f"a table is a DataFrame or the path of a CSV file; got {table!r}")
    if not Path(table).is_file():
        raise FileNotFoundError(f"no table {str(table)!r}; give a CSV file or a DataFrame")
    try:
        text = Path(table).read_text(encoding="utf-8-sig")  # with or without a byte-order mark
    except UnicodeDecodeError as error:
        raise ValueError(
            f"table {str(table)!r} is not UTF-8 (byte {error.start}); save it as UTF-8, or read it "
            "with pandas.read_csv(..., encoding='latin-1', dtype=str) and pass the DataFrame"
        ) from error
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    except csv.Error as error:
        raise ValueError(f"table {str(table)!r} is not well-formed CSV: {error}") from error
    if not lines:
        raise ValueError(f"table {str(table)!r} is empty; it needs a header with {list(_COLUMNS)}")
    header, *rows = lines
    if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
        raise ValueError(
            f"table {str(table)!r} has a single column, {header[0]!r}; its columns must be "
            "separated by commas"
        )
    for row, cells in enumerate(rows):
        if len(cells) != len(header):
            raise ValueError(
                f"row {row}: there are {len(cells)} cells, and the header has {len(header)}; put a "
                "text that holds a comma in double quotes"
            )
    return pd.DataFrame(rows, columns=header, dtype=object)


def _require_roles(roles: Any) -> None:
    if isinstance(roles, str):
        raise TypeError(f"roles is a list of columns; got one string, so pass [{roles!r}]")
    for role in roles:
        if role in (*_COLUMNS, *_LABELS):
            raise ValueError(f"the column {role!r} holds texts and cannot be a role")
    repeated = [role for role in roles if list(roles).count(role) > 1]
    if repeated:
        raise ValueError(f"the role {repeated[0]!r} is given twice; give it once")


def _require_columns(frame: pd.DataFrame, roles: Sequence[str]) -> None:
    """Refuse a table that lacks a column or has one twice."""
    found = [str(column) for column in frame.columns]
    needed = [*_COLUMNS, *roles]
    for column in needed:
        if column not in found:
            raise ValueError(
                f"the table has no column {column!r}; it has {found} and needs {needed}"
                + did_you_mean(column, found)
            )
    for column in (*needed, *_LABELS):
        if found.count(column) > 1:
            raise ValueError(f"the table has the column {column!r} more than once; keep one")


def _require_no_contradiction(at: dict[str, list[int]], lengths: list[int]) -> None:
    """Refuse an END that is not the last token, and an "S+1" that is not right after "S"."""
    for role, rows in at.items():
        match = _NEXT.fullmatch(role)
        near = None if match is None else at.get(match[1])
        for row, position in enumerate(rows):
            last = lengths[row] - 1
            if role == "END" and position != last:
                raise ValueError(
                    f"row {row}: role 'END' is the last token, at {last}, and the table has it at "
                    f"{position}; correct it, or leave out the role 'END'"
                )
            if match is not None and near is not None:
                meant = min(near[row] + int(match[2]), last)
                if position != meant:
                    raise ValueError(
                        f"row {row}: role {role!r} is at {position} and role {match[1]!r} at "
                        f"{near[row]}, which contradict each other; {role!r} should be at {meant}"
                    )


def _require_alike(row: int, answer: str, foil: str, leading_space: bool | None) -> None:
    """Refuse an answer and a foil of which only one has a leading space: one is a mistake."""
    spaces = [word[0].isspace() for word in (answer, foil)]
    words = all(word.strip()[:1].isalpha() for word in (answer, foil))
    if leading_space is None and words and spaces[0] != spaces[1]:
        raise ValueError(
            f"row {row}: answer {answer!r} and foil {foil!r} must both begin with a space or both "
            "without, or they are measured against different continuations; pass "
            "leading_space=True to put a space before every one, or False if this is meant"
        )


def _texts(frame: pd.DataFrame, column: str, *, empty: bool) -> tuple[str, ...]:
    """Read a column of texts."""
    for row, value in enumerate(frame[column]):
        if not isinstance(value, str) or not (value or empty):
            raise ValueError(f"row {row}: {column} must be a text, not {value!r}")
    return tuple(frame[column])


def _ids(
    tokenizer: PreTrainedTokenizerBase,
    words: Sequence[str],
    clean: Sequence[str],
    column: str,
    leading_space: bool | None,
) -> list[int]:
    """Token ids of the answers or the foils."""
    spaced = [word if word[0].isspace() else f" {word}" for word in words]
    written = encode(tokenizer, spaced if leading_space else words)
    after_space = encode(tokenizer, spaced)
    for row, (word, tokens) in enumerate(zip(words, written, strict=True)):
        single_after_space = len(after_space[row]) == 1 and spaced[row] != word
        glued = word[0].isalpha() and (clean[row][-1].isalpha() or clean[row][-1] in ".,:;?!")
        if leading_space is None and single_after_space and glued:
            glue = clean[row].split()[-1] + word
            raise ValueError(
                f"row {row}: {column} {word!r} would follow the clean text without a space, as "
                f"{glue!r}; write {spaced[row]!r}, or pass leading_space=True to put a space "
                "before every answer and foil, or False if this is meant"
            )
        if len(tokens) != 1:
            hint = f"; {spaced[row]!r} is one" if single_after_space else ""
            shown = pieces(tokenizer, spaced[row] if leading_space else word)
            raise ValueError(f"row {row}: {column} {word!r} is not a single token: {shown}{hint}")
    return [tokens[0] for tokens in written]


def _positions(frame: pd.DataFrame, role: str, lengths: list[int]) -> list[int]:
    """Positions of a role, as whole numbers inside each prompt."""
    numbers = pd.to_numeric(frame[role], errors="coerce")
    for row, number in enumerate(numbers):
        if not (float(number).is_integer() and 0 <= number < lengths[row]):
            raise ValueError(
                f"row {row}: the position of role {role!r} must be a whole number from 0 to "
                f"{lengths[row] - 1}, not {frame[role].iloc[row]!r}"
            )
    return [int(number) for number in numbers]
