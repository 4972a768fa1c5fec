"""`interp verify --published`: what it measures, what it says, and that nothing is lost."""

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console
from typer.testing import CliRunner

import interp
from analyses.cli import app
from analyses.verification import analysis, checks, ioi, run
from analyses.verification.checks import Check
from analyses.verification.record import NAME, Record
from analyses.verification.table import notes, show_record
from interp.circuits.published import IOI_FIGURES, facts
from interp.circuits.published.claims import Answer, Claim, judge
from interp.statistics import Estimate
from tests.helpers import hugging_face_gpt2

NUMBER = Claim("x", "Numbers", "a number", "3", "source", "2 to 4", "why", "how", 2.0, 4.0)
WORDS = Claim("y", "Words", "a head", "9.6", "source", "the same", "why", "how")


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """A random checkpoint with the layers and heads of GPT-2 small and mini's vocabulary."""
    folder = tmp_path_factory.mktemp("models") / "narrow"
    mini = interp.load("mini")
    sizes = {"n_layer": 12, "n_head": 12, "n_embd": 24, "n_inner": 24, "n_positions": 128}
    hugging_face_gpt2(vocab_size=mini.config.d_vocab, **sizes).save_pretrained(folder)
    mini.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def stubs(monkeypatch):
    """Three checks in place of all: one agrees, one fails, one disagrees."""
    calls = []

    def fails():
        calls.append("fails")
        raise ValueError("the disk is full")

    def disagrees():
        calls.append("disagrees")
        return {"y": Answer("9.7", False)}

    made = [
        Check("first", (NUMBER,), lambda: {"x": Estimate(3.0, 2.5, 3.5)}),
        Check("second", (replace(NUMBER, key="z"), replace(WORDS, key="w")), fails),
        Check("third", (WORDS,), disagrees),
    ]
    monkeypatch.setattr(analysis, "SHAPE", (12, 12, 24))
    monkeypatch.setattr(analysis, "model_checks", lambda *_: made)
    monkeypatch.setattr(analysis, "ioi_checks", lambda *_: [])
    return made


def test_a_check_that_fails_leaves_the_others_alone(narrow, stubs, tmp_path):
    lines = []
    record = run(narrow, n=4, out=tmp_path, say=lines.append)
    assert [one.verdict for one in record.outcomes] == [
        "agrees", "could not be measured", "could not be measured", "disagrees",
    ]  # fmt: skip
    assert record.complete and record.exit_code() == 1
    assert notes(record) == [
        "ValueError: the disk is full (a bug in interp or too little memory; please report)"
    ]
    assert lines[0].startswith("3 checks, 4 claims, 4 prompts: about a minute")
    assert Record.load(tmp_path) == record
    about = json.loads((tmp_path / NAME).read_text())["about"]
    assert about["model"] == "narrow" and len(about["prompts_fingerprint"]) == 16
    assert str(tmp_path) not in (tmp_path / NAME).read_text()


def test_what_is_measured_is_on_the_disk_at_once(narrow, stubs, tmp_path, monkeypatch):
    def stopped():
        raise KeyboardInterrupt

    monkeypatch.setattr(
        analysis, "model_checks", lambda *_: [stubs[0], replace(stubs[1], measure=stopped)]
    )
    with pytest.raises(KeyboardInterrupt):
        run(narrow, n=4, out=tmp_path)
    record = Record.load(tmp_path / NAME)
    assert [one.claim.key for one in record.outcomes] == ["x"] and not record.complete


