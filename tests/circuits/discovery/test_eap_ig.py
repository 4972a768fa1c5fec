"""EAP-IG: against the twin's gradients on the way, and complete at the input."""

import numpy as np
import pytest

from interp.circuits.discovery import eap, eap_ig_activations, eap_ig_inputs
from interp.patching import measure
from tests.circuits.discovery.helpers import matrix, small
from tests.helpers import unchecked
from tests.naive import edges as naive
from tests.naive import patching


def on_the_way(model, task, i, name, alpha):
    clean, corrupted = patching.one_prompt(task, i, "noising")
    ends = [patching.activations(model, tokens)[name].detach() for tokens in (corrupted, clean)]
    change = (1 - alpha) * (ends[0] - ends[1])
    return [(name, lambda value, hook: value + change)]


@pytest.mark.parametrize(
    ("rule", "points"), [("middle", [0.25, 0.75]), ("left", [0.0, 0.5]), ("right", [0.5, 1.0])]
)
def test_inputs_are_the_twin(rule, points):
    model, task = small()
    found = eap_ig_inputs(model, task, steps=2, rule=rule)
    for i in range(len(task)):
        each = [
            naive.attribution(model, task, i, hooks=on_the_way(model, task, i, "hook_embed", alpha))
            for alpha in points
        ]
        expected = np.mean([matrix(found.graph, one) for one in each], 0)
        np.testing.assert_allclose(found.by_prompt()[:, i], expected, atol=1e-5)


def test_activations_are_the_twin():
    model, task = small()
    found = eap_ig_activations(model, task, steps=2)
    names = ["hook_embed"]
    for layer in range(model.config.n_layers):
        names += [f"blocks.{layer}.attn.hook_z", f"blocks.{layer}.hook_mlp_out"]
    each = [
        naive.attribution(model, task, 1, hooks=on_the_way(model, task, 1, name, alpha))
        for name in names
        for alpha in (0.25, 0.75)
    ]
    expected = np.mean([matrix(found.graph, one) for one in each], 0)
    np.testing.assert_allclose(found.by_prompt()[:, 1], expected, atol=1e-5)


def test_edges_out_of_the_input_add_up_to_the_whole_effect():
    model, task = small()
    scores = eap_ig_inputs(model, task, steps=30)
    total = (
        measure(model, task)["logit_diff"] - measure(model, task, side="corrupted")["logit_diff"]
    )
    found = scores.by_prompt()[scores.graph.sender == 0].sum(0)
    np.testing.assert_allclose(found, total, atol=5e-3)
    once = eap(model, task).by_prompt()[scores.graph.sender == 0].sum(0)
    assert np.abs(once - total).max() > 0.05  # one gradient does not


def test_one_step_at_the_right_end_is_eap():
    model, task = small()
    one = eap_ig_inputs(model, task, steps=1, rule="right").by_prompt()
    np.testing.assert_allclose(one, eap(model, task).by_prompt(), atol=1e-6)


def test_what_does_not_fit_is_refused():
    model, task = small()
    with pytest.raises(ValueError, match="number of points, from 1"):
        eap_ig_inputs(model, task, steps=0)
    with unchecked():
        with pytest.raises(ValueError, match="expected a rule among"):
            eap_ig_activations(model, task, rule="simpson")
        with pytest.raises(ValueError, match="use eap_ig_activations"):
            eap_ig_inputs(model, task, ablation="mean")
