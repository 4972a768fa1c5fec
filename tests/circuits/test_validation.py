"""Completeness and minimality against whole runs, and the paper's own sets by hand.

The file is longer than most: the three share their circuit and their twins.
"""

from functools import partial

import numpy as np
import pytest
import torch
import xarray as xr

from interp.circuits import (
    Circuit,
    Member,
    class_sets,
    completeness,
    faithfulness,
    gap,
    greedy_sets,
    minimality,
    minimality_sets,
    only,
    prune_heads,
    published_circuit,
    random_sets,
)
from interp.circuits.published import IOI_EXCEPTIONS, IOI_IMPORTANCE
from interp.metrics import probability
from interp.patching import measure
from interp.results import Question
from tests.helpers import apart, random_model, random_task
from tests.naive import ioi as naive

OWN = Circuit(
    random_model().name,
    (
        Member("0.1@S2", "duplicate token"),
        Member("0.2@S2", "induction"),
        Member("1.0@END", "S-inhibition"),
        Member("1.2@END", "name mover"),
        Member("2.0@END", "name mover"),
        Member("2.3@END", "negative name mover"),
    ),
)


def nodes(members):
    return [(*member.part, member.role) for member in members]


@torch.inference_mode()
def both(model, task, gone):
    """F(M without K) and F(C without K), by whole runs."""
    left = [head for head in OWN.heads if head not in gone]
    return (
        naive.removed(model, task, nodes(gone)).mean().item(),
        naive.kept(model, task, nodes(left)).mean().item(),
    )


def end_probability(logits, task):
    return probability(logits, task.answer)


def test_classes_and_chance():
    sets = class_sets(OWN)
    assert list(sets) == ["none", *{h.kind: None for h in OWN.heads}]
    assert [h.label for h in sets["name mover"]] == ["1.2", "2.0"]
    drawn = random_sets(OWN, 400, seed=3)
    assert drawn == random_sets(OWN, 400, seed=3) != random_sets(OWN, 400, seed=4)
    counts = [sum(head in chosen for chosen in drawn.values()) for head in OWN.heads]
    assert all(150 < count < 250 for count in counts)
    assert drawn == random_sets(Circuit(OWN.model, OWN.members[::-1]), 400, seed=3)
    with pytest.raises(ValueError, match="a number of sets, from 0; got -1"):
        random_sets(OWN, -1)


def test_completeness_is_the_papers():
    model, task = random_model(), random_task()
    sets = {**class_sets(OWN), **random_sets(OWN, 4)}
    found = completeness(model, task, OWN, sets)
    assert found.logit_diff.dims == ("run", "set", "prompt")
    for name, gone in sets.items():
        full, circuit = both(model, task, gone)
        mean = found.logit_diff.sel(set=name).mean("prompt")
        assert float(mean.sel(run="full")) == pytest.approx(full, abs=1e-5)
        assert float(mean.sel(run="circuit")) == pytest.approx(circuit, abs=1e-5)
        assert float(gap(found).sel(set=name).mean()) == pytest.approx(circuit - full, abs=1e-5)
    alone = faithfulness(model, task, OWN)
    np.testing.assert_allclose(
        found.logit_diff.sel(set="none"), alone.logit_diff.transpose("run", "prompt"), atol=1e-5
    )


def test_every_metric_is_that_of_whole_runs():
    model, task = random_model(), random_task()
    chosen = ["probability", "kl_divergence", end_probability]
    alone = faithfulness(model, task, OWN, metrics=chosen)
    assert list(alone) == ["probability", "kl_divergence", "end_probability"]
    whole = measure(model, task, ["probability", "kl_divergence"])
    left = measure(model, task, ["probability", "kl_divergence"], ablation=only(model, OWN))
    for name in whole:
        np.testing.assert_array_equal(alone[name].sel(run="full"), whole[name])
        np.testing.assert_array_equal(alone[name].sel(run="circuit"), left[name])
        assert alone[name].attrs["unit"] == whole[name].attrs["unit"]
    np.testing.assert_allclose(alone["end_probability"], alone["probability"], atol=1e-6)
    assert abs(alone["kl_divergence"].sel(run="full")).max() < 1e-6
    sets = {"none": [], "K": ["2.0@END"]}
    found = completeness(model, task, OWN, sets, metrics=chosen)
    for name in alone:
        np.testing.assert_allclose(found[name].sel(set="none"), alone[name], atol=1e-5)
    np.testing.assert_array_equal(
        gap(found, "probability"),
        found["probability"].sel(run="circuit") - found["probability"].sel(run="full"),
    )


