"""The parts of the IOI paper: what they say, and that finished ones are kept and no others."""

import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
import xarray as xr

import interp
from analyses import ioi
from analyses.ioi import circuit as ioi_circuit
from analyses.ioi import parts
from analyses.ioi.parts import PARTS, Setting, backups, derivation, signals
from analyses.ioi.parts.setting import Measured, verdicts
from analyses.verification import ioi as verification
from interp.circuits import Circuit, Derivation, Link, Member, published_circuit
from interp.circuits.published import IOI_FIGURES
from interp.parts import Head, Node
from interp.patching import Receivers
from interp.report import Table
from interp.tasks import ioi as ioi_task
from interp.tasks.ioi_variants import breaks
from tests.analyses.sizes import SMALL


@pytest.fixture(scope="module")
def model():
    """Random weights in the shape and under the name of GPT-2 small, very narrow."""
    mini = interp.load("mini")
    sizes = {"n_layers": 12, "n_heads": 12, "d_model": 24, "d_mlp": 24, "n_ctx": 128}
    config = interp.GPT2Config(d_vocab=mini.config.d_vocab, **sizes)
    made = interp.HookedGPT2(config, mini.tokenizer, name="gpt2")
    with torch.no_grad():  # so that effects are far from zero
        for parameter in made.parameters():
            parameter += 0.2 * torch.randn(
                parameter.shape, generator=torch.Generator().manual_seed(0)
            )
    return made


@pytest.fixture(scope="module")
def setting(model):
    task = ioi_task(model.tokenizer, 12)
    return Setting.of(model, task, published_circuit("ioi", "gpt2"), size=SMALL)


@pytest.fixture(scope="module")
def collected(setting):
    return {name: part.collect(setting) for name, part in PARTS.items()}


@pytest.fixture(scope="module")
def chapters(setting, collected):
    return {name: part.write(setting, collected[name]) for name, part in PARTS.items()}


def test_every_part_has_figures_beside_the_papers(chapters):
    published_keys = {figure.key for figure in IOI_FIGURES}
    measured = {m.key: m for part in chapters.values() for m in part.figures}
    core = {"logit_diff", "accuracy", "io_probability", "faithfulness"}  # of `interp ioi` itself
    assert published_keys - measured.keys() == core
    for m in measured.values():
        assert np.isfinite(m.estimate.mean), m.key
        assert not m.estimate.low > m.estimate.mean + 1e-9, m.key
        assert not m.estimate.high < m.estimate.mean - 1e-9, m.key
    assert sum(len(part.claims) for part in chapters.values()) == 16
    for name in set(chapters) - {"derivation"}:  # which is compared head by head, without a verdict
        table = chapters[name].section.items[-1]
        assert isinstance(table, Table)
        assert {"agrees", "does not agree"} & set(table.frame["verdict"])


def test_parts_measure_every_claim_of_verify(chapters):
    for name in set(PARTS) & set(verification._COST):
        chapter = chapters[name]
        measured = {m.key for m in chapter.figures} | {claim.label for claim in chapter.claims}
        assert {claim.key for claim in verification.ioi_claims(name)} <= measured, name


def test_what_is_kept_is_of_the_same_links_and_of_the_same_way_to_find_them(setting):
    circuit = setting.circuit
    link = Link("input@S1 -> 0.1.k@S2", -0.5)
    for other in (replace(circuit, links=(link,)), replace(circuit, source="pruned at 5 %")):
        assert other.records() == circuit.records()
        assert repr(replace(setting, circuit=other).depends) != repr(setting.depends)


def test_random_weights_do_not_agree_with_the_papers_heads(chapters):
    assert not any(claim.agrees for claim in chapters["s-inhibition"].claims)


def test_a_circuit_without_heads_has_nothing_to_measure(setting):
    empty = replace(setting, circuit=Circuit("gpt2", ()))
    for name in set(PARTS) - {"random-tokens", "mlps", "adversarial", "derivation"}:
        part = PARTS[name]
        found = {} if name == "name-movers" else part.collect(empty)
        assert "Cannot be told: not measured" in part.write(empty, found).section.text


def test_other_models_get_no_verdict(setting):
    other = replace(setting, circuit=Circuit("gpt2", setting.circuit.members[:3]))
    measured = [Measured.mean("logit_diff", "Mean", np.array([1.0, 2.0]), "logits")]
    (table,) = verdicts(other, measured, ())
    assert list(table.frame.columns) == ["figure", "value", "unit"]
    assert verdicts(other, [], ()) == []


