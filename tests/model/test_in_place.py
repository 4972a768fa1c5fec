"""An edit in place in a hook is the same as returning an edited copy, wherever the hook is."""

import copy
from contextlib import nullcontext

import pytest
import torch

from interp.model import KeyValueCache
from tests.helpers import random_model

MODEL = random_model(n_layers=2)
POINTS = tuple(MODEL.hook_dict)
TOKENS = torch.randint(0, 50, (2, 7), generator=torch.Generator().manual_seed(3))
GRAD = pytest.mark.parametrize("grad", [True, False], ids=["gradients", "no gradients"])


def part(x):
    """Some of an activation: one head where there are heads, one feature elsewhere; never all."""
    if x.ndim == 4 and x.shape[1] == 4:  # b h q k
        return x[:, 1, 1:]
    return x[:, :, 1] if x.ndim == 4 else x[:, 1:, :1]


def in_place(x, hook):
    x = x.view(-1).view(x.shape)  # as hooks may do that reshape what they see
    part(x).mul_(0.5)
    part(x).add_(torch.linspace(0.25, 1, part(x).shape[-1]))


def returned(x, hook):
    in_place(x, hook)
    return x


def copied(x, hook):
    return returned(x.clone(memory_format=torch.contiguous_format), hook)


def everything(grad, model=MODEL, **hooks):
    """The logits, all activations but the per-head ones and, if asked for, all gradients."""
    model.zero_grad()
    with model.hooks(**hooks), nullcontext() if grad else torch.no_grad():
        logits, cache = model.run_with_cache(TOKENS)
        if grad:
            logits.log_softmax(-1)[..., 3].sum().backward()
    found = {"logits": logits.detach(), **cache}
    if grad:
        found |= {name: p.grad.clone() for name, p in model.named_parameters()}
    return found


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name].nan_to_num(), other[name].nan_to_num()), name


@GRAD
@pytest.mark.parametrize("name", POINTS)
def test_an_edit_in_place_is_an_edited_copy(name, grad):
    expected = everything(grad, fwd_hooks=[(name, copied)])
    assert_same(everything(grad, fwd_hooks=[(name, in_place)]), expected)
    assert_same(everything(grad, fwd_hooks=[(name, returned)]), expected)
    # with nothing cached, where less is computed step by step
    plain, *edited = (
        MODEL.run_with_hooks(TOKENS, fwd_hooks=[(name, edit)])
        for edit in (copied, in_place, returned)
    )
    assert all(torch.equal(logits, plain) for logits in edited)
    assert (plain - MODEL(TOKENS)).abs().max() > 1e-3


@GRAD
@pytest.mark.parametrize("name", POINTS)
def test_hooks_of_torch_may_edit_in_place_too(name, grad):
    model = copy.deepcopy(MODEL)
    point = model.hook_dict[name]
    expected = everything(grad, model, fwd_hooks=[(name, copied)])
    model.add_hook(name, lambda x, hook: None)  # the point must be asked for, to run at all
    handle = point.register_forward_hook(lambda module, args, x: in_place(x, None))
    assert_same(everything(grad, model), expected)
    handle.remove()
    point.register_forward_pre_hook(lambda module, args: in_place(args[0], None))
    assert_same(everything(grad, model), expected)


@pytest.mark.parametrize("name", POINTS)
def test_an_edit_of_a_gradient_in_place_is_an_edited_copy(name):
    expected = everything(True, bwd_hooks=[(name, copied)])
    assert_same(everything(True, bwd_hooks=[(name, in_place)]), expected)
    unchanged = everything(True)
    torch.testing.assert_close(expected["logits"], unchanged["logits"])
    assert any((expected[key] - unchanged[key]).abs().max() > 1e-3 for key in expected)
    forward_too = {"fwd_hooks": [(name, in_place)], "bwd_hooks": [(name, in_place)]}
    both = {"fwd_hooks": [(name, copied)], "bwd_hooks": [(name, copied)]}
    assert_same(everything(True, **forward_too), everything(True, **both))


@GRAD
@pytest.mark.parametrize("name", POINTS)
def test_what_an_earlier_hook_kept_stays(name, grad):
    """An earlier point's, and an earlier hook's of the same point, whoever kept it."""
    expected = {}

    def see(x, hook):
        expected[hook.name] = x.clone()

    everything(grad, fwd_hooks=[(lambda _: True, see), (name, copied)])
    kept = {}
    cache, caching, _ = MODEL.get_caching_hooks(lambda _: True)
    keeping = [(lambda _: True, lambda x, hook: kept.update({hook.name: x}))]
    everything(grad, fwd_hooks=[*caching, *keeping, (name, in_place)])
    assert_same(kept, expected)
    assert_same(cache, expected)


@pytest.mark.parametrize("name", POINTS)
def test_gradients_kept_by_an_earlier_hook_stay(name):
    expected, kept = {}, {}

    def see(g, hook):
        expected[hook.name] = g.clone()

    cheap = [key for key in POINTS if not key.endswith(("result", "_input"))]
    chosen = {name, *cheap}
    everything(True, bwd_hooks=[(chosen.__contains__, see), (name, copied)])
    keeping = [(chosen.__contains__, lambda g, hook: kept.update({hook.name: g}))]
    everything(True, bwd_hooks=[*keeping, (name, in_place)])
    assert_same(kept, expected)


def test_an_edit_goes_into_the_keys_and_values_that_are_kept():
    caches = []
    for edit in (in_place, copied):
        past = KeyValueCache()
        with MODEL.hooks([("blocks.1.attn.hook_k", edit), ("blocks.1.attn.hook_v", edit)]):
            MODEL(TOKENS[:, :4], past=past)
        caches.append(MODEL(TOKENS[:, 4:], past=past))
    assert torch.equal(*caches)
    assert not torch.equal(caches[0], MODEL(TOKENS)[:, 4:])


def test_without_hooks_nothing_is_copied(monkeypatch):
    model = random_model()
    copies = []
    clone = torch.Tensor.clone
    monkeypatch.setattr(torch.Tensor, "clone", lambda *a, **k: copies.append(1) or clone(*a, **k))
    model(TOKENS)
    model.run_with_cache(TOKENS, names_filter=lambda _: True)  # which only reads
    assert not copies
    with model.hooks([("blocks.1.hook_resid_mid", lambda x, hook: None)]):
        model(TOKENS)
    assert len(copies) == 1


def test_handles_and_listings_show_the_users_own_function():
    model = random_model()
    model.add_hook("hook_embed", in_place)
    (handle,) = model.list_hooks()["hook_embed"]
    assert handle.user_hook is in_place
    assert "in_place" in next(iter(model.hook_embed._forward_hooks.values())).__name__