def test_the_divergence_is_from_the_whole_model():
    """That of the circuit, and of what is left of it, is from the whole model's clean run."""
    model, task = random_model(), random_task()

    @torch.inference_mode()
    def logits(ablation=None):
        from interp.patching import run_task

        return run_task(model, task, ablation=ablation).log_softmax(-1)

    whole, left = logits(), logits(only(model, [n for n in OWN.nodes if str(n) != "2.0@END"]))
    expected = (whole.exp() * (whole - left)).sum(-1)
    sets = {"K": ["2.0@END"]}
    found = completeness(model, task, OWN, sets, metrics="kl_divergence").kl_divergence
    np.testing.assert_allclose(found.sel(run="circuit", set="K"), expected, atol=1e-5)


@pytest.mark.parametrize("metric", ["logit_diff", "probability"])
def test_greedy_search_with_every_candidate_is_the_naive_one(metric):
    model, task = random_model(), random_task()
    found = greedy_sets(
        model, task, OWN, metrics=[metric, "rank"], runs=2, iterations=4, candidates=6
    )

    def apart(K):
        return abs(float(gap(completeness(model, task, OWN, {"K": K}, metrics=metric)).mean()))

    if metric == "logit_diff":
        assert apart(OWN.heads[:2]) == pytest.approx(
            abs(np.subtract(*both(model, task, OWN.heads[:2]))), abs=1e-5
        )
    taken, now = [], apart([])
    for _ in range(4):
        left = [head for head in OWN.heads if head not in taken]
        gaps = [apart([*taken, head]) for head in left]
        if max(gaps) <= now:
            break
        now = max(gaps)
        taken.append(left[int(np.argmax(gaps))])
    assert taken
    assert found == {"greedy 1": tuple(taken), "greedy 2": tuple(taken)}


def test_greedy_runs_draw_candidates_of_their_own():
    model, task = random_model(), random_task()
    found = greedy_sets(model, task, OWN, runs=8, iterations=1, candidates=1)
    assert len(set(found.values())) > 1
    with pytest.raises(ValueError, match="at least one run"):
        greedy_sets(model, task, OWN, runs=0)


def test_by_default_the_rest_of_the_class_is_what_is_gone():
    sets = minimality_sets(OWN)
    assert {name: [str(m) for m in K] for name, K in sets.items()} == {
        "0.1@S2": [], "0.2@S2": [], "1.0@END": [], "2.3@END": [],
        "1.2@END": ["2.0@END"], "2.0@END": ["1.2@END"],
    }  # fmt: skip
    paper = minimality_sets(published_circuit("ioi", "gpt2"))
    assert {m.label for m in paper["5.8@S2"]} == {"5.5", "5.9", "6.9"}  # not the paper's exception
    assert {m.label for m in paper["9.9@END"]} == {"9.6", "10.0"}


def test_the_papers_sets():
    papers = partial(minimality_sets, importance=IOI_IMPORTANCE, exceptions=IOI_EXCEPTIONS)
    sets = papers(published_circuit("ioi", "gpt2"))
    labels = {name: {h.label for h in heads} for name, heads in sets.items()}
    movers = ["9.9", "10.0", "9.6", "10.10", "10.6", "10.2", "10.1", "11.2", "9.7", "9.0", "11.9"]
    assert len(sets) == 26
    assert labels["9.9@END"] == set()
    assert labels["9.6@END"] == {"9.9", "10.0"}
    assert labels["9.7@END"] == set(movers[:8])
    assert labels["9.0@END"] == {*movers, "10.7", "11.10"} - {"9.0"}
    assert labels["11.9@END"] == {*movers, "10.7", "11.10"} - {"11.9"}
    assert labels["5.8@S2"] == labels["5.9@S2"] == {"10.7", "11.10"}
    assert labels["6.9@S2"] == {"5.5", "5.8", "5.9"}
    assert labels["2.2@S1+1"] == {"4.11"}
    assert [m.label for m in sets["10.10@END"]] == movers[:3]
    by_layer = minimality_sets(published_circuit("ioi", "gpt2"), importance=["11.2", (9, 9), "9.6"])
    assert {h.label for h in by_layer["11.2@END"]} == set()
    assert {h.label for h in by_layer["9.6@END"]} == {"11.2", "9.9"}
    with pytest.raises(ValueError, match="given twice"):
        minimality_sets(OWN, importance=["9.9", (9, 9)])
    with pytest.raises(ValueError, match="exception for 5.8 names the unknown class 'movers'"):
        minimality_sets(OWN, exceptions={"5.8": ["movers"]})