def test_the_fit_of_two_signals_by_hand():
    token, position = np.meshgrid([1, 0, -1], [1, -1], indexing="ij")
    assert signals.fit(2.31 * position + 0.99 * token) == pytest.approx((2.31, 0.99, 0))
    bent = 2.0 * position + 1.0 * token + np.array([[0.3, -0.3], [0, 0], [-0.3, 0.3]]) * 0.5
    assert signals.fit(bent) == pytest.approx((2.0, 1.0, 0.1 / 3.15), rel=1e-6)


def test_signals_of_the_prompts_themselves_change_nothing(setting, collected):
    measured = collected["signals"]
    found, early = measured["signals"].logit_diff, measured["early"].logit_diff
    clean = interp.patching.measure(setting.model, setting.task).logit_diff
    np.testing.assert_allclose(found.sel(token=1, position=1), clean, atol=1e-5)
    np.testing.assert_allclose(early.sel(token=1, position=1), clean, atol=1e-5)
    for values in (found, early):
        assert float(abs(values.sel(token=-1, position=-1) - clean).max()) > 1e-3


def test_early_heads_lose_as_much_as_s_inhibition_by_place_and_nothing_by_name(setting):
    def grid(place, name):
        """4 with the own signals, less by so much if place or name is another."""
        rows = [[4 - name * (t != 1) - place * (p != 1) for p in (1, -1)] for t in (1, 0, -1)]
        values = np.array(rows)[..., None] + np.linspace(-0.1, 0.1, 5)
        coords = {"token": [1, 0, -1], "position": [1, -1]}
        return xr.DataArray(values, coords, ["token", "position", "prompt"]).to_dataset(
            name="logit_diff"
        )

    found = {"signals": grid(place=3, name=1), "early": grid(place=2.4, name=0)}
    found["early"].logit_diff.loc[{"token": -1}] -= 0.5  # IO's name is not another name
    longer = xr.DataArray(np.full((1, 5), 4.5), {"set": ["longer"]}, ["set", "prompt"])
    chapters = signals.PART.write(setting, found | {"longer": longer.to_dataset(name="logit_diff")})
    figures = {m.key: m.estimate.mean for m in chapters.figures}
    assert figures["signal_longer"] == pytest.approx(4.5)
    assert figures["located_position"] == pytest.approx(2.4 / 4)  # where the name is another
    assert figures["located_token"] == pytest.approx(0)
    assert figures["signal_-1_-1"] == pytest.approx(0)
    assert figures["signal_0_1"] == pytest.approx(3)


def test_each_path_into_early_heads_is_the_one_it_says(setting, collected):
    found = collected["early-heads"]
    receivers = {
        "values": Receivers("v", heads=setting.heads("S-inhibition"), positions=["S2"]),
        "inhibition_keys": Receivers("k", heads=setting.heads("S-inhibition"), positions=["S2"]),
        "keys": Receivers("k", heads=setting.heads("induction"), positions=["S1+1"]),
    }
    assert {name: one.attrs["receivers"] for name, one in found.items()} == {
        name: str(into) for name, into in receivers.items()
    }


def test_backups_are_told_by_the_name_that_they_look_at_most():
    heads = [(0, 0), (0, 1)]
    looks = {
        name: xr.DataArray([[[a, a], [b, b]]], {"layer": [0], "head": [0, 1]},
                           ["layer", "head", "prompt"])
        for name, a, b in (("IO", 0.5, 0.4), ("S1", 0.2, 0.1), ("S2", 0.1, 0.3))
    }  # fmt: skip
    assert backups._looks_at(looks, "IO", heads).agrees
    looks["S2"][0, 1] = 0.45
    claim = backups._looks_at(looks, "IO", heads)
    assert not claim.agrees and claim.ours == "IO S2"


def test_adversarial_figures_are_those_of_the_prompts_that_have_a_place(setting, chapters):
    figures = {m.key: m.estimate.mean for m in chapters["adversarial"].figures}
    marks = breaks(setting.task, setting.model.tokenizer)
    plain = setting.task.subset([i for i, mark in enumerate(marks) if mark is not None])
    found = interp.patching.measure(setting.model, plain, ("logit_diff", "probability"))
    assert figures["adversarial_plain_diff"] == pytest.approx(float(found.logit_diff.mean()))
    assert figures["adversarial_plain_io"] == pytest.approx(float(found.probability.mean()))


def test_reference_set_templates_and_orders_are_stated(setting, chapters):
    assert "12 prompts: 12 templates in the orders ABBA and BABA" in setting.about()
    for name in set(chapters) - {"random-tokens", "adversarial"}:
        assert setting.about() in chapters[name].section.text


