"""Copying against hand-set heads, the naive twins and the invariance under weight processing."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import interp
from interp.heads import (
    attention_projection,
    copy_scores,
    correlation,
    eigenvalue_scores,
    next_token_projection,
    ov_ranks,
)
from tests.heads.hand import DUPLICATE, INDUCTION, PREVIOUS, UNIFORM, hand_set_model
from tests.helpers import random_model, random_task
from tests.naive.heads import eigenvalue_score, head_logits, own_rank, projected


def test_a_copying_head_copies_and_a_negative_one_suppresses():
    model = hand_set_model()
    eigenvalue = eigenvalue_scores(model).values[0]
    np.testing.assert_allclose(eigenvalue[[PREVIOUS, DUPLICATE, INDUCTION]], [1, 1, -1], atol=1e-5)
    assert np.isnan(eigenvalue[UNIFORM])  # it writes nothing
    ranks = ov_ranks(model).sel(layer=0)
    assert (ranks["rank"].sel(head=[PREVIOUS, DUPLICATE]) == 0).all()
    assert (ranks["anti_rank"].sel(head=INDUCTION) == 0).all()
    assert (ranks["rank"].sel(head=INDUCTION) == 7).all()
    assert (ranks["rank"].sel(head=UNIFORM) == 7).all()  # a tie is no copy


def test_copy_scores_of_hand_set_heads():
    task = random_task(5, (9,))
    for ids in (task.clean_tokens, task.corrupted_tokens):
        ids.remainder_(8)
    task = replace(task, answer=task.answer % 8, foil=(task.answer + 1) % 8)
    model = hand_set_model()
    with torch.no_grad():  # so that the first block leaves the token itself on top of the stream
        model.blocks[0].attn.W_O *= 0.01
    scores = copy_scores(model, task, roles=["S2"], k=1).sel(layer=0)
    for name, copies in (("copy", [PREVIOUS, DUPLICATE]), ("anti_copy", [INDUCTION])):
        found = scores[name].mean(("role", "prompt")).values
        np.testing.assert_array_equal(found, [float(head in copies) for head in range(4)])


@pytest.mark.parametrize("first_mlp", [True, False])
@torch.inference_mode()
def test_ov_ranks_are_the_naive_twins(first_mlp):
    model, tokens = random_model(), [3, 0, 41, 17]
    ranks = ov_ranks(model, tokens=tokens, first_mlp=first_mlp)
    assert ranks["token"].values.tolist() == tokens
    block = model.blocks[0]
    for token in tokens:
        x = model.W_E[token]
        x = x + block.mlp(block.ln2(x)) if first_mlp else x
        for layer, head in ((0, 0), (1, 3), (2, 2)):
            for name, sign in (("rank", 1), ("anti_rank", -1)):
                found = int(ranks[name].sel(layer=layer, head=head, token=token))
                assert found == own_rank(head_logits(model, x, layer, head, sign), token)


def test_ov_ranks_do_not_depend_on_batches(monkeypatch):
    model = random_model()
    whole = ov_ranks(model)
    assert whole.sizes == {"layer": 3, "head": 4, "token": 50}
    monkeypatch.setattr("interp.heads.copying._LOGITS", 150)
    monkeypatch.setattr("interp.heads.copying._STATES", 130)
    assert whole.equals(ov_ranks(model))


@torch.inference_mode()
def test_copy_scores_are_the_naive_twins(monkeypatch):
    model, task, k = random_model(), random_task(), 12
    monkeypatch.setattr("interp.runs.sides.PROMPTS", 3)
    scores = copy_scores(model, task, roles=["S2", "END"], k=k)
    seen = set()
    for i in range(len(task)):
        _, cache = model.run_with_cache(task.clean_tokens[i][task.attention_mask[i]][None])
        for role in ("S2", "END"):
            at = int(task.positions[role][i])
            x, token = cache["resid_post", 0][0, at], int(task.clean_tokens[i, at])
            for layer, head in ((0, 1), (1, 2), (2, 3)):
                for name, sign in (("copy", 1), ("anti_copy", -1)):
                    expected = own_rank(head_logits(model, x, layer, head, sign), token) < k
                    where = {"layer": layer, "head": head, "role": role, "prompt": i}
                    assert float(scores[name].sel(where)) == expected, where
                    seen.add(expected)
    assert seen == {True, False}


def test_eigenvalues_are_those_of_the_whole_circuit():
    model = random_model()
    found, processed = eigenvalue_scores(model), interp.process_weights(model)
    for layer, head in ((0, 0), (1, 3), (2, 1)):
        expected = eigenvalue_score(processed, layer, head)
        assert float(found.sel(layer=layer, head=head)) == pytest.approx(expected, abs=1e-4)
    assert float(found.std()) > 0.01


def test_processing_the_weights_changes_no_score():
    model, task = random_model(), random_task()
    # b_V is a part of what a head writes for a token; folded into b_O it is none
    simple = interp.process_weights(model, fold_value_biases=False)
    pairs = [
        (eigenvalue_scores(one), copy_scores(one, task, roles=["S2"]), ov_ranks(one))
        for one in (model, simple)
    ]
    np.testing.assert_allclose(*(one[0].values for one in pairs), atol=1e-4)
    for i in (1, 2):
        for name in pairs[0][i]:
            assert (pairs[0][i][name] == pairs[1][i][name]).mean() > 0.99, name  # but for ties
    looks = [attention_projection(one, task, roles=["S2"]) for one in (model, simple)]
    np.testing.assert_allclose(*(one["projection"].values for one in looks), atol=1e-4)


@torch.inference_mode()
def test_attention_and_projection_are_the_naive_twins():
    model, task = random_model(), random_task()
    found = attention_projection(model, task, roles=["S2", "END"])
    assert found["projection"].dims == ("layer", "head", "role", "prompt")
    for i in range(len(task)):
        _, cache = model.run_with_cache(task.clean_tokens[i][task.attention_mask[i]][None])
        final = cache["resid_post", 2][0, -1]
        scale = (final.var(unbiased=False) + model.config.eps).sqrt()
        for role in ("S2", "END"):
            at = int(task.positions[role][i])
            token = int(task.clean_tokens[i, at])
            for layer, head in ((0, 1), (2, 3)):
                where = {"layer": layer, "head": head, "role": role, "prompt": i}
                z = cache["z", layer][0, -1, head]
                expected = projected(model, z, layer, head, scale, token)
                assert float(found["projection"].sel(where)) == pytest.approx(expected, abs=1e-4)
                looks = cache["pattern", layer][0, head, -1, at].item()
                assert float(found["attention"].sel(where)) == pytest.approx(looks, abs=1e-5)


@torch.inference_mode()
def test_what_is_written_for_the_next_token_is_the_naive_twins(monkeypatch):
    monkeypatch.setattr("interp.heads.projection._PROMPTS", 2)
    model = random_model()
    tokens = torch.tensor([[1, 2, 3, 1, 2, 3], [4, 5, 4, 6, 4, 5], [7, 7, 7, 8, 7, 8]])
    repeats = [[3, 4], [4], [1, 4]]  # 1 2 and 2 3; 4 5, not 4 6; 7 7 and, at the end, 7 8
    found = next_token_projection(model, tokens)
    _, cache = model.run_with_cache(tokens)
    for prompt, at in enumerate(repeats):
        scales = (cache["blocks.2.hook_resid_post"].var(-1, unbiased=False) + 1e-5).sqrt()
        for layer in range(3):
            z = cache[f"blocks.{layer}.attn.hook_z"][prompt]
            for head in range(4):
                expected = [
                    projected(model, z[q, head], layer, head, scales[prompt, q],
                              tokens[prompt, q + 1])
                    for q in at
                ]  # fmt: skip
                ours = float(found.sel(layer=layer, head=head, prompt=prompt))
                assert ours == pytest.approx(np.mean(expected), abs=1e-5)
    with pytest.raises(ValueError, match="prompt 1 repeats no pair"):
        next_token_projection(model, torch.tensor([[1, 2, 1, 2], [1, 2, 3, 1]]))


def test_correlation_is_numpys():
    found = attention_projection(random_model(), random_task(20), roles=["S2", "END"])
    r = correlation(found)
    assert r.dims == ("layer", "head")
    for layer, head in ((0, 0), (2, 1)):
        x, y = (found[n].sel(layer=layer, head=head).values.ravel() for n in found)
        expected = np.corrcoef(x, y)[0, 1]
        assert float(r.sel(layer=layer, head=head)) == pytest.approx(expected, abs=1e-5)


def test_roles_are_those_that_hold_answer_or_foil():
    model = interp.load("mini")
    task = interp.tasks.ioi(model.tokenizer, 4)
    assert copy_scores(model, task)["role"].values.tolist() == ["IO", "S1", "S2"]
    with pytest.raises(ValueError, match="no role of task 'random'"):
        copy_scores(random_model(), random_task())
    with pytest.raises(ValueError, match="S2"):
        attention_projection(random_model(), random_task(), roles=["S9"])


def test_bad_input():
    with pytest.raises(ValueError, match="k must be from 1 to 50"):
        copy_scores(random_model(), random_task(), roles=["S2"], k=0)
    for wrong in ([50], [-1]):
        with pytest.raises(ValueError, match="token ids are from 0 to 49"):
            ov_ranks(random_model(), tokens=wrong)
    with pytest.raises(ValueError, match="tokens is an empty list"):
        ov_ranks(random_model(), tokens=[])


def test_correlation_of_one_role_and_of_any_order_of_dims():
    found = attention_projection(random_model(), random_task(20), roles=["S2", "END"])
    turned = found.transpose("prompt", "role", "head", "layer")
    np.testing.assert_allclose(correlation(turned).transpose("layer", "head"), correlation(found))
    one = correlation(found.sel(role="S2"))
    x, y = (found[name].sel(role="S2", layer=1, head=2).values for name in found)
    assert float(one.sel(layer=1, head=2)) == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-5)
    for wrong in (found[["attention"]], found.mean("prompt")):
        with pytest.raises(ValueError, match="what attention_projection returns"):
            correlation(wrong)


def test_tokens_are_named_by_text_too():
    mini = interp.load("mini")
    ids = [mini.to_single_token(word) for word in (" Mary", " John")]
    assert ov_ranks(mini, tokens=[" Mary", " John"]).equals(ov_ranks(mini, tokens=ids))
