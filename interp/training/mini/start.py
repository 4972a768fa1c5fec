"""The weights that `mini` starts from: what makes copying quick to learn at this size.

    tokens      large random embeddings, so that tokens stay apart while all rows of the tied matrix
                drift together in the first steps; the last layer norm's weight is small instead, so
                that the first logits are not
    positions   sinusoids (Vaswani et al. 2017, section 3.5) in dimensions of their own, so that one
                linear map moves every position by one
    looks       W_K close to W_Q, with orthonormal columns: every head looks at tokens like its own
                (the "mimetic" start of Trockman and Kolter 2023, "Mimetic Initialization of
                Self-Attention Layers"); but heads 0 and 1 of block 0 one and two positions back
    writes      heads of the first and of the last block write what they read, W_O = W_V^T. Of those
                between, every second head of the later blocks takes away what it reads,
                W_O = -W_V^T; the others write little and at random

All of it is where the training starts, and none of it stays fixed.
"""

import math

import torch
from torch import Tensor

from interp.model import HookedGPT2

_TOKENS, _POSITIONS, _FINAL = 0.3, 0.2, 0.2  # standard deviations; weight of the last layer norm
_WAVES, _LONGEST = 32, 128  # dimensions of positions and their longest period, in tokens
_LOOK, _NOISE, _BACK = 0.7, 0.5, 1.2  # size of W_Q and W_K, difference of W_K; size in block 0
_COPY, _ERASE, _RANDOM = 0.7, 0.6, 0.35  # size of W_V and W_O


@torch.no_grad()
def start(model: HookedGPT2, *, seed: int = 0) -> HookedGPT2:
    """Give a fresh model its initial weights.

    Args:
        model: with GPT-2's initial weights; changed in place.
        seed: seed of the new weights.

    Returns:
        The model.
    """
    c = model.config
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    def orthonormal(columns: int) -> Tensor:
        return torch.linalg.qr(normal(c.d_model, columns))[0]

    for parameter in model.parameters():  # GPT-2's size of activations, at another width
        if parameter.ndim > 1:
            parameter *= math.sqrt(768 / c.d_model)
    model.ln_final.w.fill_(_FINAL)
    periods = wave_periods(min(_WAVES, c.d_head))
    basis = orthonormal(2 * len(periods))
    tokens = normal(c.d_vocab, c.d_model) * _TOKENS
    model.embed.W_E.copy_(tokens - tokens @ basis @ basis.T)
    size = _POSITIONS * math.sqrt(c.d_model / len(periods))
    model.pos_embed.W_pos.copy_(waves(torch.arange(c.n_ctx), periods) * size @ basis.T)
    for layer, block in enumerate(model.blocks):
        attn, copies = block.attn, layer in (0, c.n_layers - 1)
        for head in range(c.n_heads):
            erases = not copies and layer > 1 and head % 2 == 1
            size = _COPY if copies else _ERASE if erases else _RANDOM
            looks, writes = orthonormal(c.d_head), orthonormal(c.d_head)
            attn.W_Q[head] = looks * _LOOK
            attn.W_K[head] = (looks + orthonormal(c.d_head) * _NOISE) * _LOOK
            attn.W_V[head] = writes * size
            back_to = writes if copies else -writes if erases else orthonormal(c.d_head)
            attn.W_O[head] = back_to.T * size
    for head, back in enumerate((1, 2)[: c.n_heads]):
        attn, width = model.blocks[0].attn, 2 * len(periods)
        attn.W_Q[head], attn.W_K[head] = 0.0, 0.0
        attn.W_Q[head][:, :width] = basis @ turn(periods, back) * _BACK
        attn.W_K[head][:, :width] = basis * _BACK
    return model


def wave_periods(width: int) -> Tensor:
    """Periods of the sinusoids, in tokens: from 3 on in equal ratios, one for two dimensions."""
    return torch.logspace(math.log10(3), math.log10(_LONGEST), width // 2)


def waves(positions: Tensor, periods: Tensor) -> Tensor:
    """Sine and cosine of each position for each period, [position 2*period]."""
    angles = 2 * math.pi * positions[:, None] / periods
    return torch.stack((angles.sin(), angles.cos()), -1).flatten(1)


def turn(periods: Tensor, back: int) -> Tensor:
    """The map that takes the waves of a position to those of the one `back` before it.

    Args:
        periods: periods of the waves.
        back: how far, in tokens.

    Returns:
        A rotation [2*period 2*period], to be multiplied from the right.
    """
    angles = 2 * math.pi * back / periods
    cos, sin = angles.cos(), angles.sin()
    return torch.block_diag(*torch.stack((cos, sin, -sin, cos), -1).view(-1, 2, 2))
