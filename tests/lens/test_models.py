"""Lenses and head scores on every kind of model: half and double precision, hooked, broken."""

import copy

import numpy as np
import pytest
import torch

from interp.heads import (
    attention_between,
    attention_patterns,
    attention_projection,
    attention_scores,
    composition_scores,
    copy_scores,
    eigenvalue_scores,
    head_table,
    next_token_projection,
    ov_directions,
    ov_matrices,
    ov_ranks,
    position_similarity,
    position_spectrum,
    qk_directions,
    random_composition,
)
from interp.lens import TunedLens, compare_lenses, direct_logit_attribution, logit_lens, tune
from interp.parts import Head
from interp.patching import Ablation
from tests.helpers import random_model, random_task

TOKENS = torch.tensor([4, 9, 2, 30, 4, 9])
ROLES = {"roles": ["S2"]}


def batch(step):
    return torch.randint(0, 50, (4, 6), generator=torch.Generator().manual_seed(step))


RUNS = {
    "logit_lens": lambda model: logit_lens(model, random_task()),
    "logit_lens of a text": lambda model: logit_lens(model, TOKENS, site="z", answer=3, foil=4),
    "direct_logit_attribution": lambda model: direct_logit_attribution(model, random_task()),
    "... by head": lambda model: direct_logit_attribution(model, random_task(), by="head"),
    "... by neuron": lambda model: direct_logit_attribution(model, random_task(), by="neuron"),
    "... by source": lambda model: direct_logit_attribution(model, TOKENS, by="source", answer=3),
    "compare_lenses": lambda model: compare_lenses(model, batch(0), TunedLens.identity(model)),
    "tune": lambda model: tune(model, batch, steps=2),
    "attention_patterns": lambda model: attention_patterns(model, random_task()),
    "attention_patterns, ablated": lambda model: attention_patterns(
        model, TOKENS, ablation=Ablation(["0.1"], value="zero")
    ),
    "attention_between": lambda model: attention_between(model, random_task()),
    "attention_scores": lambda model: attention_scores(model, batch(0)),
    "attention_projection": lambda model: attention_projection(model, random_task(), **ROLES),
    "next_token_projection": lambda model: next_token_projection(model, TOKENS),
    "copy_scores": lambda model: copy_scores(model, random_task(), **ROLES),
    "ov_ranks": lambda model: ov_ranks(model, tokens=[1, 2]),
    "head_table": lambda model: head_table(model, random_task(), **ROLES),
}
WEIGHTS = {
    "eigenvalue_scores": eigenvalue_scores,
    "composition_scores": composition_scores,
    "random_composition": random_composition,
    "position_similarity": position_similarity,
    "position_spectrum": position_spectrum,
    "ov_matrices": lambda model: ov_matrices(model).S,
    "ov_directions": lambda model: ov_directions(model, "1.2"),
    "qk_directions": lambda model: qk_directions(model, "1.2"),
}
NUMBERS = {name: f for name, f in (RUNS | WEIGHTS).items() if "directions" not in name}
RANKED = ("top_id", "top_token", "rank", "copy", "anti_copy", "anti_rank")  # steps, not slopes


def numbers(found):
    """Arrays by name."""
    if isinstance(found, TunedLens):
        return {"weight": found.weight.numpy(), "bias": found.bias.numpy()}
    if isinstance(found, torch.Tensor):
        return {"it": found.detach().numpy()}
    arrays = found.data_vars if hasattr(found, "data_vars") else {"it": found}
    return {
        str(name): array.values
        for name, array in arrays.items()
        if not str(name).startswith(RANKED) and array.dtype.kind == "f"
    }


@pytest.mark.parametrize("compute", NUMBERS.values(), ids=NUMBERS)
def test_a_model_in_float64_is_measured_in_float64(compute):
    single, double = numbers(compute(random_model())), numbers(compute(random_model().double()))
    for name, values in double.items():
        assert values.dtype == np.float64, name
        np.testing.assert_allclose(single[name], values, atol=2e-3, rtol=2e-3, err_msg=name)


