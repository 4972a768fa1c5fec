"""Tasks from a table: CSV and DataFrame, and errors that name the row."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from transformers import PreTrainedTokenizerBase

from interp.tasks import from_table


def rows(**changes: Any) -> pd.DataFrame:
    """Two prompts, with columns changed."""
    table = {
        "clean": ["Yesterday Mary met", "Yesterday John and Mary met"],
        "corrupted": ["Yesterday Anna met", "Yesterday Anna and Mary met"],
        "answer": [" John", " Mary"],
        "foil": [" Mary", " John"],
    }
    return pd.DataFrame(table | changes)


def test_frame_and_csv_give_the_same(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    file = tmp_path / "prompts.csv"
    rows(SUBJECT=[1, 1]).to_csv(file, index=False)
    for table in (rows(SUBJECT=[1, 1]), file, str(file)):
        task = from_table(tokenizer, table, roles=["SUBJECT"], name="met")
        assert task.name == "met"
        assert task.clean == tuple(rows()["clean"])
        assert tokenizer.decode(task.answer) == " John Mary"
        assert tokenizer.decode(task.foil) == " Mary John"
        assert list(task.positions) == ["SUBJECT", "END"]
        assert task.positions["SUBJECT"].tolist() == [1, 1]
        assert task.positions["END"].tolist() == (task.lengths - 1).tolist()
        assert task.group == tuple(f"{length} tokens" for length in task.lengths.tolist())
        assert task.order == ("", "")


def test_labels_are_taken(tokenizer: PreTrainedTokenizerBase) -> None:
    task = from_table(tokenizer, rows(group=["x", "y"], order=["BA", ""], template=["t", "u"]))
    assert (task.group, task.order, task.template) == (("x", "y"), ("BA", ""), ("t", "u"))


def test_words_that_look_like_missing_values(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    file = tmp_path / "prompts.csv"
    file.write_text("clean,corrupted,answer,foil,group\nNone,None, John, Mary,NA\n")
    task = from_table(tokenizer, file)
    assert (task.clean, task.group) == (("None",), ("NA",))


def test_digits_are_text(gpt2_tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    file = tmp_path / "years.csv"
    file.write_text(
        "clean,corrupted,answer,foil\n"
        "The war lasted from 1732 to 17,The war lasted from 1701 to 17,45,01\n"
    )
    task = from_table(gpt2_tokenizer, file)
    assert gpt2_tokenizer.decode(task.answer) == "45"
    assert gpt2_tokenizer.decode(task.foil) == "01"


def test_missing_file(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no table .*none\.csv"):
        from_table(tokenizer, tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            rows().drop(columns="foil"),
            r"no column 'foil'; it has \['clean', 'corrupted', 'answer'\]",
        ),
        (rows().iloc[:0], "no rows"),
        (rows(clean=["Yesterday Mary met", np.nan]), "row 1: clean must be a text, not nan"),
        (rows(corrupted=["", "Yesterday"]), "row 0: corrupted must be a text, not ''"),
        (rows(answer=[" John", 45]), "row 1: answer must be a text, not 45"),
        (rows(clean=["Yesterday Mary met ", "x"]), "row 0: clean ends in a space"),
        (rows(corrupted=["Yesterday Anna met", "Yesterday"]), "row 1: the clean text has . tokens"),
        (rows(answer=[" John", " Mary met"]), r"row 1: answer .* token: \[' Mary', ' met'\]"),
        (rows(foil=[" John", " John"]), "row 0: answer and foil are both ' John'"),
        (
            rows(answer=[" John", "Mary"]),
            "row 1: answer 'Mary' would follow .*'metMary'; write ' Ma",
        ),
        (rows(group=["x", "x"]), "prompt 1.*first prompt of its group"),
    ],
)
def test_rows_that_do_not_fit(
    tokenizer: PreTrainedTokenizerBase, table: pd.DataFrame, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        from_table(tokenizer, table)


@pytest.mark.parametrize("position", [-1, 99, 1.5, "two", np.nan])
def test_positions_that_do_not_fit(tokenizer: PreTrainedTokenizerBase, position: Any) -> None:
    with pytest.raises(
        ValueError, match=r"row 1: the position of role 'S' must be .* from 0 to \d"
    ):
        from_table(tokenizer, rows(S=[1, position]), roles=["S"])


def test_missing_role(tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(ValueError, match="no column 'S1'"):
        from_table(tokenizer, rows(), roles=["S1"])


BARE = {"answer": ["John", "Mary"], "foil": ["Mary", "John"]}


def test_leading_space_is_added(tokenizer: PreTrainedTokenizerBase) -> None:
    added = from_table(tokenizer, rows(**BARE), leading_space=True)
    assert added.answer.tolist() == from_table(tokenizer, rows()).answer.tolist()
    assert added.foil.tolist() == from_table(tokenizer, rows()).foil.tolist()
    after_colon = rows(clean=["Name:"] * 2, corrupted=["Name:"] * 2, answer=["Mary"] * 2)
    with pytest.raises(ValueError, match=r"row 0.*'Name:Mary'"):
        from_table(tokenizer, after_colon)


def test_answers_are_taken_as_written(gpt2_tokenizer: PreTrainedTokenizerBase) -> None:
    taken = from_table(gpt2_tokenizer, rows(**BARE), leading_space=False)
    assert gpt2_tokenizer.decode(taken.answer) == "JohnMary"


def test_hint_where_only_the_spaced_word_is_a_token(
    small_tokenizer: PreTrainedTokenizerBase,
) -> None:
    with pytest.raises(ValueError, match=r"'John' is not a single token: \[.*; ' John' is one"):
        from_table(small_tokenizer, rows(**BARE), leading_space=False)


def test_a_byte_order_mark_and_blank_lines_are_nothing(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    file = tmp_path / "prompts.csv"
    text = rows().to_csv(index=False).replace("\n", "\r\n\r\n")
    file.write_text(text, encoding="utf-8-sig", newline="")
    assert from_table(tokenizer, file).clean == tuple(rows()["clean"])


def test_texts_may_hold_commas_quotes_and_line_ends(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    clean = ['He said, "when Mary met\nJohn', "Yesterday, Mary met"]
    corrupted = [text.replace(" Mary", " Anna") for text in clean]
    table = rows(clean=clean, corrupted=corrupted)
    table.to_csv(tmp_path / "prompts.csv", index=False)
    assert from_table(tokenizer, tmp_path / "prompts.csv").clean == tuple(clean)


def test_roles_that_agree_are_taken(tokenizer: PreTrainedTokenizerBase) -> None:
    ends = (from_table(tokenizer, rows()).lengths - 1).tolist()
    good = {"S": [1, ends[1]], "S+1": [2, ends[1]], "S-1": [0, ends[1] - 1], "END": ends}
    task = from_table(tokenizer, rows(**good), roles=list(good))
    assert {role: at.tolist() for role, at in task.positions.items()} == good
    for role in ("S+1", "S-1", "END"):
        wrong = good | {role: [1, 1]}
        with pytest.raises(ValueError, match=f"row .: role '{role.replace('+', '.')}' is"):
            from_table(tokenizer, rows(**wrong), roles=list(wrong))
    alone = from_table(tokenizer, rows(**{"S+1": [1, 1]}), roles=["S+1"])  # no S to contradict
    assert alone.positions["S+1"].tolist() == [1, 1]


def test_punctuation_needs_no_space(gpt2_tokenizer: PreTrainedTokenizerBase) -> None:
    task = from_table(gpt2_tokenizer, rows(answer=[".", "."], foil=[" John", " John"]))
    assert gpt2_tokenizer.decode(task.answer) == ".."
