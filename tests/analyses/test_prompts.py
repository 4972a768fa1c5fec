"""Prompts of one's own: a file gives the figures of the task that it holds, in every analysis.

The twin of a task's CSV file is the task itself, without the sampler that would draw reference
prompts for it, and with the candidates that a table has.
"""

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import interp
from analyses import (
    activation_patching,
    attention,
    attribution_patching,
    direct_logit_attribution,
    head_ablation,
    head_scores,
    logit_lens,
    path_patching,
    task,
)
from analyses.cli import app
from analyses.common.prompts import asked_for, same_places
from interp.circuits import Circuit, RolesWarning, covered_by_roles, derive_pruned
from interp.circuits.coverage import uncovered
from interp.parts import Head, Node
from interp.patching import Ablation, measure
from interp.statistics import Estimate
from interp.tasks import from_table
from tests.helpers import random_model

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
N = 6
ANALYSES = {
    activation_patching: {"sites": ["attn_out", "z"]},
    attribution_patching: {"sites": ["mlp_out"]},
    path_patching: {"inputs": ["q", "v"], "top": 1},
    head_ablation: {"value": "mean", "top": 2},
    direct_logit_attribution: {},
    attention: {},
    logit_lens: {},
    head_scores: {},
}


@pytest.fixture(scope="module")
def model():
    """A small random model of the bundled words."""
    tokenizer = interp.load("mini").tokenizer
    model = random_model(
        n_layers=2, n_heads=2, d_model=16, d_mlp=16, d_vocab=len(tokenizer), n_ctx=64
    )
    model.name, model.tokenizer = "small", tokenizer
    return model


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    """A task of IOI, and the same as CSV, JSON and JSON Lines."""
    folder = tmp_path_factory.mktemp("files")
    drawn = interp.tasks.ioi(model.tokenizer, N, seed=3)
    table = drawn.to_dataframe(model.tokenizer)
    table.to_csv(folder / "ioi.csv", index=False)
    records = table.to_dict("records")
    (folder / "ioi.json").write_text(json.dumps(records))
    (folder / "lines.jsonl").write_text("\n".join(json.dumps(one) for one in records) + "\n\n")
    read = from_table(model.tokenizer, folder / "ioi.csv", roles=None, name="ioi")
    assert read.fingerprint == replace(drawn, candidates=read.candidates).fingerprint
    return folder, replace(drawn, candidates=read.candidates)


def numbers(folder):
    """What an analysis wrote, without where the prompts came from."""
    found = json.loads(path.read_text()) if (path := folder / "results.json").exists() else {}
    for key in ("options", "versions", "seed"):
        found.pop(key, None)
    # the lens files its results under the kind of prompts
    return found


def same(ours, theirs):
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        for key in ours:
            same(ours[key], theirs[key])
    elif isinstance(ours, list) and ours and not isinstance(ours[0], dict | str):
        left, right = (np.array(one, dtype=float) for one in (ours, theirs))
        np.testing.assert_allclose(left, right, atol=1e-6)
    elif isinstance(ours, float):
        assert ours == pytest.approx(theirs, abs=1e-6)
    elif isinstance(ours, list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            same(one, other)
    else:
        assert ours == theirs


@pytest.mark.parametrize("analysis", ANALYSES, ids=lambda one: one.__name__.split(".")[1])
def test_a_file_gives_the_figures_of_its_task(analysis, model, files, tmp_path):
    folder, drawn = files
    given = {
        "task": {"task": drawn},
        "csv": {"csv": folder / "ioi.csv"},
        "json": {"json": folder / "ioi.json"},
        "lines": {"json": folder / "lines.jsonl"},
    }
    for name, one in given.items():
        out = tmp_path / name
        report = analysis.run(model, out=out, **one, **ANALYSES[analysis])
        assert str(N) in report.html()
    first = numbers(tmp_path / "task")
    assert first
    for name in ("csv", "json", "lines"):
        same(numbers(tmp_path / name), first)


def test_a_circuit_from_a_file_is_that_of_its_task(model, files, tmp_path):
    folder, drawn = files
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RolesWarning)
        task.run(None, model, csv=folder / "ioi.csv", threshold=0.4, out=tmp_path)
        circuit = derive_pruned(model, drawn, threshold=0.4).circuit
    assert Circuit.load(tmp_path / "circuit.json").members == circuit.members
    prompts = pd.read_csv(tmp_path / "prompts.csv")
    assert tuple(prompts["clean"]) == drawn.clean


def test_a_task_by_name(model, tmp_path):
    report = head_ablation.run(model, task="pronoun", n=N, out=tmp_path)
    drawn = interp.tasks.pronoun(model.tokenizer, N, seed=0)
    assert tuple(pd.read_csv(tmp_path / "prompts.csv")["clean"]) == drawn.clean
    assert f"{N} prompts of pronoun in small" in report.lead


@pytest.mark.parametrize("name", ["greater-than", "induction", "agreement", "acronym"])
def test_other_tasks_in_the_analyses_that_are_most_particular(model, name):
    for analysis in (activation_patching, head_scores, direct_logit_attribution, logit_lens):
        options = ANALYSES[analysis] if analysis is activation_patching else {}
        assert name in analysis.run(model, task=name, n=4, **options).lead


def test_first_rows(model, files):
    folder, drawn = files
    assert asked_for({"csv": folder / "ioi.csv"}, None, default_n=3).prompts(model).n == N
    some = asked_for({"csv": folder / "ioi.csv"}, 2, default_n=3).prompts(model)
    assert some.clean == drawn.clean[:2]
    assert asked_for({"task": drawn}, 2, default_n=3).prompts(model).clean == drawn.clean[:2]


