"""The initial weights: tokens and positions apart, where heads look, and which of them copy."""

import math

import pytest
import torch

from interp import GPT2Config, HookedGPT2
from interp.training.mini import start
from interp.training.mini.start import turn, wave_periods, waves

SHAPE = GPT2Config(n_layers=4, n_heads=3, d_model=96, d_mlp=192, d_vocab=500, n_ctx=64)


@pytest.fixture(scope="module")
def model() -> HookedGPT2:
    return start(HookedGPT2(SHAPE), seed=1)


def test_a_turn_moves_every_position_back() -> None:
    periods = wave_periods(8)
    assert periods[0] == pytest.approx(3) and periods[-1] == pytest.approx(128)
    here = waves(torch.arange(5, 60), periods)
    for back in (1, 2, 5):
        torch.testing.assert_close(
            here @ turn(periods, back), waves(torch.arange(5, 60) - back, periods)
        )
    angle = 2 * math.pi * 5 / 3
    torch.testing.assert_close(here[0, :2], torch.tensor([math.sin(angle), math.cos(angle)]))


def test_positions_have_dimensions_of_their_own(model: HookedGPT2) -> None:
    assert (model.W_E @ model.W_pos.T).abs().max() < 1e-4
    assert model.W_E.std().item() == pytest.approx(0.3 * (64 / 96) ** 0.5, rel=0.05)
    assert model.W_pos.pow(2).mean().sqrt().item() == pytest.approx(0.2, rel=0.05)


def test_two_heads_of_the_first_block_look_one_and_two_back(model: HookedGPT2) -> None:
    tokens = torch.randint(1, 500, (4, 40), generator=torch.Generator().manual_seed(0))
    _, cache = model.run_with_cache(tokens)
    patterns = cache["blocks.0.attn.hook_pattern"]
    for head, back in ((0, 1), (1, 2)):
        assert patterns[:, head].diagonal(-back, -2, -1).mean() > 0.5
        assert patterns[:, 2].diagonal(-back, -2, -1).mean() < 0.1


def test_other_heads_look_at_tokens_like_their_own(
    model: HookedGPT2,
) -> None:
    x = torch.randn(200, SHAPE.d_model, generator=torch.Generator().manual_seed(0))
    for layer, block in enumerate(model.blocks):
        attn = block.attn
        for head in range(2 if layer == 0 else 0, SHAPE.n_heads):
            same = (x @ attn.W_Q[head] * (x @ attn.W_K[head])).sum(-1)
            other = (x @ attn.W_Q[head] * (x.roll(1, 0) @ attn.W_K[head])).sum(-1)
            assert same.mean() > 5 * other.mean().abs()


def test_the_first_and_the_last_block_write_what_they_read_and_others_take_it_away(
    model: HookedGPT2,
) -> None:
    last = SHAPE.n_layers - 1
    for layer, block in enumerate(model.blocks):
        for head in range(SHAPE.n_heads):
            read, written = block.attn.W_V[head].T, block.attn.W_O[head]
            assert torch.allclose(written, read) == (layer in (0, last))
            erases = 1 < layer < last and head % 2 == 1
            assert torch.allclose(written, -read) == erases


def test_the_seed_decides() -> None:
    first, same, other = (start(HookedGPT2(SHAPE), seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.blocks[1].attn.W_QKV, same.blocks[1].attn.W_QKV)
    assert not torch.equal(first.W_E, other.W_E)
