"""A task from a user's own table of clean text, corrupted text, answer and foil.

An answer is a text that tokenizes to a single token and is taken as it is written: " Mary" and
"Mary" are different tokens. A table that leaves out spaces by habit would measure the wrong token
without a sign, so a word that would follow its prompt without a space is an error unless
`leading_space` says what is meant.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch
from transformers import PreTrainedTokenizerBase

from interp.tasks.fit import vocabulary_of
from interp.tasks.task import Task
from interp.tasks.tokens import encode, encode_pairs, pieces

_COLUMNS = ("clean", "corrupted", "answer", "foil")
_LABELS = ("group", "template", "order")


def from_table(
    tokenizer: PreTrainedTokenizerBase,
    table: str | Path | pd.DataFrame,
    *,
    name: str = "table",
    roles: Sequence[str] = (),
    leading_space: bool | None = None,
) -> Task:
    """Build a task from a CSV file or a DataFrame, one row a prompt.

    Args:
        tokenizer: the model's tokenizer.
        table: a DataFrame or the path of a CSV file (UTF-8, comma separated, with a header).
            Columns `clean` and `corrupted` hold the texts without the answer, `answer` and `foil`
            the right and the wrong next token as text. Columns `group`, `template` and `order` are
            used if there; without `group`, prompts of equal length form a group. Other columns are
            left unread.
        name: what the task is called in results.
        roles: columns that hold the position of a role in each prompt, as an index into its tokens,
            from 0. "END" is always there and need not be given.
        leading_space: True puts a space before every answer and foil that has none; False takes
            them as written; None takes them as written too, but refuses a word right after a letter
            or a punctuation mark if the same word after a space is a token.

    Returns:
        The task.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column is missing, or a row does not fit; the message names the row, the first
            one being row 0.
    """
    frame = _read(table)
    missing = [column for column in (*_COLUMNS, *roles) if column not in frame.columns]
    if missing:
        raise ValueError(
            f"the table has no column {missing[0]!r}; it has {list(frame.columns)} and needs "
            f"{[*_COLUMNS, *roles]}"
        )
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

    clean_tokens, corrupted_tokens, mask = encode_pairs(tokenizer, clean, corrupted, unit="row")
    lengths = mask.sum(-1)
    at = {role: _positions(frame, role, lengths.tolist()) for role in roles}
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
        vocabulary=vocabulary_of(
            tokenizer, clean_tokens, corrupted_tokens, torch.tensor(answer + foil)
        ),
    )


def _read(table: str | Path | pd.DataFrame) -> pd.DataFrame:
    if isinstance(table, pd.DataFrame):
        return table
    if not Path(table).is_file():
        raise FileNotFoundError(f"no table {str(table)!r}; give a CSV file or a DataFrame")
    return pd.read_csv(table, dtype=str, keep_default_na=False)


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
