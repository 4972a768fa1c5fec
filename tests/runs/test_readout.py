"""What is read off runs; of sets of answers and foils, by every technique."""

from dataclasses import replace

import pytest
import torch

from interp import metrics, process_weights
from interp.patching import ablate, attribution_patch, measure, patch, path_patch, run_task
from interp.runs.readout import answer_direction, logit_diff_of
from interp.runs.sides import run_side
from tests.helpers import random_model, random_task, with_sets


def biased_model(seed=0):
    """A model whose unembedding has a bias, as processed weights do."""
    model = random_model(seed)
    model.unembed.b_U += torch.randn(50, generator=torch.Generator().manual_seed(seed))
    return model


NAMED = ("logit_diff", "probability", "probability_diff", "cutoff_sharpness", "accuracy", "rank")


def by_hand(name):
    """A metric as a function of all logits, spelled out token by token."""

    def metric(logits, task):
        found = []
        for row, answers, foils in zip(logits, task.answer, task.foil, strict=True):
            right, wrong = answers[answers >= 0], foils[foils >= 0]
            p = row.softmax(-1)
            found.append(
                {
                    "logit_diff": row[right].mean() - row[wrong].mean(),
                    "probability": p[right].sum(),
                    "probability_diff": p[right].sum() - p[wrong].sum(),
                    "cutoff_sharpness": p[right[0]] - p[wrong[1]],
                    "accuracy": (row[right].max() > row[wrong].max()).float(),
                    "rank": (row > row[right].max()).sum().float(),
                }[name]
            )
        return torch.stack(found)

    metric.__name__ = f"own_{name}"
    return metric


@pytest.mark.parametrize("name", NAMED)
def test_every_technique_reads_the_set(name):
    model, task = biased_model(), with_sets()
    both = [name, by_hand(name)]
    results = [
        measure(model, task, both),
        patch(model, task, "z", metrics=both),
        path_patch(model, task, metrics=both),
        ablate(model, task, metrics=both),
    ]
    for result in results:
        assert float(abs(result[name] - result[f"own_{name}"]).max()) < 2e-5
        assert float(result[name].std()) > 1e-3


@pytest.mark.parametrize("name", ["logit_diff", "probability_diff", "cutoff_sharpness"])
def test_gradients_through_the_set(name):
    model, task = biased_model(), with_sets()
    ours = attribution_patch(model, task, "z", metric=name)
    theirs = attribution_patch(model, task, "z", metric=by_hand(name))
    assert float(abs(ours[name] - theirs[f"own_{name}"]).max()) < 1e-4


@pytest.mark.parametrize("task", [random_task(), with_sets()])
def test_processed_weights_give_the_same_differences(task):
    """In every technique, though their unembedding has a bias that the model's own has not."""
    model = random_model()
    processed = process_weights(model)
    assert float(processed.b_U.abs().max()) > 0.1
    for call in (
        measure,
        lambda m, t: patch(m, t, "z"),
        lambda m, t: attribution_patch(m, t, "z"),
        path_patch,
        ablate,
    ):
        ours, theirs = call(model, task).logit_diff, call(processed, task).logit_diff
        assert float(abs(ours - theirs).max()) < 5e-5


def test_a_set_of_one_is_the_token():
    model, task = biased_model(), random_task()
    alone = replace(task, answer=task.answer[:, None], foil=task.foil[:, None])
    names = [name for name in NAMED if name != "cutoff_sharpness"]
    one, other = (measure(model, some, names) for some in (task, alone))
    for name in names:
        assert float(abs(one[name] - other[name]).max()) < 1e-6


def test_the_direction_of_a_set_is_the_mean_of_its_columns():
    model, task = biased_model(), with_sets()
    direction, bias = answer_direction(model, task.answer, task.foil)
    for i in range(len(task)):
        right = task.answer[i][task.answer[i] >= 0]
        expected = model.W_U[:, right].mean(-1) - model.W_U[:, task.foil[i]].mean(-1)
        torch.testing.assert_close(direction[i], expected, atol=1e-6, rtol=1e-5)
        offset = model.b_U[right].mean() - model.b_U[task.foil[i]].mean()
        torch.testing.assert_close(bias[i], offset, atol=1e-6, rtol=1e-5)


def test_logit_difference_off_the_stream():
    model, task = biased_model(), with_sets()
    with torch.inference_mode():
        stream, _ = run_side(model, task, torch.arange(len(task)), "clean")
        found = logit_diff_of(model, stream, task.answer, task.foil)
    expected = metrics.logit_diff(run_task(model, task), task.answer, task.foil)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-5)


def test_a_cutoff_is_asked_for_before_any_work():
    def work(steps):
        raise RuntimeError("work began")

    model, task = biased_model(), random_task()
    with pytest.raises(ValueError, match="needs sets of answers and foils in order"):
        patch(model, task, "z", metrics="cutoff_sharpness", progress=work)


@pytest.mark.parametrize("candidates", [None, torch.arange(3, 40, 3)])
def test_answer_and_foil_are_read_against_the_other_candidates(candidates):
    """By all logits, token by token; what lies between them is the logit difference."""
    model, task = random_model(), replace(with_sets(), candidates=candidates)

    def by_hand(tokens):
        def metric(logits, task):
            found = []
            for row, own, answers, foils in zip(
                logits, getattr(task, tokens), task.answer, task.foil, strict=True
            ):
                among = range(len(row)) if candidates is None else candidates.tolist()
                named = {*answers.tolist(), *foils.tolist()}
                others = [token for token in among if token not in named]
                found.append(row[own[own >= 0]].mean() - row[others].mean())
            return torch.stack(found)

        return metric

    own = {"own_answer": by_hand("answer"), "own_foil": by_hand("foil")}
    built_in = ("logit_diff", "answer_logit", "foil_logit", "top1", "accuracy")
    found = patch(model, task, "z", metrics={**own, **dict.fromkeys(built_in)})
    assert float(abs(found.answer_logit - found.own_answer).max()) < 2e-5
    assert float(abs(found.foil_logit - found.own_foil).max()) < 2e-5
    assert float(abs(found.answer_logit - found.foil_logit - found.logit_diff).max()) < 2e-5
    assert bool((found.top1 <= found.accuracy).all())
    assert float(abs(found.answer_logit).mean()) > 0.1


def test_top1_is_above_all_tokens():
    model, task = random_model(), random_task()
    logits = run_task(model, task)
    first = replace(task, answer=logits.argmax(-1), foil=logits.argmin(-1))
    assert measure(model, first, "top1").top1.values.tolist() == [1] * len(task)
    second = replace(first, answer=logits.topk(2).indices[:, 1])
    assert measure(model, second, ["top1", "accuracy"]).sum().to_array().values.tolist() == [
        0,
        len(task),
    ]
