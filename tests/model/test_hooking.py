"""Whose hooks are on the model, and the refusal of techniques that would not see them."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize, prune

from interp.model.user_hooks import require_no_hooks
from tests.helpers import random_model

Z = "blocks.1.attn.hook_z"


def nothing(*args, **kwargs):
    return None


def entered(context):
    context.__enter__()
    return context


class Double(nn.Module):
    def forward(self, weight):
        return 2 * weight


WAYS = {
    "add_hook": (lambda m: m.add_hook(Z, nothing), f"{Z} (forward hook)"),
    "backward": (lambda m: m.add_hook(Z, nothing, dir="bwd"), f"{Z} (backward hook)"),
    "permanent": (lambda m: m.add_perma_hook(Z, nothing), f"{Z} (permanent forward hook)"),
    "on the point": (lambda m: m.hook_dict[Z].add_hook(nothing), f"{Z} (forward hook)"),
    "hooks": (lambda m: entered(m.hooks([(Z, nothing)])), f"{Z} (forward hook)"),
    "caching": (lambda m: m.add_caching_hooks(Z), f"{Z} (forward hook)"),
    "left by run_with_hooks": (
        lambda m: m.run_with_hooks(
            torch.tensor([[1]]), fwd_hooks=[(Z, nothing)], reset_hooks_end=False
        ),
        f"{Z} (forward hook)",
    ),
    "torch on a hook point": (
        lambda m: m.hook_dict[Z].register_forward_hook(nothing),
        f"{Z} (forward hook of torch)",
    ),
    "torch forward": (
        lambda m: m.blocks[0].mlp.register_forward_hook(nothing),
        "blocks.0.mlp (forward hook of torch)",
    ),
    "torch forward pre": (
        lambda m: m.blocks[0].register_forward_pre_hook(nothing),
        "blocks.0 (forward pre-hook of torch)",
    ),
    "torch backward": (
        lambda m: m.ln_final.register_full_backward_hook(nothing),
        "ln_final (backward hook of torch)",
    ),
    "torch backward pre": (
        lambda m: m.ln_final.register_full_backward_pre_hook(nothing),
        "ln_final (backward pre-hook of torch)",
    ),
    "torch on the model": (
        lambda m: m.register_forward_hook(nothing),
        "the model (forward hook of torch)",
    ),
    "pruned": (
        lambda m: prune.l1_unstructured(m.blocks[0].mlp, "W_in", 0.5),
        "blocks.0.mlp (forward pre-hook of torch)",
    ),
    "replaced forward": (
        lambda m: setattr(m.blocks[0].mlp, "forward", nothing),
        "blocks.0.mlp (replaced forward)",
    ),
    "parametrized": (
        lambda m: parametrize.register_parametrization(m.blocks[2].mlp, "W_out", Double()),
        "blocks.2.mlp (parametrized W_out)",
    ),
}


@pytest.mark.parametrize(("add", "place"), WAYS.values(), ids=WAYS)
def test_every_kind_of_hook_is_found_and_refused(add, place):
    model = random_model()
    assert model.user_hooks() == []
    require_no_hooks(model, "patch")
    kept_alive = add(model)
    assert place in model.user_hooks()
    with pytest.raises(ValueError, match="patch needs a model without hooks") as error:
        require_no_hooks(model, "patch")
    assert place in str(error.value)
    assert "reset_hooks" in str(error.value)
    del kept_alive


def test_reset_hooks_does_what_the_error_says():
    model = random_model()
    for name in ("add_hook", "permanent", "backward"):
        WAYS[name][0](model)
    model.reset_hooks(including_permanent=True)
    require_no_hooks(model, "patch")


def test_a_techniques_own_hooks_do_not_count_but_the_users_inside_do():
    model = random_model()
    with model.own_hooks([(Z, nothing)]):
        assert model.user_hooks() == []
        with model.hooks([("hook_embed", nothing)]):
            assert model.user_hooks() == ["hook_embed (forward hook)"]
        model.add_perma_hook(Z, nothing)
        assert model.user_hooks() == [f"{Z} (permanent forward hook)"]
    with model.hooks([("hook_embed", nothing)]):  # at the level that the technique had
        assert "hook_embed (forward hook)" in model.user_hooks()


def test_many_hooks_are_counted_not_listed():
    model = random_model()
    model.add_hook(lambda name: True, nothing)
    with pytest.raises(ValueError, match="and [0-9]+ more"):
        require_no_hooks(model, "measure")
