"""Metrics as they are given: functions of any kind, names, and what the divergence is from."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from interp import metrics
from interp.parts import Logits, Node, Port
from interp.patching import (
    Ablation,
    NodePaths,
    Receivers,
    Selection,
    ablate,
    attribution_patch,
    measure,
    patch,
    path_patch,
    screen,
)
from tests.helpers import apart, make_runs_small, random_model, random_task, unaligned, with_sets


@pytest.fixture(autouse=True)
def _small_runs(monkeypatch):
    make_runs_small(monkeypatch)


def token(logits, some, which):
    return logits[:, which]


class Top:
    """A metric that is an object."""

    def __call__(self, logits, some):
        return logits.max(-1).values


def kl_divergence(logits, some):
    return logits[:, 0]


def node_paths(model, task, given, **options):
    paths = NodePaths(model, task, metrics=given, **options)
    return paths.receive(paths.send(["0.0@END", "m0@END"]), [Port(Node(Logits(), "END"))])


SEVERAL = {
    "measure": measure,
    "patch": lambda m, t, given, **o: patch(m, t, "z", metrics=given, **o),
    "ablate": lambda m, t, given, **o: ablate(m, t, "z", metrics=given, **o),
    "sets": lambda m, t, given, **o: ablate(m, t, {"a": ["0.0", "m1"]}, metrics=given, **o),
    "path_patch": lambda m, t, given, **o: path_patch(m, t, metrics=given, **o),
    "NodePaths": node_paths,
}
ONE = {
    "attribution_patch": lambda m, t, given, **o: attribution_patch(m, t, "z", metric=given, **o),
    "screen": lambda m, t, given, **o: screen(m, t, "z", metric=given, top=3, **o),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_two_functions_of_one_name_are_both_kept_or_refused(name):
    model, task, call = random_model(), random_task(3), SEVERAL[name]
    first, second = (lambda logits, some: logits[:, 0]), (lambda logits, some: logits[:, 1])
    with pytest.raises(ValueError, match="two metrics are called '<lambda>'; pass a mapping"):
        call(model, task, [first, second])
    both = call(model, task, {"first": first, "second": second})
    alone = call(model, task, first), call(model, task, second)
    np.testing.assert_array_equal(both["first"], alone[0]["<lambda>"])
    np.testing.assert_array_equal(both["second"], alone[1]["<lambda>"])
    assert np.abs(np.asarray(both["first"]) - np.asarray(both["second"])).max() > 1e-3


@pytest.mark.parametrize("name", [*SEVERAL, *ONE])
def test_a_function_with_the_name_of_a_built_in_does_not_take_its_place(name):
    model, task, call = random_model(), random_task(3), (SEVERAL | ONE)[name]
    with pytest.raises(ValueError, match="kl_divergence"):
        call(model, task, kl_divergence)
    found = call(model, task, {"mine": kl_divergence})
    assert "mine" in found and "kl_divergence" not in found


@pytest.mark.parametrize("name", [*SEVERAL, *ONE])
def test_partial_functions_and_objects_are_functions(name):
    model, task, call = random_model(), random_task(3), (SEVERAL | ONE)[name]
    found = call(model, task, partial(token, which=3))
    same = call(model, task, {"token": lambda logits, some: logits[:, 3]})
    np.testing.assert_array_equal(found["token"], same["token"])
    assert "Top" in call(model, task, Top())
    if name in SEVERAL:
        parts = {str(i): partial(token, which=i) for i in range(3)}
        assert list(map(str, call(model, task, parts)))[:3] == ["0", "1", "2"]
        with pytest.raises(ValueError, match="two metrics are called 'token'"):
            call(model, task, [partial(token, which=1), partial(token, which=2)])


@pytest.mark.parametrize("name", [*SEVERAL, *ONE])
def test_the_metric_by_default_is_the_tasks_own(name):
    model, call = random_model(), (SEVERAL | ONE)[name]
    task = replace(with_sets(), metric="probability_diff")
    found, asked = call(model, task, None), call(model, task, "probability_diff")
    assert next(iter(found)) == "probability_diff"
    np.testing.assert_array_equal(found["probability_diff"], asked["probability_diff"])


GONE = Ablation(["0.1", "m1@END", "m2.3"], value="group mean")
BY_ROLE = {"positions": ["END", "S2"]}
MEASURED = {
    "measure": lambda m, t, given, gone: measure(m, t, given, ablation=gone),
    "the other side": lambda m, t, given, gone: measure(
        m, t, given, side="corrupted", ablation=gone
    ),
    "patch": lambda m, t, given, gone: patch(
        m, t, "z", Selection(**BY_ROLE), metrics=given, ablation=gone
    ),
    "noising": lambda m, t, given, gone: patch(
        m, t, "mlp_out", Selection(["layer"], **BY_ROLE), direction="noising", metrics=given,
        ablation=gone,
    ),
    "ablate": lambda m, t, given, gone: ablate(m, t, "z", metrics=given, ablation=gone),
    "sets": lambda m, t, given, gone: ablate(m, t, {"a": ["0.0"]}, metrics=given, ablation=gone),
    "path_patch": lambda m, t, given, gone: path_patch(
        m, t, Receivers("q", heads=["2.0"]), Selection(**BY_ROLE), metrics=given, ablation=gone
    ),
    "NodePaths": lambda m, t, given, gone: NodePaths(m, t, metrics=given, ablation=gone).base,
}  # fmt: skip


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("gone", [None, GONE], ids=["whole", "ablated"])
@pytest.mark.parametrize("name", MEASURED)
def test_the_divergence_is_from_the_whole_models_clean_run(name, gone, aligned):
    model, task = random_model(), apart(random_task(5))
    task = task if aligned else unaligned(task)
    gone = gone and (gone if aligned else Ablation(["0.1@S2", "m1@END"], value="group mean"))
    with torch.no_grad():
        whole = model(task.clean_tokens, task.attention_mask)
    whole = whole[torch.arange(len(task)), task.positions["END"]]
    of_prompt = {tuple(row.tolist()): i for i, row in enumerate(task.clean_tokens)}

    def own(logits, some):
        prompt = [of_prompt[tuple(row.tolist()[: task.clean_tokens.shape[1]])]
                  for row in some.clean_tokens]  # fmt: skip
        return metrics.kl_divergence(logits, whole[prompt])

    found = MEASURED[name](model, task, ["kl_divergence", own], gone)
    np.testing.assert_allclose(found["kl_divergence"], found["own"], atol=2e-5)
    for side in ("clean", "corrupted"):
        if f"own_{side}" in found:
            ours, theirs = found[f"kl_divergence_{side}"], found[f"own_{side}"]
            np.testing.assert_allclose(ours, theirs, atol=2e-5)
    moved = name not in ("measure", "NodePaths") or gone is not None
    assert (float(np.nanmax(np.asarray(found["own"]))) > 1e-4) == moved


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("logits", ValueError, "expected a metric among"),
        (["logit_diff", "logit_diff"], ValueError, "chosen twice"),
        ([], ValueError, "no metric is chosen"),
        ({}, ValueError, "no metric is chosen"),
        (lambda logits, some: logits, ValueError, "one number per run"),
        (lambda logits, some: 3.0, ValueError, "one number per run.*float"),
        (lambda logits: logits[:, 0], ValueError, "logits"),
        ("cutoff_sharpness", ValueError, "needs sets of answers"),
    ],
)
@pytest.mark.parametrize("name", SEVERAL)
def test_what_is_no_metric_is_refused(name, given, error, message):
    with pytest.raises(error, match=message):
        SEVERAL[name](random_model(), random_task(3), given)
