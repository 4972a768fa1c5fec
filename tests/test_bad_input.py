"""Bad input gets one clear error, before any work.

The tables stand beside the tests of what they are about, in `bad_input_rows.py`. A row of `ROWS` is
its name, a call that takes the fixtures, the class of the error, and words of its message; a row of
`COMMAND_ROWS` its name, what makes the arguments of `interp` from the fixtures, the exit status,
and words of what is printed.
"""

from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from typer.testing import CliRunner

import interp
from analyses.cli import app

HERE = Path(__file__).parent
TABLES = [
    import_module(".".join(["tests", *path.relative_to(HERE).with_suffix("").parts]))
    for path in sorted(HERE.glob("*/bad_input_rows.py"))
]
ROWS = [row for table in TABLES for row in getattr(table, "ROWS", [])]
COMMAND_ROWS = [row for table in TABLES for row in getattr(table, "COMMAND_ROWS", [])]


@cache
def _mini():
    return interp.load("mini")


@pytest.fixture
def given(tmp_path):
    """What rows may use: the bundled model, a task of it, a folder."""
    mini = _mini()
    return {"mini": mini, "task": interp.tasks.ioi(mini.tokenizer, 12), "tmp_path": tmp_path}


def _words(words):
    return [words] if isinstance(words, str) else list(words)


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_call(row, given):
    _, call, error, words = row
    with pytest.raises(error) as caught:
        call(given)
    for word in _words(words):
        assert word in str(caught.value)


@pytest.mark.parametrize("row", COMMAND_ROWS, ids=[row[0] for row in COMMAND_ROWS])
def test_command(row, given, monkeypatch):
    _, arguments, status, words = row
    monkeypatch.chdir(given["tmp_path"])
    result = CliRunner().invoke(app, [str(one) for one in arguments(given)])
    assert result.exit_code == status, result.output
    for word in _words(words):
        assert word in result.output


def test_there_are_many_and_each_has_a_name_of_its_own():
    names = [row[0] for row in (*ROWS, *COMMAND_ROWS)]
    assert len(set(names)) == len(names) >= 120
