"""Ablation: every stand-in against its naive twin, as value and as sweep."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from interp.metrics import logit_diff
from interp.patching import (
    Ablation,
    Selection,
    ablate,
    effect,
    mean_effect,
    normalized,
    pairs,
    patch,
    run_task,
)
from tests.helpers import on_sample, random_model, random_task
from tests.naive import patching as naive

VALUES = ["zero", "mean", "group mean", "resample"]


def close(found, expected):
    expected = np.asarray(expected)
    assert np.shape(found) == expected.shape and expected.std() > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(np.abs(expected).max(), 1), rtol=0)


@pytest.mark.parametrize("value", VALUES)
@torch.inference_mode()
def test_heads_mlps_and_neurons_one_by_one(value):
    model, task = random_model(), random_task(5, (6, 4))
    heads = ablate(model, task, value=value)

    def twin(i, *part, positions=None):
        return naive.ablated(model, task, i, [part], value, positions)

    close(*on_sample(heads.logit_diff.values, (3, 4, 5), lambda n, h, i: twin(i, "z", n, h), 15))
    mlps = ablate(model, task, "mlp_out", Selection(over=("layer", "role")), value=value)

    def at_role(n, role, i):
        at = int(task.positions[("S2", "END")[role]][i])
        return twin(i, "mlp_out", n, None, positions=[at])

    close(*on_sample(mlps.logit_diff.values, (3, 2, 5), at_role))
    neurons = ablate(model, task, "mlp_post", Selection(neurons=[2, 40], layers=[1]), value=value)
    close(
        neurons.logit_diff.values,
        [
            [[naive.ablated(model, task, i, [("mlp_post", 1, u)], value) for i in range(5)]
             for u in (2, 40)]
        ],
    )  # fmt: skip
    whole = logit_diff(run_task(model, task), task.answer, task.foil)
    np.testing.assert_allclose(heads.logit_diff_clean, whole, atol=1e-5)


@pytest.mark.parametrize("value", VALUES)
@torch.inference_mode()
def test_sets_at_once_as_a_sweep_and_as_a_model(value):
    model, task = random_model(), random_task(5, (6, 4))
    sets = {"early": [(0, 0), (0, 3)], "across": [(0, 1), (2, 2)], "none": []}
    found = ablate(model, task, sets, Selection(positions=["S2", 3]), value=value)
    assert found.logit_diff.dims == ("set", "prompt")

    def positions(i):
        return sorted({int(task.positions["S2"][i]), 3})

    for name, heads in sets.items():
        parts = [("z", *head) for head in heads]
        expected = [naive.ablated(model, task, i, parts, value, positions(i)) for i in range(5)]
        close(found.logit_diff.sel(set=name), expected)
        if not heads:
            continue
        gone = Ablation(heads, value=value, positions=["S2", 3])
        close(logit_diff(run_task(model, task, ablation=gone), task.answer, task.foil), expected)


@torch.inference_mode()
def test_kept_positions_are_the_complement_of_removed_ones():
    model, task = random_model(), random_task(4, (5, 5))
    removed = ablate(model, task, selection=Selection(positions=[0, 1, 2, 3]))
    kept = ablate(model, task, selection=Selection(except_positions=["END"]))
    np.testing.assert_array_equal(removed.logit_diff, kept.logit_diff)
    assert (effect(removed).sel(layer=2) == 0).all()  # the last layer matters at END alone


@torch.inference_mode()
def test_a_circuit_is_everything_else_ablated():
    model, task = random_model(), random_task()
    for keep in ([], [(0, 1, "S2"), (1, 0, "END"), (2, 3, "END"), (2, 3, "S2")]):
        others = Ablation("heads", keep=keep, value="group mean")
        found = logit_diff(run_task(model, task, ablation=others), task.answer, task.foil)
        close(found, naive.circuit_logit_diff(model, task, keep))


@pytest.mark.parametrize("value", VALUES)
@torch.inference_mode()
def test_prompts_shorter_than_the_task_in_a_run_of_their_own(value):
    model, task = random_model(), random_task(4, (9, 9, 9, 5))
    gone = Ablation(["1.1", "m0"], value=value)
    found = logit_diff(run_task(model, task, ablation=gone), task.answer, task.foil)
    parts = [("z", 1, 1), ("mlp_out", 0, None)]
    close(found, [naive.ablated(model, task, i, parts, value) for i in range(4)])


@torch.inference_mode()
def test_resampling_a_head_is_noising_it():
    model, task = random_model(), random_task()
    np.testing.assert_array_equal(
        ablate(model, task, value="resample").logit_diff,
        patch(model, task, "z", direction="noising").logit_diff,
    )


@torch.inference_mode()
def test_a_reference_of_ones_own():
    model, task = random_model(), random_task(4, (6, 4))
    other = random_task(6, (6, 4), seed=9)
    for value in ("mean", "group mean"):
        found = ablate(
            model, task, selection=Selection(layers=[0]), value=value, reference=other
        ).logit_diff
        mixed = naive.stand_in(model, other, 1, "blocks.0.attn.hook_z", value)  # of length 4
        tokens, _ = naive.one_prompt(task, 1, "noising")
        for head in range(4):
            hook = naive.replace("blocks.0.attn.hook_z", mixed, naive.index_of("z", head, None))
            expected = naive.difference(model, tokens, task, 1, [hook])
            assert float(found.sel(layer=0, head=head)[1]) == pytest.approx(expected, abs=2e-5)


@torch.inference_mode()
def test_backups_are_what_matters_once_others_are_gone():
    """Head 0.1 is made a copy of 0.0, and the next layer hears either as well as both."""
    model, task = random_model(), random_task(6, (6, 5))
    gone = Ablation([(0, 0)])
    alone = mean_effect(ablate(model, task, selection=Selection(heads=[1], layers=[0])))
    after = mean_effect(
        ablate(model, task, selection=Selection(heads=[1], layers=[0]), ablation=gone)
    )
    both = ablate(model, task, {"both": [(0, 0), (0, 1)]})
    one = ablate(model, task, {"first": [(0, 0)]})
    total = float(mean_effect(both)["mean"][0]) - float(mean_effect(one)["mean"][0])
    assert float(after["mean"][0, 0]) == pytest.approx(total, abs=1e-5)
    assert float(alone["mean"][0, 0]) != pytest.approx(total, abs=1e-3)


def test_an_ablation_in_words_tells_all_of_it():
    other = random_task(2, seed=5)
    some = Ablation(["0.1", "m1@END", "m0.3"], value="zero", positions=["S2", 0])
    assert some.describe() == "zero of 0.1 m1@END m0.3; at S2 0"
    circuit = Ablation("heads", keep=["0.1@S2", "2.3"], reference=other)
    assert circuit.describe() == (
        f"mean of heads; but 0.1@S2 2.3; reference 2 prompts of random {other.fingerprint}"
    )
    assert Ablation("heads", value="resample").describe() == "resample of heads"


def test_pairs_are_every_two():
    assert list(pairs([(0, 1), (2, 3), (4, 5)])) == ["0.1 2.3", "0.1 4.5", "2.3 4.5"]
    assert pairs(["0.1"]) == {}


@torch.inference_mode()
def test_effects_and_normalized_effects_by_hand():
    model, task = random_model(), random_task(6, (6, 4))
    result = patch(model, task, "resid_pre")
    ld, clean, corrupted = (
        result[name].values for name in ("logit_diff", "logit_diff_clean", "logit_diff_corrupted")
    )
    np.testing.assert_allclose(effect(result).values, ld - corrupted, rtol=1e-6)
    ours, mean = normalized(result), mean_effect(result)
    for layer in range(3):
        for pos in range(6):
            there = np.isfinite(ld[layer, pos])
            over, under = ld[layer, pos] - corrupted, clean - corrupted
            ratio = over[there].mean() / under[there].mean()
            assert float(ours["mean"][layer, pos]) == pytest.approx(ratio, rel=1e-5, abs=1e-6)
            expected = over[there].mean()
            assert float(mean["mean"][layer, pos]) == pytest.approx(expected, rel=1e-5, abs=1e-6)
            assert float(mean.low[layer, pos]) <= expected + 1e-6
            assert expected - 1e-6 <= float(mean.high[layer, pos])
    whole = normalized(patch(model, task, "resid_pre", Selection(over=(), layers=[0])))
    assert float(whole["mean"]) == pytest.approx(1, abs=1e-5)
    with pytest.raises(ValueError, match="no metric 'rank'"):
        effect(result, "rank")
    with pytest.raises(ValueError, match="clean and the corrupted run"):
        normalized(ablate(model, task))


@pytest.mark.parametrize(
    ("ablation", "message"),
    [
        (Ablation([(3, 0)]), "no Head 3.0"),
        (Ablation([(0, 4)]), "no Head 0.4"),
        (Ablation(["m0.64"]), "no Neuron m0.64"),
        (Ablation(["m5"]), "no MLP m5"),
        (Ablation([(0, 0)], positions=["S7"]), "no role 'S7'"),
        (Ablation("heads", keep=[(9, 0, "END")]), "no Head 9.0"),
        (Ablation("heads", keep=[(0, 0, "S7")]), "no role 'S7'"),
        (Ablation([(0, 0)], value="group mean", reference=random_task(2, (3, 3))), "group"),
        (Ablation([(0, 0)], value="resample", reference=random_task(2)), "resampling"),
    ],
)
def test_what_cannot_be_ablated_is_refused(ablation, message):
    with pytest.raises(ValueError, match=message):
        run_task(random_model(), random_task(), ablation=ablation)


@pytest.mark.parametrize(
    ("ablation", "message"),
    [
        (Ablation([(3, 0)]), "no Head 3.0"),
        (Ablation([(0, 0)], positions=["S7"]), "no role 'S7'"),
        (Ablation([(0, 0)], positions=[30]), "position 30 is in no prompt"),
        (Ablation(["m0@S7"]), "no role 'S7'"),
        (Ablation("heads", keep=[(9, 0, "END")]), "no Head 9.0"),
        (Ablation("heads", keep=[(0, 0, "S7")]), "no role 'S7'"),
    ],
)
def test_what_there_is_not_is_told_without_a_run(ablation, message):
    with pytest.raises(ValueError, match=message):
        ablation.require(random_model(), random_task())
    Ablation(["0.0", "m1@S2"], positions=["END", 0]).require(random_model(), random_task())


def test_sets_and_sites_that_are_not_are_refused():
    model, task = random_model(), random_task()
    with pytest.raises(ValueError, match="no sets"):
        ablate(model, task, {})
    with pytest.raises(ValueError, match="no Head 8.0"):
        ablate(model, task, {"x": [(8, 0)]})
    with pytest.raises(ValueError, match="pattern"):
        ablate(model, task, "pattern")


@torch.inference_mode()
def test_run_task_is_the_model_at_end_on_both_sides():
    model, task = random_model(), random_task()
    for side in ("clean", "corrupted"):
        whole = model(task.tokens(side), task.attention_mask)
        expected = whole[torch.arange(7), task.positions["END"]]
        found = run_task(model, task, side=side)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_results_say_what_they_are():
    task = replace(random_task(), name="random")
    found = ablate(random_model(), task, metrics=["logit_diff", "kl_divergence"])
    assert found.logit_diff.attrs["unit"] == "logits"
    assert found.kl_divergence.attrs["unit"] == "nats"
    assert found.logit_diff.attrs["model"] == "untrained"
    assert found.logit_diff.attrs["task"] == "random"
    assert found.attrs["value"] == "mean"
