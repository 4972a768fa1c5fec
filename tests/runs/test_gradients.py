"""Runs that gradients are taken of: activations have them, weights do not."""

import pytest
import torch

from interp.runs.gradients import GradientRuns, differentiable
from interp.runs.pair import Setting
from interp.runs.readout import Readout
from tests.helpers import random_model, random_task


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
@pytest.mark.parametrize("fails", [False, True])
def test_weights_have_no_gradients_inside_and_are_as_they_were_after(mode, fails):
    model = random_model()
    model.W_pos.requires_grad_(False)
    before = {name: p.requires_grad for name, p in model.named_parameters()}
    assert len(set(before.values())) == 2
    try:
        with mode(), differentiable(model):
            assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
            assert not any(p.requires_grad for p in model.parameters())
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert {name: p.requires_grad for name, p in model.named_parameters()} == before


@pytest.mark.parametrize("site", ["resid_pre", "z", "mlp_post"])
def test_a_dropped_layer_passes_nothing_and_is_dropped_for_one_backward_alone(site):
    """Nothing of the first layers' units reaches the logits but by the layers that are left."""
    model, task = random_model(), random_task(3, (6,))
    keys = [(site, layer) for layer in range(3)]
    with differentiable(model):
        runs = GradientRuns(Setting(model, task, "clean", Readout(model, task, None), None), None)
        graph = runs.graph(torch.arange(3), 6, keys, drops=True)
        whole = graph.gradients(keys)
        for dropped in range(3):
            found = graph.gradients(keys, dropped=dropped)
            if site != "resid_pre":
                assert not found[dropped].any()
            for later in range(dropped + 1, 3):
                torch.testing.assert_close(found[later], whole[later])
            for earlier in range(dropped):
                assert (found[earlier] - whole[earlier]).abs().max() > 1e-4
        for again, first in zip(graph.gradients(keys), whole, strict=True):
            assert torch.equal(again, first)
