"""EAP: against autograd on plain hooks, and exact where everything is linear."""

import numpy as np
import pytest

import interp.circuits.discovery.common
from interp.circuits.discovery import clean_corrupted, eap, eap_ig_activations, exact_edges
from interp.parts import MLP
from interp.patching import attribution_patch, effect
from tests.circuits.discovery.helpers import linear, matrix, small
from tests.helpers import unchecked
from tests.naive import edges as naive


def twin(graph, model, task, **options):
    each = [naive.attribution(model, task, i, **options) for i in range(len(task))]
    return np.stack([matrix(graph, one) for one in each], -1)


@pytest.mark.parametrize("ablation", ["counterfactual", "zero", "mean", "group mean"])
def test_it_is_the_twin(ablation):
    model, task = small()
    found = eap(model, task, ablation=ablation)
    expected = twin(found.graph, model, task, ablation=ablation)
    np.testing.assert_allclose(found.by_prompt(), expected, atol=1e-5)
    assert np.abs(expected).max() > 0.1
    assert found.question().ablation == ablation


def test_the_corrupted_gradient_and_the_mean_of_both():
    model, task = small()
    found = {side: eap(model, task, gradient=side) for side in ("clean", "corrupted")}
    expected = twin(found["clean"].graph, model, task, side="corrupted")
    np.testing.assert_allclose(found["corrupted"].by_prompt(), expected, atol=1e-5)
    both = clean_corrupted(model, task).by_prompt()
    half = (found["clean"].by_prompt() + found["corrupted"].by_prompt()) / 2
    np.testing.assert_allclose(both, half, atol=1e-6)


def test_it_is_the_same_in_batches(monkeypatch):
    model, task = small()
    whole = eap(model, task, metrics=["probability", "logit_diff"])
    monkeypatch.setattr(interp.circuits.discovery.common, "MEMORY", 1)
    parts = eap(model, task, metrics=["probability", "logit_diff"])
    for metric in whole.metrics:
        np.testing.assert_allclose(parts.by_prompt(metric), whole.by_prompt(metric), atol=1e-6)
    alone = eap(model, task).by_prompt()
    np.testing.assert_allclose(whole.by_prompt("logit_diff"), alone, atol=1e-6)


def test_edges_out_of_a_part_add_up_to_attribution_patching():
    """All that reads a part together is the part's output itself."""
    model, task = small()
    scores = eap(model, task)
    patched = effect(attribution_patch(model, task, "mlp_out", direction="noising"))
    for layer in range(model.config.n_layers):
        own = scores.graph.sender == scores.graph.senders.index(MLP(layer))
        total = patched.sel(layer=layer).sum("position").values
        np.testing.assert_allclose(scores.by_prompt()[own].sum(0), -total, atol=1e-5)


def test_where_everything_is_linear_gradients_are_exact():
    model, task = linear()
    exact = exact_edges(model, task)
    assert np.abs(exact.mean()).max() > 1e-3
    for method in (eap, clean_corrupted, eap_ig_activations):
        np.testing.assert_allclose(method(model, task).mean(), exact.mean(), rtol=1e-4, atol=1e-6)


def test_lower_is_better_for_the_divergence():
    model, task = small()
    scores = eap(model, task, metrics=["foil_logit"], gradient="corrupted")
    exact = exact_edges(model, task, metrics=["foil_logit", "answer_logit", "logit_diff"])
    assert "helps" in scores.of().attrs["positive"]
    np.testing.assert_allclose(  # what raises the answer, and what lowers the foil
        exact.mean("logit_diff"), exact.mean("answer_logit") + exact.mean("foil_logit"), atol=1e-5
    )


def test_what_does_not_fit_is_refused():
    model, task = small()
    with pytest.raises(ValueError, match="jumps and has no gradient"):
        eap(model, task, metrics="rank")
    with pytest.raises(ValueError, match="its gradient there is zero"):
        eap(model, task, metrics="kl_divergence")
    with pytest.raises(ValueError, match="goes with ablation='counterfactual'"):
        eap(model, task, gradient="corrupted", ablation="zero")
    with unchecked():
        with pytest.raises(ValueError, match="expected gradient"):
            eap(model, task, gradient="both")
        with pytest.raises(ValueError, match="fits ablation='counterfactual' alone"):
            clean_corrupted(model, task, ablation="zero")
        with pytest.raises(TypeError, match="eap takes a HookedGPT2"):
            eap("gpt2", task)
