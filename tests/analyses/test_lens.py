"""The commands of the pages on lenses: their files hold what the library returns."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import interp
from analyses import direct_logit_attribution, logit_lens, tuned_lens
from analyses.cli import app
from interp import lens
from interp.tasks import ioi

DOCS = Path(__file__).parents[2] / "docs"


def documented(page, tmp_path_factory):
    """The command on a page of the docs, run as it is written there, elsewhere."""
    (line,) = re.findall(r"```sh\ninterp (.*)\n```", (DOCS / f"{page}.md").read_text())
    out = tmp_path_factory.mktemp(page)
    arguments = [str(out) if a == f"out/{page}" else a for a in shlex.split(line)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    page = (out / "report.html").read_text()
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=[\"']https?:", page)
    return out, " ".join(result.output.split()), page


@pytest.fixture(scope="module")
def model():
    return interp.load("mini")


@pytest.fixture(scope="module")
def task(model):
    return ioi(model.tokenizer, 12)


def test_logit_lens(tmp_path_factory, model, task):
    out, said, page = documented("logit_lens", tmp_path_factory)
    text = pd.read_csv(out / "text.csv", keep_default_na=False)
    expected = lens.logit_lens(model, logit_lens.TEXT)
    assert len(text) == expected.top_id.size and set(text["lens"]) == {"Logit lens"}
    np.testing.assert_allclose(text["top_probability"], expected.top_probability.values.ravel())
    assert text["top_token"].tolist() == expected.top_token.values.ravel().tolist()
    choices = expected.top_id.values[..., 0].T.tolist()  # position layer
    settled = [min(i for i in range(6) if len(set(of[i:])) == 1) for of in choices]
    layer = next(i for i in range(6) if sum(at <= i for at in settled) >= len(settled) / 2)
    assert f"no longer changes from layer {layer} on" in said
    rows = pd.read_csv(out / "ioi.csv").set_index(["site", "layer", "prompt"])
    means = json.loads((out / "results.json").read_text())["ioi"]
    for site in ("resid_mid", "mlp_out"):
        reading = lens.logit_lens(model, task, site=site)
        found = rows.loc[site]["logit_diff"]
        np.testing.assert_allclose(found, reading.logit_diff.values.ravel(), atol=1e-4)
        mean = means[site]["logit_diff"]
        np.testing.assert_allclose(mean["mean"], reading.logit_diff.mean("prompt"), atol=1e-4)
        assert mean["low"][2] < mean["mean"][2] < mean["high"][2]
    end = lens.logit_lens(model, task).logit_diff.isel(layer=-1).mean()
    assert f"the answer ends {float(end):+.2f} logits from the foil" in said
    question = "Does the answer overtake the foil, read at the last token of IOI?"
    for heading in ("Logit lens of the text", question):
        assert f"<h2>{heading}</h2>" in page


def test_logit_lens_of_a_text_alone_with_a_tuned_lens(model, tmp_path):
    lens.TunedLens.identity(model).save(tmp_path / "lens.safetensors")
    report = logit_lens.run(
        model, "Mary & John", n=0, tuned=tmp_path / "lens.safetensors", out=tmp_path
    )
    assert [s.heading for s in report.sections] == [
        "Logit lens of the text",
        "Tuned lens of the text",
    ]
    assert [file.path for file in report.downloads] == ["text.csv"]
    assert not (tmp_path / "ioi.csv").exists()
    text = pd.read_csv(tmp_path / "text.csv").set_index("lens")
    np.testing.assert_allclose(text.loc["Logit lens"]["entropy"], text.loc["Tuned lens"]["entropy"])


def test_direct_logit_attribution(tmp_path_factory, model, task):
    out, said, page = documented("direct_logit_attribution", tmp_path_factory)
    results = json.loads((out / "results.json").read_text())["results"]
    parts = lens.direct_logit_attribution(model, task)
    np.testing.assert_allclose(results["components"]["mean"], parts.mean("prompt"), atol=1e-4)
    running = lens.cumulative(parts).mean("prompt")
    np.testing.assert_allclose(results["accumulated"]["mean"], running, atol=1e-4)
    heads = lens.direct_logit_attribution(model, task, by="head")
    np.testing.assert_allclose(results["heads"]["mean"], heads.mean("prompt"), atol=1e-4)
    assert f"the logit difference of {float(parts.mean('prompt').sum()):+.2f}" in said
    mean = heads.mean("prompt")
    layer, head = np.unravel_index(np.abs(mean.values).argmax(), mean.shape)
    assert results["sources"]["writer"][0] == f"{layer}.{head}"
    roles = lens.direct_logit_attribution(model, task, by="source_role").mean("prompt")
    np.testing.assert_allclose(results["sources"]["mean"][0], roles[layer, head], atol=1e-4)
    neurons = lens.direct_logit_attribution(model, task, by="neuron").mean("prompt")
    strongest = np.sort(np.abs(neurons.values).ravel())[::-1][:12]
    np.testing.assert_allclose(np.abs(results["neurons"]["mean"]), strongest, atol=1e-4)
    layer, unit = map(int, results["neurons"]["neuron"][0].split("."))
    assert results["neurons"]["mean"][0] == pytest.approx(float(neurons[layer, unit]), abs=1e-4)
    gone = interp.patching.Ablation([(4, 0), (4, 1)])
    left = lens.direct_logit_attribution(model, task, by="head", ablation=gone).mean("prompt")
    np.testing.assert_allclose(results["heads without 4.0, 4.1"]["mean"], left, atol=1e-4)
    assert "Do others write more without 4.0, 4.1?" in page


def test_tuned_lens(tmp_path_factory, model):
    out, said, page = documented("tuned_lens", tmp_path_factory)
    trained = lens.TunedLens.load(out / "lens.safetensors")
    trained.require(model)
    assert trained.metadata["steps"] == "8"
    nats = json.loads((out / "results.json").read_text())["nats"]
    tuned, plain = (np.array(nats[name]["mean"]) for name in ("tuned_lens", "logit_lens"))
    assert (tuned <= plain).all()
    assert f"or nearer, in {len(tuned)} of {len(tuned)} layers" in said
    assert f"from layer 0 on: {tuned[0]:.2f} ({plain[0]:.2f}), {tuned[1]:.2f}" in said
    rows = pd.read_csv(out / "results.csv").groupby("layer")["tuned_lens"].mean()
    np.testing.assert_allclose(rows, tuned, rtol=1e-4)
    assert page.count("first choices, colored by") == 2


def test_tuned_lens_of_a_text_file_and_of_a_saved_lens(model, tmp_path):
    (tmp_path / "text").write_text("Yesterday Mary and John met at the market. " * 400)
    tuned_lens.run(model, text=tmp_path / "text", steps=1, out=tmp_path)
    first = (tmp_path / "results.json").read_text()
    again = tuned_lens.run(model, text=tmp_path / "text", lens=tmp_path / "lens.safetensors")
    nats = json.loads(first)["nats"]["tuned_lens"]["mean"]
    assert f"layer 0 on: {nats[0]:.2f} (" in again.lead and not again.downloads


def test_a_model_without_a_text_is_read_on_what_it_writes_itself(model):
    config = interp.GPT2Config(
        n_layers=1, n_heads=1, d_model=8, d_mlp=8, d_vocab=model.config.d_vocab, n_ctx=12
    )
    other = interp.HookedGPT2(config, model.tokenizer, name="other")
    batches, held_out = tuned_lens._text(other, None, 0)
    assert held_out.shape == (16, 12) and batches(0).shape == (8, 12)
    start = torch.full((160, 1), model.tokenizer.eos_token_id)
    written = interp.generate(other, start, max_new_tokens=11, temperature=1.0, seed=0)
    assert torch.equal(held_out, written[-16:])
    lens.tune(other, batches, steps=1)  # what was written without gradients can be trained on


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["logit-lens", "--site", "q"], "unknown site 'q'"),
        (["logit-lens", "--n", "1"], "n must be at least 2"),
        (["logit-lens", "--tuned", "nowhere"], "no tuned lens at nowhere"),
        (["direct-logit-attribution", "--without", "9.1"], "mini has no Head 9.1"),
        (["tuned-lens", "--text", "nowhere"], "nowhere"),
        (["tuned-lens", "--steps", "2", "--learning-rate", "0"], "learning_rate > 0"),
    ],
)
def test_bad_input_is_one_clear_line(arguments, message, tmp_path):
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path)])
    assert result.exit_code != 0
    assert message in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("analysis", [logit_lens, direct_logit_attribution, tuned_lens])
def test_a_folder_that_cannot_be_written_is_refused_before_work(analysis, tmp_path, monkeypatch):
    monkeypatch.setattr(interp, "load", lambda *_: pytest.fail("work was begun"))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="cannot write"):
        analysis.run(out=tmp_path / "file" / "out")
