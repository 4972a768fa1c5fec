"""Bad input gets one clear error."""

from pathlib import Path

import pytest

import interp
from interp.tasks import ioi
from tests.tasks.bad_input_rows import ROWS, Row


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_bad_input(row: Row, tmp_path: Path) -> None:
    _, call, error, words = row
    mini = interp.load("mini")
    with pytest.raises(error) as caught:
        call({"mini": mini, "task": ioi(mini.tokenizer, 12), "tmp_path": tmp_path})
    assert type(caught.value) is error, caught.value
    for word in words:
        assert word in str(caught.value)


def test_rows_have_names_of_their_own() -> None:
    assert len({row[0] for row in ROWS}) == len(ROWS)