def test_minimality_is_the_papers():
    model, task = random_model(), random_task()
    sets = minimality_sets(OWN)
    result = minimality(model, task, OWN, sets)
    assert result.logit_diff.dims == ("run", "node", "prompt")
    means, change = result.logit_diff.mean("prompt"), gap(result).mean("prompt")
    for head in OWN.heads:
        name = f"{head.label}@{head.role}"
        _, inside = both(model, task, sets[name])
        _, outside = both(model, task, [*sets[name], head])
        assert float(means.sel(run="with_node", node=name)) == pytest.approx(inside, abs=1e-5)
        assert float(means.sel(run="without_node", node=name)) == pytest.approx(outside, abs=1e-5)
        assert float(change.sel(node=name)) == pytest.approx(outside - inside, abs=1e-5)
    two = minimality(model, task, OWN, sets, metrics=["probability", "logit_diff"])
    np.testing.assert_array_equal(two.logit_diff, result.logit_diff)
    assert gap(two).attrs["unit"] == "probability"


def test_nothing_depends_on_the_order_of_the_circuit():
    model, task = random_model(), random_task()
    other = Circuit(OWN.model, OWN.members[::-1])
    sets = {**class_sets(OWN), **random_sets(OWN, 3)}
    backwards = {name: K[::-1] for name, K in sets.items()}
    for run, K, again in (
        (faithfulness, (), ()),
        (completeness, (sets,), (backwards,)),
        (minimality, (minimality_sets(OWN),), (minimality_sets(other),)),
    ):
        xr.testing.assert_allclose(run(model, task, OWN, *K), run(model, task, other, *again))
    assert greedy_sets(model, task, OWN, runs=2) == greedy_sets(model, task, other, runs=2)


def test_a_circuit_of_another_model_is_refused():
    model, task = random_model(), random_task()
    named = Circuit("gpt2", OWN.members)
    trained = Circuit(OWN.model, OWN.members, weights=random_model(seed=1).fingerprint())
    for circuit, words in (
        (named, "belongs to the model 'gpt2'"),
        (trained, "model of the same name"),
    ):
        for call in (
            lambda c: faithfulness(model, task, c),
            lambda c: completeness(model, task, c, {"none": []}),
            lambda c: minimality(model, task, c, minimality_sets(c)),
            lambda c: greedy_sets(model, task, c),
            lambda c: only(model, c),
        ):
            with pytest.raises(ValueError, match=words):
                call(circuit)
            call(circuit.for_model(model))


def test_only_nodes_of_the_circuit_can_be_knocked_out():
    model, task = random_model(), random_task()
    with pytest.raises(ValueError, match=r"'K' has 0\.0@END, which the circuit does not have"):
        completeness(model, task, OWN, {"K": ["0.0@END"]})
    with pytest.raises(ValueError, match="no sets were given"):
        completeness(model, task, OWN, {})
    with pytest.raises(ValueError, match=r"0\.1 needs a role"):
        completeness(model, task, OWN, {"K": ["0.1"]})
    with pytest.raises(ValueError, match=r"node 0\.1@S2 is given twice"):
        completeness(model, task, OWN, {"K": ["0.1@S2", OWN.heads[0]]})
    with pytest.raises(ValueError, match=r"no node '0\.0@END'"):
        minimality(model, task, OWN, {"0.0@END": ()})
    with pytest.raises(ValueError, match=r"contains 0\.1@S2 itself"):
        minimality(model, task, OWN, {"0.1@S2": ["0.1@S2"]})


