"""The weights that `mini` starts from: activations of GPT-2's size, and heads that look alike.

Three things make copying quicker to learn, and none says which head is to do what:

    scale       GPT-2's initial standard deviations, brought from its width of 768 to the model's;
                token embeddings larger, so that tokens stay apart while copying is not learned yet
    positions   sinusoids (Vaswani et al. 2017, section 3.5) in a random basis, so that one linear
                map moves every position by one
    heads       W_K close to W_Q and W_O the transpose of W_V, with orthonormal columns: every head
                looks at tokens like its own and writes what it reads (the "mimetic" start of
                Trockman and Kolter 2023, "Mimetic Initialization of Self-Attention Layers")
"""

import math

import torch
from torch import Tensor

from interp.model import HookedGPT2

_TOKENS, _POSITIONS = 0.1, 0.07  # standard deviation of the embeddings
_LOOK, _NOISE, _WRITE = 1.0, 0.5, 0.4  # size of W_Q and W_K, difference of W_K, size of W_V and W_O


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

    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter *= math.sqrt(768 / c.d_model)
    model.embed.W_E.copy_(normal(c.d_vocab, c.d_model) * _TOKENS)
    waves = sinusoids(c.n_ctx, c.d_model) * math.sqrt(2) * _POSITIONS
    model.pos_embed.W_pos.copy_(waves @ orthonormal(c.d_model).T)
    for block in model.blocks:
        attn = block.attn
        for head in range(c.n_heads):
            looks, writes = orthonormal(c.d_head), orthonormal(c.d_head)
            attn.W_Q[head] = looks * _LOOK
            attn.W_K[head] = (looks + orthonormal(c.d_head) * _NOISE) * _LOOK
            attn.W_V[head] = writes * _WRITE
            attn.W_O[head] = writes.T * _WRITE
    return model


def sinusoids(n_ctx: int, width: int) -> Tensor:
    """Sines and cosines of the position, their periods from 3 to 2 `n_ctx` in equal ratios.

    Args:
        n_ctx: number of positions.
        width: number of waves; an odd one leaves the last at 0.

    Returns:
        Waves of amplitude 1, [n_ctx width].
    """
    periods = torch.logspace(math.log10(3), math.log10(2 * n_ctx), width // 2)
    angles = 2 * math.pi * torch.arange(n_ctx)[:, None] / periods
    waves = torch.zeros(n_ctx, width)
    waves[:, 0 : width // 2 * 2 : 2], waves[:, 1::2] = angles.sin(), angles.cos()
    return waves
