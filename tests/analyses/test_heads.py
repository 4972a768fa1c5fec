"""Head scores and composition through the command line, their files against the library."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import interp
from analyses import composition, head_scores
from analyses.cli import app
from interp.heads import composition_scores, head_table
from interp.model.hub import locate


def command(*arguments):
    result = CliRunner().invoke(app, [*map(str, arguments)])
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scores")
    code, output = command("head-scores", "--n", 6, "--by", "copy", "--out", folder)
    assert code == 0, output
    assert "looks most at the previous token" in output
    return folder


def test_head_scores_are_the_tables(scores):
    model = interp.load("mini")
    expected = head_table(model, interp.tasks.ioi(model.tokenizer, 6)).to_dataframe()
    found = pd.read_csv(scores / "heads.csv").set_index(["layer", "head"])
    np.testing.assert_allclose(found["induction"], expected["induction"], rtol=1e-4)
    np.testing.assert_allclose(found["copy_low"], expected["copy_low"], atol=1e-6)
    lists = json.loads((scores / "results.json").read_text())["scores"]
    assert lists["induction"][2][3] == pytest.approx(found["induction"][2, 3])
    page = (scores / "report.html").read_text()
    assert "Eigenvalues of the OV circuit" in page
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=[\"']https?:", page)


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """The bundled model without its token embedding and MLP weights."""
    folder = tmp_path_factory.mktemp("bare")
    tensors = load_file(locate("mini") / "model.safetensors")
    kept = {k: t for k, t in tensors.items() if "wte" not in k and "mlp" not in k}
    save_file(kept, folder / "model.safetensors")
    (folder / "config.json").write_text((locate("mini") / "config.json").read_text())
    return folder


def test_composition_needs_nothing_but_attention(bare, tmp_path):
    code, output = command(
        "composition", "--attention-only", bare, "--samples", 1, "--out", tmp_path
    )
    assert code == 0, output
    expected = composition_scores(interp.load("mini")).to_series().dropna()
    found = pd.read_csv(tmp_path / "composition.csv")
    np.testing.assert_allclose(found["composition"], expected.values, atol=1e-5)
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["pairs"][0]["score"] <= expected.max() + 1e-6
    assert results["pairs"][0]["excess"] > 0
    assert 0 < results["above_random"] < 1
    senders = pd.read_csv(tmp_path / "senders.csv", dtype={"sender": str, "receiver": str})
    assert set(senders["kind"]) == {"q", "k", "v"}


def test_composition_of_a_loaded_model(tmp_path):
    report = composition.run(interp.load("mini"), receivers=["1.3"], samples=1)
    assert "1.3" in report.html()
    assert not report.downloads


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["head-scores", "--by", "love"], "unknown score 'love'; expected one of previous_token"),
        (["head-scores", "--n", "1"], "2"),
        (["composition", "--receivers", "0.1"], "no head of mini with earlier ones"),
        (["composition", "--attention-only", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_one_clear_line(arguments, message, tmp_path):
    code, output = command(*arguments, "--out", tmp_path)
    assert code != 0
    assert message in output
    assert "Traceback" not in output


@pytest.mark.parametrize("analysis", [head_scores, composition])
def test_a_folder_that_cannot_be_written_is_refused_before_work(analysis, tmp_path, monkeypatch):
    monkeypatch.setattr(interp, "load", lambda *_: pytest.fail("work was begun"))
    monkeypatch.setattr(interp, "load_attention", lambda *_: pytest.fail("work was begun"))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="cannot write"):
        analysis.run(out=tmp_path / "file" / "out")
