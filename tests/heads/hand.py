"""A model whose heads are set by hand, so that every score is known without running anything."""

import torch

import interp

LENGTH = 8
"""Different tokens in a sequence that is repeated once."""

PREVIOUS, DUPLICATE, INDUCTION, UNIFORM = range(4)


def hand_set_model() -> interp.HookedGPT2:
    """One layer, no MLP: heads attend one, 8 and 7 positions back, and everywhere alike.

    The stream is one-hot, 8 dims for the token and 16 for the position. The first two heads copy
    the token that they look at, the third writes against it.
    """
    n_pos, width = 2 * LENGTH, 4 * 24
    config = interp.GPT2Config(
        n_layers=1, n_heads=4, d_model=width, d_mlp=1, d_vocab=LENGTH, n_ctx=n_pos, tied=False
    )
    model = interp.HookedGPT2(config, name="set by hand")
    weights = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    weights |= {name: torch.ones_like(x) for name, x in weights.items() if name.endswith("ln1.w")}
    weights["ln_final.w"] = torch.ones(width)
    weights["blocks.0.ln2.w"] = torch.ones(width)
    token, pos = slice(0, LENGTH), slice(LENGTH, LENGTH + n_pos)
    weights["embed.W_E"][:, token] = weights["unembed.weight"][:, token] = torch.eye(LENGTH)
    weights["pos_embed.W_pos"][:, pos] = torch.eye(n_pos)
    W_Q, W_K, W_V = weights["blocks.0.attn.W_QKV"].view(width, 3, 4, 24).unbind(1)  # d h k
    for head, back in ((PREVIOUS, 1), (DUPLICATE, LENGTH), (INDUCTION, LENGTH - 1)):
        W_Q[pos, head, :n_pos] = 30 * torch.eye(n_pos)
        W_K[pos, head, :n_pos] = torch.eye(n_pos).roll(back, 1)  # the key of p - back is p's
    for head, sign in ((PREVIOUS, 1), (DUPLICATE, 1), (INDUCTION, -1)):
        W_V[token, head, :LENGTH] = torch.eye(LENGTH)
        weights["blocks.0.attn.W_O"][head, :LENGTH, token] = sign * torch.eye(LENGTH)
    model.load_state_dict(weights)
    return model