def test_roles_can_be_chosen(model, files):
    path = files[0] / "ioi.csv"
    for roles in ("IO,S2", ["IO", "S2"]):
        made = asked_for({"csv": path, "roles": roles}, None, default_n=3).prompts(model)
        assert list(made.positions) == ["IO", "S2", "END"]


def test_prompts_whose_positions_can_be_compared(model, files):
    some = same_places(files[1])
    assert len({int(n) for n in some.lengths}) == 1 and some.clean[0] == files[1].clean[0]
    assert all(len(set(at.tolist())) == 1 for at in some.positions.values())


def _small(model, **roles):
    """Prompts in which a late token has the answer: the roles may name it or not."""
    drawn = interp.tasks.pronoun(model.tokenizer, 24, seed=0)
    table = drawn.to_dataframe(model.tokenizer)[["clean", "corrupted", "answer", "foil"]]
    table = table.assign(group=list(drawn.group), **roles)
    return from_table(model.tokenizer, table, roles=list(roles), name="own")


def test_warning_where_roles_miss_the_position_and_only_there():
    model = interp.load("mini")
    drawn = interp.tasks.pronoun(model.tokenizer, 24, seed=0)
    tasks = {
        "none": _small(model),
        "missing": _small(model, FIRST=[0] * 24),
        "all": replace(
            drawn,
            positions={
                **{f"t{i}": drawn.lengths.clamp(max=i + 1) - 1 for i in range(drawn.lengths.max())},
                "END": drawn.lengths - 1,
            },
        ),
    }
    shares = {name: covered_by_roles(model, one) for name, one in tasks.items()}
    assert shares["all"].mean == pytest.approx(1, abs=1e-5)
    assert uncovered(tasks["all"], shares["all"]) == ""
    assert "no roles besides END" in uncovered(tasks["none"], shares["none"])
    assert "positions without a role" in uncovered(tasks["missing"], shares["missing"])
    for name in ("none", "missing"):
        with pytest.warns(RolesWarning, match="--positions all"):
            derive_pruned(model, tasks[name], threshold=0.9)
    derive_pruned(model, tasks["all"], threshold=0.9)  # warnings are errors here
    derive_pruned(model, tasks["none"], threshold=0.9, everywhere=True)


def test_what_roles_cover_is_the_ratio_of_two_runs():
    model = interp.load("mini")
    drawn = interp.tasks.pronoun(model.tokenizer, 12, seed=0)
    heads = [Head(i, h) for i in range(model.config.n_layers) for h in range(model.config.n_heads)]
    keep = [Node(head, role) for head in heads for role in drawn.positions]
    left = Ablation("heads", keep=keep, value="group mean")
    alone = float(measure(model, drawn, ablation=left).logit_diff.mean())
    whole = float(measure(model, drawn).logit_diff.mean())
    assert covered_by_roles(model, drawn).mean == pytest.approx(alone / whole, abs=1e-5)


def test_no_share_of_what_is_not_there(model, files):
    flipped = replace(files[1], answer=files[1].foil, foil=files[1].answer)
    shares = [covered_by_roles(model, one).mean for one in (files[1], flipped)]
    assert sum(np.isnan(shares)) == 1  # one of the two means is not positive
    nothing = Estimate(float("nan"), float("nan"), float("nan"))
    assert uncovered(files[1], nothing) == ""


def test_a_circuit_of_heads_everywhere_on_the_example(tmp_path):
    arguments = ["task", "--csv", EXAMPLES / "own_task.csv", "--positions", "all"]
    arguments += ["--threshold", "0.1", "--out", tmp_path]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "results.json").read_text())["figures"]
    assert 0.5 < found["ratio, found here"]["mean"] < 1.5
    circuit = Circuit.load(tmp_path / "circuit.json")
    assert circuit.heads and {head.role for head in circuit.heads} == {"all"}
    model = interp.load("mini")
    own = from_table(model.tokenizer, EXAMPLES / "own_task.csv", roles=None, name="own_task")
    others = Ablation("heads", keep=[head.part for head in circuit.heads], value="group mean")
    alone = float(measure(model, own, ablation=others).logit_diff.mean())
    assert found["F_C, found here"]["mean"] == pytest.approx(alone, abs=1e-4)
    assert (tmp_path / "circuit.svg").exists() and "every token" in (
        tmp_path / "report.html"
    ).read_text(encoding="utf-8")


@pytest.mark.filterwarnings("default::interp.circuits.RolesWarning")
def test_the_shell_warns_in_one_line_and_the_page_says_so(model, files, tmp_path):
    path = tmp_path / "bare.csv"
    columns = ["clean", "corrupted", "answer", "foil", "group"]
    pd.read_csv(files[0] / "ioi.csv")[columns].to_csv(path, index=False)
    interp.save(model, tmp_path / "model")
    arguments = ["task", "--csv", path, "--model", tmp_path / "model", "--threshold", "0.9"]
    arguments += ["--out", tmp_path / "out"]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    assert "interp: warning: the task 'bare' has no roles besides END" in result.output
    assert "coverage.py" not in result.output and "pruning.py" not in result.output
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "has no roles besides END" in page


@pytest.mark.parametrize("analysis", [activation_patching, attribution_patching, attention])
def test_pages_by_role_warn_without_roles(analysis, model, files, tmp_path):
    path = tmp_path / "bare.csv"
    columns = ["clean", "corrupted", "answer", "foil", "group"]
    pd.read_csv(files[0] / "ioi.csv")[columns].to_csv(path, index=False)
    with pytest.warns(RolesWarning, match="covers the last token alone"):
        analysis.run(model, csv=path, **ANALYSES[analysis])
