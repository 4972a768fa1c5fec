"""The initial weights: of GPT-2's size, positions that one map shifts, heads that look alike."""

import math

import pytest
import torch

from interp import GPT2Config, HookedGPT2
from interp.training.mini import start
from interp.training.mini.start import sinusoids

SHAPE = GPT2Config(n_layers=2, n_heads=3, d_model=96, d_mlp=192, d_vocab=500, n_ctx=64)


@pytest.fixture(scope="module")
def model() -> HookedGPT2:
    return start(HookedGPT2(SHAPE), seed=1)


def test_one_linear_map_moves_every_position_by_one(model: HookedGPT2) -> None:
    here, before = model.W_pos[1:].double(), model.W_pos[:-1].double()
    shift = torch.linalg.lstsq(here, before).solution
    torch.testing.assert_close(here @ shift, before, atol=1e-5, rtol=0)


def test_waves_turn_between_every_three_positions_and_half_a_turn_in_the_context() -> None:
    waves = sinusoids(64, 6)
    for first, period in ((0, 3), (4, 128)):
        angle = 2 * math.pi * 5 / period
        expected = torch.tensor([math.sin(angle), math.cos(angle)])
        torch.testing.assert_close(waves[5, first : first + 2], expected)


def test_every_head_looks_at_tokens_like_its_own_and_writes_what_it_reads(
    model: HookedGPT2,
) -> None:
    x = torch.randn(200, SHAPE.d_model, generator=torch.Generator().manual_seed(0))
    for block in model.blocks:
        attn = block.attn
        for head in range(SHAPE.n_heads):
            same = (x @ attn.W_Q[head] * (x @ attn.W_K[head])).sum(-1)
            other = (x @ attn.W_Q[head] * (x.roll(1, 0) @ attn.W_K[head])).sum(-1)
            assert same.mean() > 5 * other.mean().abs()
            torch.testing.assert_close(attn.W_O[head], attn.W_V[head].T)
            written = x @ attn.W_V[head] @ attn.W_O[head]
            assert (written * x).sum(-1).min() > 0


def test_weights_have_the_size_that_gpt2s_have_at_its_width(model: HookedGPT2) -> None:
    assert model.blocks[0].mlp.W_in.std().item() == pytest.approx(0.02 * 8**0.5, rel=0.05)
    assert model.W_E.std().item() == pytest.approx(0.1, rel=0.05)
    assert model.W_pos.std().item() == pytest.approx(0.07, rel=0.05)


def test_the_seed_decides() -> None:
    first, same, other = (start(HookedGPT2(SHAPE), seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.blocks[1].attn.W_QKV, same.blocks[1].attn.W_QKV)
    assert not torch.equal(first.W_E, other.W_E)
