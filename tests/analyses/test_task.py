"""The analysis of tasks: its files hold what the routines return."""

import json
import re
import shlex
from pathlib import Path
from xml.etree import ElementTree

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import interp
from analyses import task as analysis
from analyses.cli import app
from interp import tasks
from interp.circuits import Circuit
from interp.patching import Ablation, mean_effect, measure, path_patch
from tests.helpers import random_model

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder of the command on the page, run as it is written there."""
    (line,) = re.findall(
        r"```sh\ninterp (.*)\n```", (DOCS / "tasks.md").read_text(encoding="utf-8")
    )
    folder = tmp_path_factory.mktemp("task")
    arguments = shlex.split(line)
    arguments[arguments.index("--out") + 1] = str(folder)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "prompts of greater-than, mini reaches a mean probability_diff of" in result.output
    return folder


@pytest.fixture(scope="module")
def measured():
    """The same by the routines themselves."""
    model = interp.load("mini")
    return model, tasks.greater_than(model.tokenizer, 16, seed=0)


def test_direct_effects_and_behavior(ran, measured):
    model, task = measured
    numbers = json.loads((ran / "results.json").read_text())
    metric = "probability_diff"
    expected = mean_effect(path_patch(model, task, metrics=metric), metric)
    found = numbers["results"]["direct effects"]
    for key in ("mean", "low", "high"):
        np.testing.assert_allclose(found[key], expected[key].values, atol=1e-6)
    whole = float(measure(model, task, metric)[metric].mean())
    assert numbers["figures"]["F_M, found here"]["mean"] == pytest.approx(whole, abs=1e-5)
    sharpness = float(measure(model, task, "cutoff_sharpness").cutoff_sharpness.mean())
    assert f"{sharpness:.3f}".replace("-", "\N{MINUS SIGN}") in (ran / "report.html").read_text()


def test_faithfulness_of_the_circuit_that_it_wrote(ran, measured):
    model, task = measured
    circuit = Circuit.from_json((ran / "circuit.json").read_text())
    keep = [head.node for head in circuit.heads]
    figures = json.loads((ran / "results.json").read_text())["figures"]
    for where, positions in {"": None, " at roles": list(task.positions)}.items():
        others = Ablation("heads", keep=keep, value="group mean", positions=positions)
        alone = float(
            measure(model, task, "probability_diff", ablation=others).probability_diff.mean()
        )
        assert figures[f"F_C{where}, found here"]["mean"] == pytest.approx(alone, abs=1e-5)
    ratio = figures["F_C, found here"]["mean"] / figures["F_M, found here"]["mean"]
    assert figures["ratio, found here"]["mean"] == pytest.approx(ratio, abs=1e-5)


def test_the_circuit_in_every_form(ran):
    circuit = Circuit.from_json((ran / "circuit.json").read_text())
    names = {str(head) for head in circuit.heads}
    assert names <= set(nx.read_graphml(ran / "circuit.graphml"))
    ElementTree.parse(ran / "circuit.svg")
    page = (ran / "circuit.html").read_text()
    assert {f"{a}@{b}" for a, b in re.findall(r'data-node="(.*?)" data-at="(.*?)"', page)} == names
    assert "attention END to YY" in page
    for suffix in ("mmd", "dot"):
        assert all(head.label in (ran / f"circuit.{suffix}").read_text() for head in circuit.heads)
    report = (ran / "report.html").read_text()
    for link in re.findall(r'href="([\w.]+)"', report):
        assert (ran / link).is_file(), link


def test_prompts(ran, measured):
    table = pd.read_csv(ran / "prompts.csv")
    assert table["clean"].tolist() == list(measured[1].clean)
    assert table["YY"].tolist() == measured[1].positions["YY"].tolist()


@pytest.mark.parametrize(
    ("name", "threshold"),
    [("induction", 0.3), ("pronoun", 0.1), ("agreement", 0.1), ("acronym", 0.1)],
)
def test_the_other_tasks(name, threshold):
    model = interp.load("mini")
    report = analysis.run(name, model, n=8, threshold=threshold)
    assert report.title == f"{name.capitalize()} in mini"
    headings = [section.heading for section in report.sections]
    assert headings == [
        "Behavior", "Which heads write the answer", "The circuit found here",
        "Does the circuit do the task alone?",
    ]  # fmt: skip
    source = report.sections[2].text
    roles_alone = "ablated at the task's roles alone"
    assert (roles_alone if name == "induction" else "ablated at all positions") in source
    about = report.sections[0].text
    assert ("no established list" in " ".join(about.split())) == (name in ("pronoun", "agreement"))


def test_the_published_circuit_stands_beside_for_its_model(monkeypatch):
    monkeypatch.setattr("interp.circuits.pruning.prune_heads", lambda *_, **__: [])  # takes long
    tokenizer = interp.load("mini").tokenizer
    model = random_model(
        n_layers=12, n_heads=12, d_model=48, d_mlp=32, d_vocab=len(tokenizer), n_ctx=64
    )
    model.name, model.tokenizer = "gpt2", tokenizer
    report = analysis.run("greater-than", model, n=3)
    headings = [section.heading for section in report.sections]
    assert "The circuit published" in headings
    assert "no head output at the task" in report.lead
    (table,) = report.sections[-1].items
    assert table.frame["circuit"].tolist() == ["found here", "published"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["acronyms"],
            "unknown task 'acronyms' (did you mean 'acronym'?)",
        ),
        (["pronoun", "--model", "gpt3"], "gpt3"),
        (["pronoun", "--threshold", "0"], "threshold must be a positive fraction"),
    ],
)
def test_wrong_input(arguments, message, tmp_path):
    result = CliRunner().invoke(app, ["task", *arguments, "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert message in result.output.replace("\n", " ")
