"""The analyses of interventions: their files hold what the routines return."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import interp
from analyses import activation_patching, path_patching
from analyses.cli import app
from analyses.common.choices import heads_of
from interp.patching import (
    Ablation,
    Receivers,
    Selection,
    ablate,
    agreement,
    attribution_patch,
    effect,
    mean_effect,
    normalized,
    patch,
    path_patch,
    strongest_heads,
)
from interp.tasks import ioi

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {
    "activation-patching": "activation_patching",
    "path-patching": "path_patching",
    "head-ablation": "ablation",
    "attribution-patching": "attribution_patching",
}
N = 12


class Ran:
    """The files of the command on a page of the docs, run as it is written there."""

    def __init__(self, command):
        page = (DOCS / f"{PAGES[command]}.md").read_text(encoding="utf-8")
        (line,) = re.findall(r"```sh\ninterp (.*)\n```", page)
        arguments = shlex.split(line)
        assert arguments[0] == command
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        self.output = result.output
        folder = Path("out") / command.replace("-", "_")
        self.numbers = json.loads((folder / "results.json").read_text())
        self.values = pd.read_csv(folder / "results.csv")
        self.prompts = pd.read_csv(folder / "prompts.csv", keep_default_na=False)
        self.page = (folder / "report.html").read_text()

    def holds(self, name, result):
        """Whether the files have a result under a name, means, intervals and every prompt."""
        found, means = self.numbers["results"][name], mean_effect(result)
        assert found["dims"] == list(means["mean"].dims)
        for dim in found["dims"]:
            assert found[dim] == means[dim].values.tolist()
        for key in ("mean", "low", "high"):
            expected = means[key].values
            np.testing.assert_allclose(np.array(found[key], float), expected, atol=1e-6)
        assert np.nanmax(np.abs(means["mean"].values)) > 0.01
        rows = self.values[self.values.result == name]
        of_metric = rows[rows.metric == "logit_diff"].set_index([*found["dims"], "prompt"])
        table = result["logit_diff"].to_dataframe("value").dropna()["value"]
        assert len(of_metric) == len(table)
        joined = of_metric["value"].reindex(table.index)
        np.testing.assert_allclose(joined, table, atol=1e-5)
        clean = rows[rows.metric == "logit_diff_clean"].set_index("prompt")["value"]
        np.testing.assert_allclose(clean, result["logit_diff_clean"], atol=1e-5)
        return found


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("run"), {}

    def of(command):
        if command not in made:
            with pytest.MonkeyPatch.context() as context:
                context.chdir(folder)
                made[command] = Ran(command)
        return made[command]

    return of


@pytest.fixture(scope="module")
def mini():
    return interp.load("mini")


@pytest.mark.parametrize("command", PAGES)
def test_every_command_writes_a_page_and_where_it_comes_from(ran, mini, command):
    run = ran(command)
    assert "report.html" in run.output.replace("\n", "")
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=[\"']https?:", run.page)
    for name in ("results.json", "results.csv", "prompts.csv"):
        assert f'href="{name}"' in run.page
    assert (run.numbers["model"], run.numbers["n"], run.numbers["seed"]) == ("mini", N, 0)
    assert "torch" in run.numbers["versions"] and run.numbers["metric"] == "logit_diff"
    task = ioi(mini.tokenizer, N, corruption=run.numbers["options"]["corruption"])
    own = run.prompts[run.prompts.result == ""]
    assert tuple(own.clean) == task.clean and tuple(own.corrupted) == task.corrupted
    assert own["END-1"].astype(int).tolist() == task.positions["END-1"].tolist()


def test_activation_patching(ran, mini):
    run = ran("activation-patching")
    task = ioi(mini.tokenizer, N, corruption="flip")
    by_role = patch(mini, task, "attn_out", Selection(("layer", "role")))
    found = run.holds("attn_out", by_role)
    fractions = normalized(by_role)["mean"]
    np.testing.assert_allclose(found["normalized"]["mean"], fractions, atol=1e-6)
    pattern = patch(mini, task, "pattern")
    run.holds("pattern", pattern)
    same = ioi(
        mini.tokenizer, N, corruption="flip", templates=[task.template[0]],
        order=task.order[0].lower(),
    )  # fmt: skip
    run.holds("attn_out by position", patch(mini, same, "attn_out"))
    ((layer, head),) = strongest_heads(mean_effect(pattern), 1)
    entries = patch(
        mini, same, "pattern", Selection(("position", "source"), layers=[layer], heads=[head])
    )
    run.holds("pattern by position", entries)
    assert set(run.numbers["results"]) == {
        "attn_out", "attn_out by position", "pattern", "pattern by position",
    }  # fmt: skip
    shown = run.prompts[run.prompts.result == "pattern by position"]
    assert tuple(shown.clean) == same.clean


def test_path_patching(ran, mini):
    run = ran("path-patching")
    task = ioi(mini.tokenizer, N)
    run.holds("heads to logits", path_patch(mini, task, mlps="frozen"))
    run.holds("MLPs to logits", path_patch(mini, task, site="mlp_out", mlps="frozen"))
    to = [(4, 2), (4, 1)]
    queries = Receivers("q", heads=to, positions=["END"])
    run.holds("heads to q of 4.2, 4.1", path_patch(mini, task, queries, mlps="frozen"))
    run.holds("heads to v of 4.2, 4.1", path_patch(mini, task, Receivers("v", to), mlps="frozen"))
    assert "heads to k of 4.2, 4.1" not in run.numbers["results"]
    assert "MLPs on the way are frozen" in run.page and "chosen by the caller" in run.page


def test_receivers_come_from_the_data_unless_given(mini):
    task = ioi(mini.tokenizer, N)
    effects = mean_effect(path_patch(mini, task))["mean"].to_series()
    layer, head = effects.abs().idxmax()
    page = path_patching.run(mini, n=N, inputs=["v"], positions=["IO"], top=1).html()
    assert f"through the values of {layer}.{head}" in page and "receive at IO" in page


def test_head_ablation(ran, mini):
    run = ran("head-ablation")
    task = ioi(mini.tokenizer, N)
    single = ablate(mini, task, value="group mean")
    run.holds("heads", single)
    a, b, c = strongest_heads(mean_effect(single), 3, told=True)
    sets = {f"{x[0]}.{x[1]} {y[0]}.{y[1]}": [x, y] for x, y in ((a, b), (a, c), (b, c))}
    both = ablate(mini, task, sets, value="group mean")
    run.holds("pairs", both)
    alone = effect(single)
    beyond = run.numbers["results"]["interaction of pairs"]
    for i, (name, pair) in enumerate(sets.items()):
        summed = sum(alone.sel(layer=x, head=y) for x, y in pair)
        expected = float((effect(both).sel(set=name) - summed).mean())
        assert beyond["mean"][i] == pytest.approx(expected, abs=1e-5)

    without = Ablation([(4, 2), (4, 1)], value="group mean")
    again = ablate(mini, task, value="group mean", ablation=without)
    run.holds("heads without 4.2, 4.1", again)
    run.holds("direct effects without 4.2, 4.1", path_patch(mini, task, ablation=without))
    change = run.numbers["results"]["change of heads"]["mean"]
    assert change[4][2] is None and change[4][1] is None
    assert change[0][3] == pytest.approx(
        float((effect(again) - alone).sel(layer=0, head=3).mean()), abs=1e-5
    )


def test_attribution_patching(ran, mini):
    run = ran("attribution-patching")
    task = ioi(mini.tokenizer, N, corruption="flip")
    exact = patch(mini, task, "k", direction="noising")
    run.holds("k, exact", exact)
    mended = attribution_patch(mini, task, "k", direction="noising", fixes=["qk"])
    run.holds("k, softmax computed", mended)
    assert f"{agreement(mended, exact).rank_correlation:.3f}" in run.page
    over = Selection(("layer", "role"))
    guess = attribution_patch(mini, task, "mlp_out", over, direction="noising")
    run.holds("mlp_out, gradient", guess)
    run.holds("mlp_out, exact", patch(mini, task, "mlp_out", over, direction="noising"))


def test_nothing_is_written_unless_asked_for(mini, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = activation_patching.run(mini, n=2, metric="probability", sites=["z"])
    best = mean_effect(
        patch(mini, ioi(mini.tokenizer, 2, corruption="flip"), "z", metrics="probability"),
        "probability",
    )
    layer, head = best["mean"].to_series().abs().idxmax()
    assert f"{layer}.{head}" in report.lead and "probability" in report.html()
    assert not report.downloads
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("activation-patching", ["--site", "z,attention"], "unknown site 'attention'"),
        ("activation-patching", ["--direction", "up"], "unknown direction 'up'"),
        ("activation-patching", ["--metric", "loss"], "unknown metric 'loss'"),
        ("activation-patching", ["--corruption", "none"], "unknown corruption 'none'"),
        ("path-patching", ["--receivers", "9"], "'9' names no part, node or edge"),
        ("path-patching", ["--receivers", "6.0"], "mini has no Head 6.0"),
        ("path-patching", ["--input", "q,x"], "unknown input 'x'"),
        ("path-patching", ["--positions", "S3"], "unknown role 'S3'"),
        ("path-patching", ["--mlps", "gone"], "unknown way to treat MLPs 'gone'"),
        ("head-ablation", ["--value", "median"], "unknown value 'median'"),
        ("head-ablation", ["--knocked-out", "0.8"], "mini has no Head 0.8"),
        ("attribution-patching", ["--metric", "rank"], "unknown metric with a gradient 'rank'"),
        ("attribution-patching", ["--model", "gpt3"], "gpt3"),
    ],
)
def test_bad_input_is_one_clear_line_before_any_work(
    command, arguments, message, monkeypatch, tmp_path
):
    for routine in ("patch", "path_patch", "ablate", "attribution_patch"):
        monkeypatch.setattr(
            interp.patching, routine, lambda *_, **__: pytest.fail("work was begun")
        )
    result = CliRunner().invoke(app, [command, "--out", str(tmp_path), "--n", "4", *arguments])
    assert result.exit_code == 2
    assert message in result.output and result.output.count("\n") == 1
    assert "Traceback" not in result.output


def test_heads_by_name():
    assert heads_of(["5.1", "0.7"]) == [(5, 1), (0, 7)]
    assert heads_of(None) is None
    for wrong in ("5", "5.", ".1", "-1.0", "a.b", "5.1.2"):
        with pytest.raises(ValueError, match="names no part"):
            heads_of([wrong])
    with pytest.raises(ValueError, match=r"5\.1 is given twice"):
        heads_of(["5.1", "5.1"])
    with pytest.raises(ValueError, match="at least one head"):
        heads_of([])