def test_what_is_left_of_a_circuit_is_what_is_left_of_its_nodes():
    model = random_model()
    left = only(model, OWN, positions=["END"])
    assert left == only(model, nodes(OWN.heads), positions=["END"])
    assert left == only(model, [str(member) for member in OWN.heads], positions=["END"])
    assert tuple(left.keep) == OWN.nodes and left.parts == "heads" and left.positions == ["END"]
    mlps = Circuit(OWN.model, (*OWN.members, Member("m1@END")))
    assert only(model, mlps, positions=["END"]) == left  # MLPs are left alone anyway
    with pytest.raises(ValueError, match="no Head 7.0"):
        only(model, ["7.0@END"])


@pytest.mark.parametrize("value", ["zero", "mean", "resample"])
def test_what_stands_in_can_be_chosen(value):
    model, task = random_model(), random_task()
    alone = faithfulness(model, task, OWN, value=value).logit_diff
    left = measure(model, task, ablation=only(model, OWN, value=value)).logit_diff
    np.testing.assert_array_equal(alone.sel(run="circuit"), left)
    usual = faithfulness(model, task, OWN).logit_diff
    assert float(abs(alone - usual).sel(run="circuit").max()) > 1e-3
    found = completeness(model, task, OWN, {"none": [], "K": ["0.1@S2"]}, value=value).logit_diff
    np.testing.assert_allclose(found.sel(set="none"), alone, atol=1e-5)
    rest = only(model, [node for node in OWN.nodes if str(node) != "0.1@S2"], value=value)
    gone = measure(model, task, ablation=rest).logit_diff
    np.testing.assert_allclose(found.sel(set="K", run="circuit"), gone, atol=1e-5)


def test_a_reference_of_its_own():
    model = random_model()
    task, other = apart(random_task()), apart(random_task(30, seed=5))
    for run in (
        lambda task, **more: faithfulness(model, task, OWN, **more),
        lambda task, **more: completeness(model, task, OWN, class_sets(OWN), **more),
        lambda task, **more: minimality(model, task, OWN, minimality_sets(OWN), **more),
    ):
        own, same = run(task), run(task, reference=task)
        np.testing.assert_allclose(own.logit_diff, same.logit_diff, atol=1e-5)
        assert float(abs(run(task, reference=other).logit_diff - own.logit_diff).max()) > 1e-3
    few = prune_heads(model, task, reference=other, threshold=0.3)
    assert few != prune_heads(model, task, threshold=0.3)


def test_a_gap_is_of_two_runs():
    result = xr.Dataset({"x": (("run", "prompt"), np.zeros((1, 3)))}, {"run": ["full"]})
    with pytest.raises(ValueError, match="a result with two runs"):
        gap(result)
    with pytest.raises(ValueError, match="a result with two runs"):
        gap(xr.Dataset({"x": ("prompt", np.zeros(3))}))
    model, task = random_model(), random_task()
    with pytest.raises(ValueError, match=r"no metric 'rank'; it has \['logit_diff'\]"):
        gap(faithfulness(model, task, OWN), "rank")


def test_results_carry_their_question():
    model, task = random_model(), random_task()
    sets = {"K": ["2.0@END"]}
    results = {
        "faithfulness": faithfulness(model, task, OWN, metrics=["probability", "logit_diff"]),
        "completeness": completeness(model, task, OWN, sets, value="mean"),
        "minimality": minimality(model, task, OWN, minimality_sets(OWN), reference=task),
    }
    for technique, result in results.items():
        for metric, array in result.items():
            asked = Question.of(array)
            assert (asked.technique, asked.metric) == (technique, metric)
            assert asked.model_fingerprint == model.fingerprint()
            assert asked.prompts == task.fingerprint
            assert all(str(node) in asked.ablation for node in OWN.nodes)
    other = Circuit(OWN.model, OWN.members[1:])
    asked = [Question.of(faithfulness(model, task, one).logit_diff) for one in (OWN, other)]
    assert asked[0].fingerprint != asked[1].fingerprint
    more = completeness(model, task, OWN, {"K": ["0.1@S2"]}, value="mean").logit_diff
    assert Question.of(more) != Question.of(results["completeness"].logit_diff)