@pytest.mark.parametrize("compute", NUMBERS.values(), ids=NUMBERS)
def test_the_default_dtype_changes_nothing(compute):
    model = random_model()
    before = numbers(compute(model))
    torch.set_default_dtype(torch.float64)
    try:
        after = numbers(compute(model))
    finally:
        torch.set_default_dtype(torch.float32)
    for name, values in before.items():
        assert after[name].dtype == values.dtype, name
        np.testing.assert_allclose(after[name], values, atol=1e-5, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("compute", NUMBERS.values(), ids=NUMBERS)
def test_a_model_in_half_precision_is_measured_in_float32(compute, dtype):
    half = random_model().to(dtype)
    rounded = copy.deepcopy(half).float()
    expected = numbers(compute(rounded))
    for name, values in numbers(compute(half)).items():
        if name in ("correlation", "weight", "bias") or name.endswith(("_low", "_high")):
            continue  # what a rounded run is too rough for
        scale = np.nanmax(np.abs(expected[name])) or 1.0
        assert values.dtype == np.float32, name
        assert np.nanmax(np.abs(values - expected[name])) < 0.1 * scale, name


def test_the_scale_of_a_long_stream_is_held_in_half_precision():
    """Its variance is above the largest float16."""
    model = random_model()
    with torch.no_grad():
        model.pos_embed.W_pos *= 3000
    half = copy.deepcopy(model).to(torch.float16)
    assert float(half.pos_embed.W_pos[:6].detach().float().var()) > 65504
    for read in (
        lambda model: logit_lens(model, TOKENS, site="attn_out").top_probability.isel(top=0),
        lambda model: direct_logit_attribution(model, TOKENS, answer=3).sel(component="pos_embed"),
    ):
        np.testing.assert_allclose(read(half), read(model), rtol=0.05)


@pytest.mark.parametrize("name", [name for name in RUNS if name != "attention_patterns"])
def test_hooks_of_the_caller_are_refused(name):
    model = random_model()
    with (
        model.hooks(fwd_hooks=[("blocks.1.attn.hook_z", lambda z, hook: 0 * z)]),
        pytest.raises(ValueError, match="needs a model without hooks"),
    ):
        RUNS[name](model)
    model.add_hook("blocks.0.hook_mlp_out", lambda x, hook: 0 * x, is_permanent=True)
    with pytest.raises(ValueError, match="needs a model without hooks"):
        RUNS[name](model)


@pytest.mark.parametrize(
    "point", ["blocks.0.hook_q_input", "blocks.0.attn.hook_v", "blocks.1.attn.hook_pattern"]
)
def test_the_patterns_of_one_text_obey_hooks(point):
    model = random_model()
    whole = attention_patterns(model, TOKENS)
    with model.hooks(fwd_hooks=[(point, lambda x, hook: x.flip(-1))]):
        found = attention_patterns(model, TOKENS)
        _, cache = model.run_with_cache(TOKENS[None])
        with pytest.raises(ValueError, match="needs a model without hooks"):
            attention_patterns(model, random_task())
    for layer in range(3):
        np.testing.assert_allclose(found[layer], cache["pattern", layer][0].detach(), atol=1e-6)
    changed = abs(found.value_norm - whole.value_norm).max() + abs(found - whole).max()
    assert float(changed) > 1e-3


@pytest.mark.parametrize("compute", (RUNS | WEIGHTS).values(), ids=RUNS | WEIGHTS)
def test_weights_that_are_not_numbers_are_refused(compute):
    model = random_model()
    with torch.no_grad():
        model.embed.W_E[0, 0] = model.pos_embed.W_pos[1, 3] = model.blocks[1].attn.W_O[2] = (
            torch.nan
        )
    with pytest.raises(ValueError, match="not finite"):
        compute(model)


def test_heads_are_named_in_every_way():
    model = random_model()
    for compute in (ov_directions, qk_directions):
        tables = [compute(model, head, n=1) for head in ("1.2", (1, 2), Head(1, 2))]
        assert all(table.equals(tables[0]) for table in tables)
        for wrong, error in (((1, 4), ValueError), ("1.2@END", ValueError), ("m1", ValueError)):
            with pytest.raises(error):
                compute(model, wrong)
