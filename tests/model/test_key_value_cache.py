"""A cache has the tokens of a run in all layers or in none."""

from contextlib import suppress

import pytest
import torch

from interp.model import KeyValueCache
from tests.helpers import random_model

TOKENS = torch.randint(0, 50, (2, 9), generator=torch.Generator().manual_seed(2))


def filled(model):
    past = KeyValueCache()
    model(TOKENS[:, :4], past=past)
    return past


def fail(x, hook):
    raise KeyboardInterrupt


RUNS = {
    "stops before a layer": lambda m, new, past: m(new, past=past, stop_at_layer=2),
    "stops at once": lambda m, new, past: m(new, past=past, stop_at_layer=0),
    "starts at a layer": lambda m, new, past: m(
        torch.zeros(2, new.shape[1], 32), past=past, start_at_layer=1
    ),
    **{
        f"fails at {name}": lambda m, new, past, name=name: m.run_with_hooks(
            new, past=past, fwd_hooks=[(name, fail)]
        )
        for name in (
            "hook_embed",
            "blocks.1.attn.hook_v",
            "blocks.2.hook_mlp_out",
            "ln_final.hook_scale",
        )
    },
    "has tokens outside the vocabulary": lambda m, new, past: m(new + 50, past=past),
    "asks for another return type": lambda m, new, past: m(new, past=past, return_type="x"),
}


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
@pytest.mark.parametrize("n_past", [0, 4])
def test_a_run_that_does_not_go_through_leaves_the_cache(run, n_past):
    model = random_model()
    past = filled(model) if n_past else KeyValueCache()
    with suppress(KeyboardInterrupt, ValueError):
        run(model, TOKENS[:, n_past : n_past + 2], past)
    assert past.length == n_past
    logits = model(TOKENS[:, n_past:], past=past)
    torch.testing.assert_close(logits, model(TOKENS)[:, n_past:])
    assert past.length == 9


def test_a_run_that_stops_early_sees_the_past():
    model, past = random_model(), filled(random_model())
    resid = model(TOKENS[:, 4:], past=past, stop_at_layer=2)
    torch.testing.assert_close(resid, model(TOKENS, stop_at_layer=2)[:, 4:])


@pytest.mark.parametrize(
    "asked", [{"stop_at_layer": 3}, {"return_type": None}, {"return_type": "both"}]
)
def test_a_run_through_all_layers_counts_whatever_it_returns(asked):
    model, past = random_model(), filled(random_model())
    model(TOKENS[:, 4:6], past=past, **asked)
    assert past.length == 6


def test_the_loss_with_padding_and_a_past():
    model, past = random_model(), KeyValueCache()
    mask = torch.ones_like(TOKENS)
    mask[0, :3] = 0
    model(TOKENS[:, :4], mask[:, :4], past=past)
    loss = model(TOKENS[:, 4:], mask, past=past, return_type="loss")
    log_probs = model(TOKENS, mask)[:, 4:-1].log_softmax(-1)
    expected = -log_probs.gather(-1, TOKENS[:, 5:, None]).mean()
    torch.testing.assert_close(loss, expected)


def test_a_cache_of_another_model_or_batch_is_refused():
    past = filled(random_model())
    with pytest.raises(ValueError, match="holds 2 prompts and the input has 1"):
        random_model()(TOKENS[:1, 4:], past=past)
    with pytest.raises(ValueError, match="3 layers of 4 heads of width 8; this one has 2 of 4"):
        random_model(n_layers=2)(TOKENS[:, 4:], past=past)
    assert past.length == 4
