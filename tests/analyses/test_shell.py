"""One way to fail: the caller's errors are told from bugs, and both show their traceback."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

import interp
from analyses.cli import app
from analyses.common.shell import command, is_about_input, plain_errors, start


def run(*arguments):
    result = CliRunner().invoke(app, list(map(str, arguments)))
    return result.exit_code, result.output


def raised(function):
    try:
        function()
    except Exception as error:
        return error
    return pytest.fail("nothing was raised")


@pytest.mark.parametrize(
    "function",
    [
        lambda: interp.tasks.ioi(interp.load("mini").tokenizer, 0),
        lambda: interp.parts.parse("nine"),
        lambda: interp.circuits.published_circuit("none", "gpt2"),
        lambda: Path("nowhere").read_text(),
    ],
)
def test_what_interp_refuses_is_about_the_input(function):
    assert is_about_input(raised(function))


@pytest.mark.parametrize(
    "function",
    [
        lambda: int("x"),
        lambda: {}["x"],
        lambda: np.zeros(3).reshape(2),
        lambda: torch.zeros(2) + torch.zeros(3),
        lambda: interp.parts.unit_of.missing,
        lambda: (_ for _ in ()).throw(ValueError("raised by a test, not by interp")),
        lambda: interp.parts.as_head(None),  # nobody types None in a shell
    ],
)
def test_anything_else_is_a_bug(function):
    assert not is_about_input(raised(function))


def test_a_bug_says_that_it_is_one(monkeypatch, tmp_path):
    def broken(*_, **__):
        raise ValueError("wrong at heart")

    monkeypatch.setattr(interp.heads, "attention_patterns", broken)
    arguments = ("attention", "--n", 0, "--out", tmp_path)
    code, output = run(*arguments)
    assert code == 1 and "Traceback" not in output
    assert "ValueError: wrong at heart" in output
    assert "bug in interp, not an error in your input. Run it with --debug" in output
    for argued in ((*arguments, "--debug"), ("--debug", *arguments)):
        code, output = run(*argued)
        assert code == 1 and "Traceback" in output and "in broken" in output


@pytest.mark.parametrize("where", ["before", "after"])
def test_debug_shows_where_input_is_refused(where):
    arguments = ["ioi", "--parts", "signal"]
    code, output = run(*(["--debug", *arguments] if where == "before" else [*arguments, "--debug"]))
    assert code == 2 and "Traceback" in output and "unknown part 'signal'" in output


def test_an_exit_is_let_through():
    with pytest.raises(typer.Exit) as caught, plain_errors():
        raise typer.Exit(3)
    assert caught.value.exit_code == 3


def test_a_folder_is_of_one_run(tmp_path):
    def asked(n: int = 2, out: typer.Option = tmp_path, device: str = "") -> None:
        """Nothing."""

    asked.__annotations__["out"] = type(tmp_path)
    made = typer.Typer()
    made.command()(command(asked, views=["device"]))

    def call(*arguments):
        return CliRunner().invoke(made, list(map(str, arguments)))

    assert call().exit_code == 0
    assert json.loads((tmp_path / "run.json").read_text())["n"] == 2
    assert call("--device", "cpu").exit_code == 0  # what does not change the results
    other = call("--n", 3)
    assert other.exit_code == 2 and "holds the results of another run (n 2; now n 3)" in " ".join(
        other.output.split()
    )
    assert call("--n", 3, "--overwrite").exit_code == 0
    assert call("--n", 3).exit_code == 0 and call().exit_code == 2


def test_a_run_that_failed_leaves_the_folder_to_the_next(tmp_path):
    code, _ = run("attention", "--n", 0, "--heads", "9.9", "--out", tmp_path)
    assert code == 2 and not (tmp_path / "run.json").exists()


def test_a_file_runs_by_itself(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["verify", "none"])
    from analyses.verify import main

    with pytest.raises(SystemExit) as caught:
        start(main)
    assert caught.value.code == 2 and "no model and no directory" in capsys.readouterr().err
