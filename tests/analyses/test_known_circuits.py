"""The analysis of known circuits through the command line, its files against the library."""

import json
import re

import pandas as pd
import pytest
from typer.testing import CliRunner

from analyses import known_circuits
from analyses.cli import app
from interp.circuits import known_circuit
from interp.plots import recovery_lines


def command(*arguments):
    result = CliRunner().invoke(app, ["known-circuits", *map(str, arguments)])
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("known")
    code, output = command("--n", 8, "--names", "duplicate", "--noise", "0.1,0.8", "--out", out)
    assert code == 0, output
    assert "The derivation returns 1 of them exactly" in " ".join(output.split())
    assert "still does at a level of 0.1" in " ".join(output.split())
    return out


def test_results_have_both_circuits(folder):
    found = json.loads((folder / "results.json").read_text())["circuits"]
    assert set(found) == {"duplicate"}
    sides, truth = found["duplicate"], json.loads(known_circuit("duplicate", n=8).circuit.to_json())
    assert sides["true"] == truth
    assert sides["derived"]["heads"] == truth["heads"]
    assert all(link["q_value"] <= 0.05 for link in sides["derived"]["links"])


def test_noise_is_swept(folder):
    noise = pd.read_csv(folder / "noise.csv")
    exact = noise[noise["noise"] == 0.1]
    assert (exact[["precision", "recall"]] == 1.0).all(axis=None)
    assert (exact["accuracy"] == 1.0).all()
    assert (noise.loc[noise["noise"] == 0.8, ["precision", "recall"]] < 1.0).any(axis=None)


def test_the_page_draws_both_circuits(folder):
    page = (folder / "report.html").read_text()
    assert page.count('aria-label="Circuit of duplicate by hand: 2 heads"') == 2
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=[\"']https?:", page)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--names", "bigram"], "unknown model 'bigram'"),
        (["--noise", "", "--names", "ioi"], "at least one level of noise"),
        (["--smallest", "0"], "smallest must be a fraction between 0 and 1"),
    ],
)
def test_what_cannot_be_run(arguments, message, tmp_path):
    code, output = command(*arguments, "--n", 4, "--out", tmp_path)
    assert code == 2 and message in output


def test_there_is_one_model_at_least():
    with pytest.raises(ValueError, match="at least one model"):
        known_circuits.run(names=[])
    with pytest.raises(ValueError, match="1 to 3 models with a row 'links'"):
        recovery_lines(pd.DataFrame({"part": [], "model": [], "noise": []}))
