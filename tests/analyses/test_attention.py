"""The analysis of attention: its command's files hold what the library returns."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import interp
from analyses import attention
from analyses.cli import app
from interp.heads import (
    attention_between,
    attention_flow,
    attention_patterns,
    attention_rollout,
    value_weighted,
)
from interp.tasks import ioi

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The command on the page of the docs, run as it is written there, elsewhere."""
    (line,) = re.findall(r"```sh\ninterp (.*)\n```", (DOCS / "attention.md").read_text())
    out = tmp_path_factory.mktemp("attention")
    arguments = [str(out) if a == "out/attention" else a for a in shlex.split(line)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "the heads of mini that look most sharply" in " ".join(result.output.split())
    return out


@pytest.fixture(scope="module")
def model():
    return interp.load("mini")


def test_results_are_the_patterns(folder, model):
    patterns = attention_patterns(model, attention.TEXT)
    table = pd.read_csv(folder / "results.csv")
    assert len(table) == 20 * 15 * 16 / 2  # a row a head and pair, none to later tokens
    at = [table[dim].to_numpy() for dim in ("layer", "head", "query", "key")]
    np.testing.assert_allclose(table["attention"], patterns.values[tuple(at)], atol=1e-6)
    weighted = value_weighted(patterns).values[tuple(at)]
    np.testing.assert_allclose(table["value_weighted"], weighted, atol=1e-6)
    assert "".join(table["key_token"][(table["layer"] == 0) & (table["head"] == 0)][-15:]) == (
        attention.TEXT
    )
    numbers = json.loads((folder / "results.json").read_text())
    np.testing.assert_allclose(numbers["rollout"], attention_rollout(patterns)[:, -1], atol=1e-6)
    flow = attention_flow(patterns, queries=[-1])[:, 0]
    np.testing.assert_allclose(numbers["flow"], flow, atol=1e-6)
    assert numbers["heads"] == ["4.1", "2.3"]


def test_roles_are_means_over_prompts(folder, model):
    between = attention_between(model, ioi(model.tokenizer, 12))
    table = pd.read_csv(folder / "roles.csv").set_index([*between.dims])["attention"]
    np.testing.assert_allclose(table.to_xarray().sel(between.indexes), between, atol=1e-6)
    rows = json.loads((folder / "results.json").read_text())["END"]
    mean = between.sel(query="END").mean("prompt")
    for row in rows:
        of = mean.sel(key=row["role"])
        layer, head = map(int, row["head"].split("."))
        assert float(of.max()) == pytest.approx(float(of.sel(layer=layer, head=head)))
        assert row["attention"]["mean"] == pytest.approx(float(of.max()), abs=1e-6)
        assert row["attention"]["low"] < row["attention"]["mean"] < row["attention"]["high"]


def test_the_pages(folder):
    page = (folder / "report.html").read_text()
    questions = (
        "Does a head look sharply at one earlier token?",
        "Does a head look from END at a token with a role?",
    )
    for heading in (*questions, "Single heads", "Through all layers"):
        assert f"<h2>{heading}</h2>" in page
    assert page.count('aria-label="Attention, head 4.1, ') == 1  # its arcs
    for title in ("Value-weighted attention", "Attention, head 4.1", "Attention flow, from"):
        assert title in page
    assert "Attention between roles, head 2.3" in page
    assert 'href="attention.html"' in page
    for name in ("report.html", "attention.html"):
        text = (folder / name).read_text()
        assert not re.search(r"<(script|link|img)[^>]+(src|href)=[\"']https?:", text)
    assert '"first":17,' in (folder / "attention.html").read_text()  # 4.1 of 4 heads a layer


def test_without_a_task_any_text_will_do(model, tmp_path):
    report = attention.run(model, "</script> & then", n=0, out=tmp_path)
    assert [section.heading for section in report.sections][-1] == "Through all layers"
    assert not (tmp_path / "roles.csv").exists()
    assert "roles.csv" not in [file.path for file in report.downloads]
    assert "END" not in json.loads((tmp_path / "results.json").read_text())
    assert not attention.run(model, n=0).downloads


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--heads", "9.1"], "mini has no Head 9.1"),
        (["--heads", "nine"], "'nine' names no part, node or edge"),
        (["--n", "1"], "n must be at least 2 prompts for an interval, or 0"),
        (["--text", "Mary " * 2000, "--n", "0"], "n_ctx"),
    ],
)
def test_bad_input_is_one_clear_line(arguments, message, tmp_path):
    result = CliRunner().invoke(app, ["attention", *arguments, "--out", str(tmp_path)])
    assert result.exit_code != 0
    assert message in result.output
    assert "Traceback" not in result.output


def test_a_folder_that_cannot_be_written_is_refused_before_work(tmp_path, monkeypatch):
    monkeypatch.setattr(interp, "load", lambda *_: pytest.fail("work was begun"))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="cannot write"):
        attention.run(out=tmp_path / "file" / "out")