def test_an_interrupted_run_is_taken_up(model, tmp_path, monkeypatch):
    names = ["signals", "adversarial", "mlps"]
    begun = []

    def watched(name, stop):
        def collect(setting):
            begun.append(name)
            if stop:
                raise KeyboardInterrupt
            return PARTS[name].collect(setting)

        return replace(PARTS[name], collect=collect)

    arguments = {"n": 6, "parts": names, "size": SMALL, "out": tmp_path}
    with monkeypatch.context() as patched:
        patched.setattr(parts, "PARTS", {n: watched(n, n == "mlps") for n in names})
        with pytest.raises(KeyboardInterrupt):
            ioi.run(model, **arguments)
    assert begun == names
    begun.clear()
    with monkeypatch.context() as patched:
        patched.setattr(parts, "PARTS", {n: watched(n, False) for n in names})
        report = ioi.run(model, **arguments)
    assert begun == ["mlps"]
    found = json.loads((tmp_path / "results.json").read_text())
    assert list(found["parts"]) == names
    assert found["parts"]["signals"]["figures"]["signal_token"]["unit"] == "logits"
    compared = {row["figure"] for row in found["paper"]}
    assert {"Effect of the position signal", "S above IO, IO twice"} <= compared
    headings = [section.heading for section in report.sections]
    places = [headings.index(PARTS[n].write.__globals__["HEADING"]) for n in names]
    assert all(a < b for a, b in pairwise(places))
    fresh = ioi.run(model, **arguments | {"out": None})
    assert [section.text for section in fresh.sections] == [s.text for s in report.sections]


def test_unknown_parts_are_refused_before_work(model):
    with pytest.raises(ValueError, match="unknown part 'signal'.*signals"):
        ioi.run(model, n=4, parts=["signal"])


def test_prompts_of_the_derivation_are_balanced(setting):
    task = ioi_task(setting.model.tokenizer, 60)
    task = task.subset(sorted(range(60), key=lambda i: task.group[i]))
    counts = Counter(task.group)
    assert Counter(derivation.balanced(task, 25).group).most_common(1)[0][1] == 1
    assert Counter(derivation.balanced(task, len(counts) + 1).group).keys() == counts.keys()
    assert derivation.balanced(task, 100).clean == task.clean


def test_a_derivation_that_is_done_is_not_done_again(setting):
    done = {"nodes": xr.Dataset()}
    assert derivation.PART.collect(replace(setting, derivation=done)) is done


def test_a_derived_circuit_that_keeps_too_little_gives_way_to_pruning(monkeypatch):
    mini = interp.load("mini")
    task = ioi_task(mini.tokenizer, 6)
    known = {}

    def derived(model, task, *, smallest, nodes=None, ablation=None):
        known["nodes"] = nodes
        kept = 0.1 if nodes is None else 0.9
        members = () if nodes is None else tuple(Member(node, "other") for node in nodes)
        found = empty_derivation(Circuit("mini", members))
        names = ("logit_diff", "top1", "probability")
        both = [[1.0] * 6, [kept] * 6]
        alone = xr.Dataset({name: (("run", "prompt"), both) for name in names})
        alone = alone.assign_coords(run=["full", "circuit"])
        about = {"json": found.to_json(), "prompts": 6}
        return {"derivation": xr.Dataset(attrs=about), "alone": alone}

    monkeypatch.setattr(ioi_circuit, "derived", derived)
    node = Node(Head(4, 0), "END")
    monkeypatch.setattr(ioi_circuit, "prune_heads", lambda *args, **options: [node])
    circuit, found = ioi_circuit.find_circuit(mini, task, threshold=0.02)
    assert known["nodes"] == [node] and circuit.nodes == (node,)
    assert derivation.derivation_of(found).circuit == circuit
    assert "pruned" in circuit.source and "does not do the task alone" in circuit.source


def empty_derivation(circuit):
    """A derivation of a circuit, with no numbers worth looking at."""
    names = [str(member) for member in circuit.heads]
    zeros = xr.DataArray(np.zeros((len(names), 6)), {"node": names}, ["node", "prompt"])
    nodes = zeros.to_dataset(name="logit_diff").assign_coords(
        metric=["logit_diff"], q_value=(("metric", "node"), np.ones((1, len(names)))),
        found_by=("node", np.array(["logit_diff"] * len(names), dtype=str)),
    )  # fmt: skip
    effects = xr.Dataset({"logit_diff": (("link", "prompt"), np.zeros((0, 6)))})
    behavior = zeros.to_dataset(name="copy")
    return Derivation(
        circuit, effects.assign_coords(link=np.array([], dtype=str)), nodes, behavior, 3, 0.1, 0.05
    )
