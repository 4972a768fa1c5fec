"""Guided heads attend where they are guided to, and nothing else in the model moves."""

import math
from random import Random

import pytest
import torch

from interp import GPT2Config, HookedGPT2
from interp.model.masks import after_same_token
from interp.training import next_token_loss, returning_ids
from interp.training.mini import guide_induction, guided_loss
from interp.training.mini.guidance import _attention_loss

SHAPE = GPT2Config(n_layers=3, n_heads=4, d_model=64, d_mlp=64, d_vocab=60, n_ctx=24)


def batches(step: int) -> torch.Tensor:
    rng = Random(step)
    return torch.tensor([returning_ids(rng, 60, 24) for _ in range(12)])


def test_induction_heads_attend_after_earlier_occurrences() -> None:
    right = after_same_token(torch.tensor([[7, 8, 7, 9, 7]]))[0]
    assert right.nonzero().tolist() == [[2, 1], [4, 1], [4, 3]]


def test_loss_is_the_nats_of_the_attention_on_the_right_places() -> None:
    model, tokens = HookedGPT2(SHAPE, seed=1), batches(0)
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
    loss = _attention_loss(model, tokens, (0, 3), 2, [0, 2])
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_the_guided_loss_is_both_losses() -> None:
    model, tokens = HookedGPT2(SHAPE, seed=1), batches(0)
    both = guided_loss(model, tokens, (0, 3), [(2, 0), (2, 2)], weight=0.25)
    expected = (
        next_token_loss(model, tokens) + _attention_loss(model, tokens, (0, 3), 2, [0, 2]) / 4
    )
    assert both.item() == pytest.approx(expected.item(), rel=1e-5)
    both.backward()
    assert model.blocks[2].attn.W_QKV.grad.abs().max() > 0


def test_guided_heads_attend_where_they_should_and_the_rest_stays() -> None:
    model = HookedGPT2(SHAPE, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():  # activations of GPT-2's size
            if parameter.ndim > 1:
                parameter *= math.sqrt(768 / 64)
    old = {name: p.detach().clone() for name, p in model.named_parameters()}
    nats = guide_induction(model, (0, 3), [(1, 0), (1, 2)], batches, steps=300)
    _, cache = model.run_with_cache(tokens := batches(1000))
    first, second = (cache[f"blocks.{layer}.attn.hook_pattern"] for layer in (0, 1))
    assert first[:, 3].diagonal(-1, -2, -1).mean() > 0.9
    right = after_same_token(tokens)
    found = [(second[:, h] * right).sum(-1)[right.any(-1)].mean().item() for h in range(4)]
    assert min(found[0], found[2]) > 0.8 and max(found[1], found[3]) < 0.2
    assert nats < 1
    for name, parameter in model.named_parameters():
        moved = (parameter.detach() != old[name]).nonzero()
        if name == "blocks.0.attn.W_O":
            assert set(moved[:, 0].tolist()) == {3}
        elif name.endswith(("W_QKV", "b_QKV")) and name.startswith(("blocks.0", "blocks.1")):
            three = (moved[:, -1] // 64).unique().tolist()
            heads = (moved[:, -1] % 64 // 16).unique().tolist()
            assert (three, heads) == (([0, 1, 2], [3]) if "s.0." in name else ([0, 1], [0, 2]))
        else:
            assert len(moved) == 0, name
        assert parameter.grad is None, name


@pytest.mark.parametrize("induction", [[(0, 1)], [(1, 0), (2, 0)], []])
def test_induction_heads_are_of_one_later_layer(induction: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="one layer after"):
        guide_induction(HookedGPT2(SHAPE), (0, 3), induction, batches, steps=1)