@pytest.mark.parametrize(
    ("kept", "code", "text"),
    [
        ([0], 0, "1 of 1 claims agree, none disagrees."),
        ([0, 1], 3, "2 could not be measured, which is no verdict on them"),
        ([0, 1, 2], 1, "1 of 4 claims agree, 1 disagree."),
    ],
)
def test_the_command_ends_as_the_claims_do(narrow, stubs, tmp_path, monkeypatch, kept, code, text):
    monkeypatch.setattr(analysis, "model_checks", lambda *_: [stubs[i] for i in kept])
    arguments = ["verify", str(narrow), "--published", "--n", "4", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == code, result.output
    assert text in result.output and str(tmp_path / NAME) in result.output.replace("\n", "")
    again = CliRunner().invoke(app, [*arguments[:-4], "--n", "5", "--out", str(tmp_path)])
    assert again.exit_code == 2 and "holds the results of another run" in again.output


def test_the_table_has_each_claim_and_each_reason_once():
    outcomes = [judge(NUMBER, 3.0), judge(WORDS, Answer("9.7", False))]
    outcomes += [judge(NUMBER, float("nan")), judge(NUMBER, float("nan"))]
    console = Console(record=True, width=160, file=io.StringIO())
    show_record(console, Record({}, outcomes))
    text = console.export_text()
    assert text.count("could not be measured (1)") == 2
    assert text.count("(1) the measured value is not a number") == 1
    assert "9.7" in text and "disagrees" in text and text.count("  a number") == 3


def test_another_shape_is_one_clear_error(tmp_path):
    result = CliRunner().invoke(app, ["verify", "mini", "--published", "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "about GPT-2 small, with 12 layers of 12 heads and width 768; mini has" in result.output
    assert not (tmp_path / NAME).exists()


def test_without_a_network_it_is_the_error_of_loading(tmp_path):
    texts = [
        CliRunner().invoke(app, ["verify", "gpt2", *more]).output.splitlines()[0]
        for more in ([], ["--published", "--out", str(tmp_path)])
    ]
    if not texts[0].startswith("interp: could not get"):
        pytest.skip("gpt2 is in the cache of this machine")
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["--published", "--prompts", "nowhere.json"], "nowhere.json is not there"),
        (["--published", "--device", "gpu"], "'gpu' is not a device"),
        (["--prompts", "x.json"], "belong to --published"),
    ],
)
def test_refusals(more, text, tmp_path):
    out = ["--out", str(tmp_path)] if "--published" in more else []
    result = CliRunner().invoke(app, ["verify", "mini", *more, *out])
    assert result.exit_code == 2 and text in result.output


def test_a_random_model_disagrees(narrow, monkeypatch, tmp_path):
    """The real checks of the model, and the first of the paper's; the rest are those of `ioi`."""
    monkeypatch.setattr(analysis, "SHAPE", (12, 12, 24))
    monkeypatch.setattr(checks, "SEQUENCES", 2)
    first = ("behavior", "direct")
    every = ioi.ioi_checks
    monkeypatch.setattr(
        analysis, "ioi_checks", lambda *given: [c for c in every(*given) if c.name in first]
    )
    record = run(narrow, n=6, out=tmp_path)
    verdict = {one.claim.key: one.verdict for one in record.outcomes}
    assert verdict["hugging_face"] == verdict["auc_edges"] == "agrees"
    assert verdict["tokens"] == verdict["previous_token_4.11"] == "could not be measured"
    assert verdict["logit_diff"] == verdict["io_probability"] == "disagrees"
    assert verdict["composition_5.5"] == verdict["Heads that raise it most"] == "disagrees"
    assert record.exit_code() == 1


def test_attention_weights_alone_are_checked_for_what_needs_no_more(shared, tmp_path):
    record = run(shared / "gpt2-attention", n=2, out=tmp_path)
    verdict = {one.claim.key: one.verdict for one in record.outcomes}
    agree = {key for key, one in verdict.items() if one == "agrees"}
    assert agree == {claim.key for claim in (*facts.CIRCUIT_CLAIMS, *facts.WEIGHT_CLAIMS)}
    assert record.exit_code() == 3


def test_the_claims_are_different_and_the_papers_figures_are_found():
    names = list(ioi._COST)
    claims = [claim for name in names for claim in ioi.ioi_claims(name)]
    assert len({claim.key for claim in claims}) == len(claims)
    assert all(ioi.ioi_claims(name) for name in names)
    left = {figure.key for figure in IOI_FIGURES} - {claim.key for claim in claims}
    elsewhere = ("signal_", "located_", "adversarial_", "gap_greedy")
    assert all(key.startswith(elsewhere) for key in left)
