"""The loss on attention: exact, on rows of random tokens alone, and soon at 0."""

import math
from random import Random

import pytest
import torch

from interp import GPT2Config, HookedGPT2
from interp.model.masks import after_same_token
from interp.training import Batches, next_token_loss, returning_ids
from interp.training.mini import Guidance, Sentences, guided_loss, train_tokenizer
from interp.training.mini.guidance import misdirection

SHAPE = GPT2Config(n_layers=3, n_heads=4, d_model=64, d_mlp=64, d_vocab=400, n_ctx=24)
GUIDANCE = Guidance((0, 3), ((2, 0), (2, 2)), steps=10, weight=0.25)


def random_tokens() -> torch.Tensor:
    rng = Random(0)
    return torch.tensor([returning_ids(rng, 60, 24) for _ in range(12)])


def test_induction_heads_attend_after_earlier_occurrences() -> None:
    right = after_same_token(torch.tensor([[7, 8, 7, 9, 7]]))[0]
    assert right.nonzero().tolist() == [[2, 1], [4, 1], [4, 3]]


def test_misdirection_is_the_nats_of_the_attention_on_the_right_places() -> None:
    model, tokens = HookedGPT2(SHAPE, seed=1), random_tokens()
    _, cache = model.run_with_cache(tokens)
    first, second = (cache[f"blocks.{layer}.attn.hook_pattern"] for layer in (0, 2))
    rows, n = tokens.shape
    before = [-math.log(first[r, 3, d, d - 1]) for r in range(rows) for d in range(1, n)]
    after = []
    for row in range(rows):
        for d in range(n):
            sources = [s for s in range(1, d + 1) if tokens[row, s - 1] == tokens[row, d]]
            sources = [s for s in sources if s - 1 < d]
            for head in (0, 2):
                if sources:
                    after.append(-math.log(second[row, head, d, sources].sum()))
    expected = sum(before) / len(before) + sum(after) / len(after)
    loss = misdirection({0: first, 2: second}, tokens, GUIDANCE)
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_the_weight_falls_to_nothing() -> None:
    assert [GUIDANCE.weight_at(step) for step in (0, 5, 10, 99)] == [0.25, 0.125, 0.0, 0.0]
    assert Guidance(steps=0).weight_at(0) == 0.0


def test_only_random_rows_are_guided() -> None:
    tokenizer = train_tokenizer(["The war"], d_vocab=300, n_ctx=24)
    batches = Batches(tokenizer, 24, 480, 0, Sentences(), random=0.5)
    model, tokens = HookedGPT2(SHAPE, seed=1), batches(1)
    n = batches.n_random(1)
    assert 0 < n < len(tokens)
    _, cache = model.run_with_cache(tokens[:n])
    patterns = {layer: cache[f"blocks.{layer}.attn.hook_pattern"] for layer in (0, 2)}
    plain = next_token_loss(model, tokens)
    expected = plain + 0.225 * misdirection(patterns, tokens[:n], GUIDANCE)
    both = guided_loss(model, GUIDANCE, batches, 1, tokens)
    assert both.item() == pytest.approx(expected.item(), rel=1e-5)
    both.backward()
    assert model.blocks[2].attn.W_QKV.grad.abs().max() > 0
    later = batches(10)
    assert guided_loss(model, GUIDANCE, batches, 10, later).item() == pytest.approx(
        next_token_loss(model, later).item()
    )


def test_answers_count_more() -> None:
    tokenizer = train_tokenizer(["The war"], d_vocab=300, n_ctx=24)
    batches = Batches(
        tokenizer, 24, 480, 0, lambda rng, step: ("We", " go", "."), random=0.0, answer_weight=5.0
    )
    model, tokens, weights = HookedGPT2(SHAPE, seed=1), batches(10), batches.weights(10)
    nats = -model(tokens)[:, :-1].log_softmax(-1).gather(2, tokens[:, 1:, None])[..., 0]
    counts = weights[:, 1:]
    expected = (nats * counts).sum() / counts.sum()
    assert counts.max() == 5 and counts.min() == 1
    assert guided_loss(model, GUIDANCE, batches, 10, tokens).item() == pytest.approx(
        expected.item(), rel=1e-5
    )


@pytest.mark.parametrize("induction", [((0, 1),), ((1, 0), (2, 0)), ()])
def test_induction_heads_are_of_one_later_layer(induction: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(ValueError, match="one layer after"):
        Guidance((0, 3), induction)
