"""Attention scores against hand-set heads, the naive twin and TransformerLens's head detector."""

import math

import pytest
import torch
from transformer_lens import head_detector

from interp.heads import attention_scores, repeated_random_tokens
from tests.heads.hand import DUPLICATE, INDUCTION, LENGTH, PREVIOUS, UNIFORM, hand_set_model
from tests.helpers import random_model
from tests.naive.heads import attention_score


def test_hand_set_heads_score_one():
    model = hand_set_model()
    scores = attention_scores(model, repeated_random_tokens(model, n=3, length=LENGTH))
    assert scores["induction"].dims == ("layer", "head", "prompt")

    def mean(name, head):
        return float(scores[name].sel(layer=0, head=head).mean())

    assert mean("previous_token", PREVIOUS) == pytest.approx(1, abs=1e-5)
    assert mean("duplicate_token", DUPLICATE) == pytest.approx(1, abs=1e-5)
    assert mean("induction", INDUCTION) == pytest.approx(1, abs=1e-5)
    assert mean("induction", DUPLICATE) == pytest.approx(0, abs=1e-5)
    assert mean("previous_token", DUPLICATE) < 0.2  # uniform where there is no duplicate yet
    assert mean("entropy", PREVIOUS) == pytest.approx(0, abs=1e-3)
    keys = range(2, 2 * LENGTH + 1)
    uniform = [sum(f(k) for k in keys) / len(keys) for f in (math.log, lambda k: 1 / k)]
    assert mean("entropy", UNIFORM) == pytest.approx(uniform[0], abs=1e-5)
    for name in ("first_token", "current_token", "previous_token"):
        assert mean(name, UNIFORM) == pytest.approx(uniform[1], abs=1e-5)


def test_the_naive_twin_agrees():
    model = random_model()
    tokens = torch.randint(0, 6, (4, 12), generator=torch.Generator().manual_seed(0))
    tokens[3] = torch.arange(12)  # no token twice
    scores = attention_scores(model, tokens)
    _, cache = model.run_with_cache(tokens)
    for name, values in scores.items():
        for layer, head, i in ((0, 1, 0), (1, 3, 1), (2, 0, 2), (2, 2, 3)):
            expected = attention_score(cache["pattern", layer][i, head], tokens[i], name)
            found = float(values.sel(layer=layer, head=head, prompt=i))
            assert found == pytest.approx(expected, abs=1e-5, nan_ok=True), name
    without_duplicates = scores[["duplicate_token", "induction"]].sel(prompt=3)
    assert all(bool(values.isnull().all()) for values in without_duplicates.values())


def test_scores_do_not_depend_on_batches(monkeypatch):
    model = random_model()
    tokens = repeated_random_tokens(model, n=5, length=8)
    whole = attention_scores(model, tokens)
    monkeypatch.setattr("interp.heads.scores._PATTERN_VALUES", 1)
    assert whole.equals(attention_scores(model, tokens))


@pytest.mark.parametrize("name", ["previous_token", "duplicate_token", "induction"])
def test_head_detector_agrees(name):
    model = random_model(n_heads=2)
    tokens = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9]])
    ours = torch.tensor(attention_scores(model, tokens)[name].values)[..., 0]
    model.to_tokens = lambda _: tokens  # the detector knows no other way to pass them
    theirs = head_detector.detect_head(model, "", f"{name}_head")
    n_queries = tokens.shape[1]  # it divides by all of them
    seen: set[int] = set()
    with_target = 0
    for q, token in enumerate(tokens[0].tolist()):
        with_target += q > 0 if name == "previous_token" else token in seen
        seen.add(token)
    torch.testing.assert_close(ours * with_target / n_queries, theirs, atol=1e-4, rtol=0)
    assert theirs.max() > 0.01


def test_repeated_tokens():
    model = random_model()
    tokens = repeated_random_tokens(model, n=3, length=10, seed=2)
    assert tokens.shape == (3, 20)
    assert torch.equal(tokens[:, :10], tokens[:, 10:])
    assert all(len(set(row.tolist())) == 10 for row in tokens)
    assert torch.equal(tokens, repeated_random_tokens(model, n=3, length=10, seed=2))
    assert not torch.equal(tokens, repeated_random_tokens(model, n=3, length=10, seed=3))
    assert repeated_random_tokens(model).shape == (10, 32)  # n_ctx


@pytest.mark.parametrize("wrong", [{"length": 17}, {"length": 1}, {"n": 0}])
def test_repeated_tokens_that_do_not_fit(wrong):
    with pytest.raises(ValueError, match="2 to 16 different"):
        repeated_random_tokens(random_model(), **wrong)


def test_one_token_is_refused():
    with pytest.raises(ValueError, match="two tokens or more"):
        attention_scores(random_model(), torch.zeros(2, 1, dtype=torch.long))
