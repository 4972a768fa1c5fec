"""Pruning against a naive twin."""

from functools import cache

import pytest
import torch

from interp.circuits import Derivation, derive, derive_pruned, known_circuit, only, prune_heads
from interp.metrics import probability
from interp.parts import Head, Node
from interp.patching import measure
from tests.helpers import random_model, random_task
from tests.naive import patching as naive


def naive_prune(model, task, threshold, everywhere=True):
    """The same search with whole runs of every prompt, and no shortcut but the order of trials."""
    everything = [(i, h, r) for i in range(2) for h in range(2) for r in task.positions]
    keep = everything
    current = float(naive.circuit_logit_diff(model, task, keep, everywhere).mean())
    whole = naive.logit_diff(model(task.clean_tokens, task.attention_mask), task).mean()
    for layer in (1, 0):
        for head in (0, 1):
            for drop in [[*task.positions], ["S2"], ["END"]]:
                trial = [e for e in keep if e[:2] != (layer, head) or e[2] not in drop]
                value = float(naive.circuit_logit_diff(model, task, trial, everywhere).mean())
                if abs(value - current) < threshold * abs(whole):
                    keep, current = trial, value
                    if len(drop) > 1:
                        break
    return nodes(keep)


def nodes(found):
    return sorted(Node(Head(layer, head), role) for layer, head, role in found)


@cache
def small():
    return random_model(n_layers=2, n_heads=2), random_task(4)


@pytest.mark.parametrize("threshold", [0.02, 0.1, 0.3])
@torch.inference_mode()
def test_pruning_is_the_naive_search(threshold):
    model, task = small()
    found = prune_heads(model, task, threshold=threshold)
    assert found == naive_prune(model, task, threshold)
    assert 0 < len(found) < 8


@torch.inference_mode()
def test_at_the_roles_alone_the_others_are_left_to_do_what_they_do():
    model, task = small()
    found = prune_heads(model, task, threshold=0.4, positions=list(task.positions))
    assert found == naive_prune(model, task, 0.4, everywhere=False)
    assert found != prune_heads(model, task, threshold=0.4)
    with pytest.raises(ValueError, match="role 'IO'"):
        prune_heads(model, task, positions=["IO"])


def test_extreme_thresholds():
    model, task = small()
    kept = prune_heads(model, task, threshold=1e-9)
    everything = {(i, h, r) for i in (0, 1) for h in (0, 1) for r in ("S2", "END")}
    # After the last layer only END is read.
    assert kept == nodes(everything - {(1, 0, "S2"), (1, 1, "S2")})
    assert prune_heads(model, task, threshold=1e9) == []


@cache
def every_mean(model, task, some):
    """Means of all metrics of these tests with only some nodes left, or (None) with all."""
    left = None if some is None else only(model, some)
    found = measure(model, task, ["logit_diff", "probability", of_answer], ablation=left)
    return {name: float(found[name].mean()) for name in found}


def search(model, task, names, threshold):
    """The same search by `measure`, for any metrics."""
    keep = [Node(Head(i, h), r) for i in (0, 1) for h in (0, 1) for r in task.positions]

    def means(some):
        every = every_mean(model, task, None if some is None else tuple(some))
        return {name: every[name] for name in names}

    whole = means(None)
    current = means(keep)
    for layer in (1, 0):
        for head in (0, 1):
            for drop in [[*task.positions], ["S2"], ["END"]]:
                part = Head(layer, head)
                left = [n for n in keep if n.part != part or n.role not in drop]
                now = means(left)
                if all(
                    abs(now[name] - current[name]) < threshold * abs(whole[name]) for name in now
                ):
                    keep, current = left, now
                    if len(drop) > 1:
                        break
    return sorted(keep)


def of_answer(logits, task):
    return probability(logits, task.answer)


@pytest.mark.parametrize("chosen", ["probability", of_answer, ["logit_diff", "probability"]])
def test_an_output_is_kept_if_it_matters_to_one_of_the_metrics(chosen):
    model, task = small()
    found = {t: prune_heads(model, task, metrics=chosen, threshold=t) for t in (0.05, 0.1, 0.3)}
    names = chosen if isinstance(chosen, list) else [getattr(chosen, "__name__", chosen)]
    assert found == {t: search(model, task, names, t) for t in found}
    other = "probability" if isinstance(chosen, list) else "logit_diff"
    alone = {t: prune_heads(model, task, metrics=other, threshold=t) for t in found}
    assert found != alone == {t: search(model, task, [other], t) for t in found}
    if other == "logit_diff":
        assert alone == {t: prune_heads(model, task, threshold=t) for t in found}


def test_a_metric_of_which_nothing_is_a_fraction():
    model, task = small()
    with pytest.raises(ValueError, match="mean of kl_divergence .* choose a metric that is not 0"):
        prune_heads(model, task, metrics="kl_divergence")


def test_pruning_leaves_no_hooks_and_refuses_those_of_others():
    model, task = small()
    prune_heads(model, task)
    assert model.list_hooks() == {}
    with (
        model.hooks([("blocks.1.attn.hook_z", lambda z, hook: 0 * z)]),
        pytest.raises(ValueError, match="prune_heads needs a model without hooks"),
    ):
        prune_heads(model, task)


@pytest.mark.parametrize("threshold", [0.0, -0.1, float("nan")])
def test_a_threshold_is_positive(threshold):
    with pytest.raises(ValueError, match="positive"):
        prune_heads(random_model(), random_task(), threshold=threshold)


def test_pruned_and_derived_is_one_after_the_other():
    known = known_circuit("ioi", n=12)
    model, task = known.model, known.task
    found = derive_pruned(model, task, threshold=0.02)
    keep = prune_heads(model, task, threshold=0.02)
    by_hand = derive(model, task, nodes=keep, ablation=only(model, keep))
    assert isinstance(found, Derivation)
    assert found.circuit.members == by_hand.circuit.members
    assert found.circuit.links == by_hand.circuit.links
    assert "ablated at all positions, threshold 2.0% of the mean logit_diff" in found.circuit.source
    assert {one.part for one in known.circuit.heads} <= {one.part for one in found.circuit.heads}


def test_where_too_little_is_left_only_the_roles_are_pruned():
    model, task = small()
    often = derive_pruned(model, task, threshold=0.4, least=-9.0)
    assert "ablated at all positions" in often.circuit.source
    assert list(often.circuit.nodes) == prune_heads(model, task, threshold=0.4)
    never = derive_pruned(model, task, threshold=0.4, least=9.0)
    assert "ablated at the task's roles alone" in never.circuit.source
    roles = list(task.positions)
    assert list(never.circuit.nodes) == prune_heads(model, task, threshold=0.4, positions=roles)
