"""Does the circuit do the task? Figures with the noise of the reference, and the verdict."""

import numpy as np
import pytest
import xarray as xr

import interp
from interp.circuits import (
    Circuit,
    Member,
    does_the_task,
    faithfulness,
    fraction_kept,
    run_mean,
)
from interp.parts import Node, as_head
from interp.runs.stand_ins import FewPromptsWarning
from interp.statistics import Estimate, estimate_mean, estimate_ratio, widened
from interp.tasks.sampler import without_blocks


@pytest.fixture(scope="module")
def mini():
    """The bundled model."""
    return interp.load("mini")


def circuit_of(model, *nodes):
    """A circuit of heads such as ("4.0", "END")."""
    members = tuple(Member(Node(as_head(head), role), "other") for head, role in nodes)
    return Circuit(model.name, members, "given", (), model.fingerprint(), "ioi")


def result(top1, probability, difference, n=100, spread=0.01):
    """Faithfulness with given means of the circuit; the whole model has 1, 0.9 and 4."""
    noise = np.linspace(-spread, spread, n)
    found = {}
    for name, full, circuit in (
        ("logit_diff", 4.0, difference),
        ("probability", 0.9, probability),
        ("top1", 1.0, top1),
    ):
        found[name] = (("run", "prompt"), np.stack([full + noise, circuit + noise]))
    return xr.Dataset(found, coords={"run": ["full", "circuit"]})


@pytest.mark.parametrize(
    ("figures", "answer", "words"),
    [
        ((0.95, 0.8, 3.9), "yes", "its top token in 95.0% of prompts"),
        ((0.005, 0.005, 3.64), "no", "only puts the answer above the foil: it keeps 91%"),
        ((0.1, 0.1, 0.2), "no", "No: the answer is its top token in 10.0%"),
        ((0.9, 0.1, 3.9), "no", "only puts the answer above the foil"),
        ((0.5, 0.8, 3.9), "cannot be told", "Cannot be told from these prompts"),
    ],
)
def test_the_verdict(figures, answer, words):
    verdict = does_the_task(result(*figures))
    assert verdict.answer == answer and words in str(verdict)


def test_a_model_that_does_not_do_the_task():
    found = result(0.0, 0.01, 0.1)
    found["top1"] = found.top1 * 0
    verdict = does_the_task(found)
    assert verdict.answer == "no" and "the whole model does not do it either" in str(verdict)


def test_the_verdict_needs_more_than_the_difference():
    with pytest.raises(ValueError, match=r"lacks top1: pass metrics=interp\.metrics\.BEHAVIOR"):
        does_the_task(result(1, 1, 1).drop_vars("top1"))
    with pytest.raises(ValueError, match="least must be between 0 and 1"):
        does_the_task(result(1, 1, 1), least=1.0)
    with pytest.raises(ValueError, match="no run 'left'"):
        run_mean(result(1, 1, 1), "left")


def test_the_reference_widens_the_interval_of_the_circuit_alone(mini):
    task = interp.tasks.ioi(mini.tokenizer, n=12, seed=0)
    circuit = circuit_of(mini, ("4.0", "END"), ("4.1", "END"))
    found = faithfulness(mini, task, circuit, metrics=["logit_diff", "top1"])
    plain = faithfulness(mini, task, circuit, metrics=["logit_diff", "top1"], blocks=0)
    xr.testing.assert_allclose(found.logit_diff, plain.logit_diff)
    assert found.without_block.sizes == {"metric": 2, "block": 10}
    assert plain.without_block.sizes == {"metric": 2, "block": 0}
    wide, narrow = (run_mean(one, "circuit", "logit_diff") for one in (found, plain))
    assert narrow == estimate_mean(plain.logit_diff.sel(run="circuit"))
    assert wide.low < narrow.low and wide.high > narrow.high and wide.mean == narrow.mean
    assert run_mean(found, "full") == run_mean(plain, "full")
    kept = fraction_kept(found, "logit_diff")
    alone = estimate_ratio(*(found.logit_diff.sel(run=run) for run in ("circuit", "full")))
    assert kept.low < alone.low and kept.high > alone.high
    by_hand = faithfulness(
        mini, task, circuit, reference=without_blocks(task.reference)[3], blocks=0
    )
    block = float(found.without_block.sel(metric="logit_diff")[3])
    assert float(by_hand.logit_diff.sel(run="circuit").mean()) == pytest.approx(block, abs=1e-5)


def test_the_papers_reference_is_the_task_itself(mini):
    task = interp.tasks.ioi(mini.tokenizer, n=60, seed=0)
    circuit = circuit_of(mini, ("4.0", "END"))
    own, given = (
        faithfulness(mini, task, circuit, reference=one, blocks=0).logit_diff
        for one in ("own", task)
    )
    xr.testing.assert_allclose(own, given, atol=1e-5)
    sample = faithfulness(mini, task, circuit, blocks=0).logit_diff
    assert float(abs(own - sample).max()) > 1e-2
    assert "reference 500 prompts of ioi" in sample.attrs["ablation"]
    assert "reference" not in own.attrs["ablation"]


@pytest.mark.parametrize("blocks", [1, -1, 2.0, True])
def test_blocks_that_no_jackknife_can_use(mini, blocks):
    task = interp.tasks.ioi(mini.tokenizer, n=12, seed=0)
    with pytest.raises((ValueError, TypeError), match=r"blocks|violates"):
        faithfulness(mini, task, circuit_of(mini), blocks=blocks)


def test_an_interval_over_two_samples_covers():
    """Of a mean over prompts less one over a reference: 19 of 20 with both, fewer with one."""
    rng = np.random.default_rng(0)
    with_both = without = 0
    for _ in range(400):
        prompts, reference = rng.normal(size=40), rng.normal(size=60)
        mean = estimate_mean(prompts - reference.mean())
        parts = [np.delete(reference, slice(i, None, 10)).mean() for i in range(10)]
        both = widened(mean, [prompts.mean() - part for part in parts])
        with_both += both.low <= 0 <= both.high
        without += mean.low <= 0 <= mean.high
    assert 370 <= with_both <= 392 and without < 350


def test_no_replicates_leave_the_interval_as_it_is():
    assert widened(Estimate(1.0, 0.5, 1.5), []) == Estimate(1.0, 0.5, 1.5)
    with pytest.raises(ValueError, match="two replicates or more, all finite"):
        widened(Estimate(1.0, 0.5, 1.5), [1.0])


def test_faithfulness_does_not_depend_on_the_number_of_prompts(mini):
    """Means of a reference of its own: a few prompts and many agree within their intervals."""
    keep = [
        (f"{i}.{h}", role) for role in ("S1+1", "S2", "END") for i in range(5) for h in range(4)
    ]
    circuit = circuit_of(mini, *keep)
    kept, own = [], []
    for n, seed in ((20, 1), (100, 2), (400, 3)):
        task = interp.tasks.ioi(mini.tokenizer, n=n, seed=seed)
        kept.append(fraction_kept(faithfulness(mini, task, circuit)))
        if n == 20:
            with pytest.warns(FewPromptsWarning):
                own.append(fraction_kept(faithfulness(mini, task, circuit, reference="own")))
    for one in kept:
        for other in kept:
            assert one.low <= other.high
    many = kept[-1]
    assert abs(own[0].mean - many.mean) > abs(kept[0].mean - many.mean)
