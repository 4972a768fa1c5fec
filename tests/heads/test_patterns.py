"""Attention patterns of one prompt against the cache, a naive computation and laws."""

import numpy as np
import pytest
import torch

import interp
from interp.heads import attention_between, attention_patterns, sharpest_heads, value_weighted
from interp.parts import Head
from interp.patching import Ablation
from tests.helpers import random_model, random_task

IDS = [7, 3, 3, 11, 0, 5]


def test_patterns_are_those_of_the_run():
    model = random_model()
    found = attention_patterns(model, IDS)
    assert found.dims == ("layer", "head", "query", "key")
    _, cache = model.run_with_cache(torch.tensor([IDS]))
    for layer in range(3):
        np.testing.assert_allclose(found[layer], cache["pattern", layer][0], atol=1e-6)
    np.testing.assert_allclose(found.sum("key"), 1, atol=1e-6)
    assert not np.triu(found.values, 1).any()
    assert found.attrs["unit"] == "probability"
    assert (
        found.query_token.values.tolist()
        == found.key_token.values.tolist()
        == [f"[{i}]" for i in IDS]
    )


def test_value_weighting_against_a_naive_computation():
    model = random_model()
    found = attention_patterns(model, IDS)
    weighted = value_weighted(found)
    assert weighted.dims == found.dims and weighted.attrs["unit"] == "fraction"
    with torch.inference_mode():
        _, cache = model.run_with_cache(torch.tensor([IDS]))
        for layer in range(3):
            attn = model.blocks[layer].attn
            x = cache["normalized", layer, "ln1"][0] * model.blocks[layer].ln1.w
            x = x + model.blocks[layer].ln1.b
            for head in range(4):
                f = [(row @ attn.W_V[head] + attn.b_V[head]) @ attn.W_O[head] for row in x]
                length = np.array([float(vector.norm()) for vector in f])
                at = {"layer": layer, "head": head}
                np.testing.assert_allclose(found.value_norm.sel(at), length, rtol=1e-4)
                expected = found.sel(at).values * length / length.max()
                np.testing.assert_allclose(weighted.sel(at), expected, atol=1e-6)
    assert (weighted <= found + 1e-7).all() and (weighted >= 0).all()


def test_vectors_of_length_zero_weigh_nothing():
    model = random_model()
    with torch.no_grad():
        model.blocks[1].attn.W_O[2] = 0
    weighted = value_weighted(attention_patterns(model, IDS))
    assert not weighted.sel(layer=1, head=2).any()
    assert np.isfinite(weighted).all()
    with pytest.raises(ValueError, match="needs the coordinate value_norm along key"):
        value_weighted(weighted)


def test_a_text_is_its_tokens():
    model = interp.load("mini")
    text = "Mary and John went"
    found = attention_patterns(model, text)
    np.testing.assert_array_equal(found, attention_patterns(model, model.to_tokens(text)))
    assert "".join(found.key_token.values) == text


def test_in_a_knocked_out_model():
    model, task = random_model(), random_task(2, (6,))
    gone = Ablation(["0.1", "1.3"], value="resample", reference=task[0])
    found = attention_patterns(model, task.clean_tokens[0], ablation=gone)
    expected = attention_between(model, task[0], ablation=gone)
    roles = {role: int(task.positions[role][0]) for role in ("S2", "END")}
    for one, query in roles.items():
        for two, key in roles.items():
            np.testing.assert_allclose(
                found.sel(query=query, key=key),
                expected.sel(query=one, key=two).isel(prompt=0),
                atol=1e-6,
            )
    whole = attention_patterns(model, task.clean_tokens[0])
    assert np.abs(found - whole)[1:].max() > 1e-3
    zero = attention_patterns(
        model, IDS, ablation=Ablation([*map(Head, [0] * 4, range(4)), "m0"], value="zero")
    )
    assert not np.allclose(zero[2], attention_patterns(model, IDS)[2], atol=1e-3)
    with pytest.raises(ValueError, match="ablation by 'mean' needs other prompts"):
        attention_patterns(model, IDS, ablation=Ablation("heads"))


def test_the_sharpest_heads_by_hand():
    found = attention_patterns(random_model(), IDS)
    found.values[:] = 0
    found.values[..., 0] = 1  # all rest on the first token ...
    found.loc[{"layer": 2, "head": 1, "key": 0}] = 0
    for query in range(2, 6):  # ... but one looks one back ...
        found.loc[{"layer": 2, "head": 1, "query": query, "key": query - 1}] = 0.9
    found.loc[{"layer": 0, "head": 3, "query": 4, "key": 2}] = 0.5  # ... and one looks back once
    found.loc[{"layer": 1, "head": 0, "query": 4, "key": 4}] = 1  # itself does not count
    assert sharpest_heads(found, 2) == [(2, 1), (0, 3)]
    assert sharpest_heads(found.isel(layer=[0]), 1) == [(0, 3)]
    assert len(sharpest_heads(found, 99)) == 12
    # Two tokens tell no head from another: the order is the model's.
    assert sharpest_heads(found.isel(query=[0, 1], key=[0, 1]), 2) == [(0, 0), (0, 1)]
    with pytest.raises(ValueError, match="n must be at least 1"):
        sharpest_heads(found, 0)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ([], "at least one token"),
        (torch.ones(2, 3, 4, dtype=torch.long), "of each prompt"),
        (torch.ones(3), "integers"),
        ([1, 50], "from 0 to 49"),
        ([-1], "from 0 to 49"),
        ([1] * 33, r"the 1 to 32 \(n_ctx\) token ids"),
    ],
)
def test_what_is_no_prompt_is_refused(prompt, message):
    with pytest.raises(ValueError, match=message):
        attention_patterns(random_model(), prompt)


def test_the_sharpest_heads_of_several_prompts_are_those_of_the_mean():
    """Padding of the shorter prompt counts for nothing."""
    model, task = random_model(), random_task(4, (9, 5))
    patterns = attention_patterns(model, task)
    scores = []
    for i in range(4):
        n = int(task.lengths[i])
        one = attention_patterns(model, task.clean_tokens[i, :n]).values
        each = [one[:, :, q, 1:q].max(-1) for q in range(2, n)]
        scores.append(np.mean(each, 0))
    mean = np.mean(scores, 0)
    order = np.argsort(-mean.ravel(), kind="stable")[:5]
    assert sharpest_heads(patterns, 5) == [tuple(np.unravel_index(i, mean.shape)) for i in order]
    assert all(isinstance(head, Head) for head in sharpest_heads(patterns, 2))
    assert str(sharpest_heads(patterns)[0]).count(".") == 1
    turned = patterns.transpose(*reversed(patterns.dims))
    assert sharpest_heads(turned, 5) == sharpest_heads(patterns, 5)
    with pytest.raises(ValueError, match="expected the dims layer, head, query, key"):
        sharpest_heads(patterns.isel(layer=0))


def test_value_weighting_does_not_depend_on_the_order_of_dims():
    patterns = attention_patterns(random_model(), random_task(3))
    turned = value_weighted(patterns.transpose("prompt", "key", "query", "head", "layer"))
    np.testing.assert_array_equal(turned.transpose(*patterns.dims), value_weighted(patterns))
