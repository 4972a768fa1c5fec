"""Rewrite the weights so that they are easier to interpret, without changing the predictions.

Layer norm subtracts the mean, divides by the scale, multiplies by w and adds b. Four identities
simplify this:

    fold layer norm:          (x w + b) W = x (w W) + b W, so w and b move into the next weights;
    center writing weights:   layer norm removes the mean over d_model, so writing none is the same;
    center unembedding:       softmax ignores a constant added to every logit;
    fold value biases:        attention rows sum to 1, so b_V reaches the output whole, as b_V W_O.

Source: Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"; TransformerLens
(weight processing).
"""

from dataclasses import replace

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from interp.model.hooked_gpt2 import HookedGPT2


@torch.no_grad()
def process_weights(
    model: HookedGPT2,
    *,
    fold_layer_norm: bool = True,
    center_writing_weights: bool = True,
    center_unembed: bool = True,
    fold_value_biases: bool = True,
) -> HookedGPT2:
    """Make a new model with the same log-probabilities and simpler weights.

    Args:
        model: the model, which is not changed
        fold_layer_norm: move each layer norm's w and b into the weights that read it, leaving w = 1
            and b = 0. The unembedding is then no longer tied to the embedding.
        center_writing_weights: subtract the mean over d_model from everything that writes to the
            residual stream (embeddings, W_O, W_out and their biases)
        center_unembed: subtract the mean over the vocabulary from W_U and b_U. Logits then sum to
            zero over the vocabulary; their differences are unchanged.
        fold_value_biases: add b_V W_O to b_O and set b_V to 0

    Returns:
        The processed model, with the name, device and dtype of the given one.

    Raises:
        TypeError: the argument is not a model

    Example:
        >>> import interp
        >>> simple = interp.process_weights(interp.load("mini"))
        >>> bool((simple.ln_final.w == 1).all() and (simple.b_V == 0).all())
        True
    """
    if not isinstance(model, HookedGPT2):
        raise TypeError(f"process_weights takes a HookedGPT2, got {type(model).__name__}")
    config = replace(model.config, tied=False)
    with torch.device("meta"):
        new = HookedGPT2(config, model.tokenizer, name=model.name)
    state = {name: weight.double().clone() for name, weight in model.state_dict().items()}
    layers = range(config.n_layers)
    if fold_layer_norm:
        for i in layers:
            _fold(state, f"blocks.{i}.ln1", f"blocks.{i}.attn.W_QKV", f"blocks.{i}.attn.b_QKV")
            _fold(state, f"blocks.{i}.ln2", f"blocks.{i}.mlp.W_in", f"blocks.{i}.mlp.b_in")
        state["unembed.b_U"] += state["unembed.weight"] @ state["ln_final.b"]
        state["unembed.weight"] *= state["ln_final.w"]
        _reset_norm(state, "ln_final")
    if fold_value_biases:
        for i in layers:
            bias = state[f"blocks.{i}.attn.b_QKV"].view(3, config.n_heads, config.d_head)
            W_O = state[f"blocks.{i}.attn.W_O"]
            state[f"blocks.{i}.attn.b_O"] += einsum(bias[2], W_O, "h k, h k d -> d")
            bias[2] = 0
    if center_writing_weights:
        writers = ("W_E", "W_pos", "W_O", "b_O", "W_out", "b_out")
        for name in state:
            if name.endswith(writers):
                _center(state[name], -1)
    if center_unembed:
        _center(state["unembed.weight"], 0)
        _center(state["unembed.b_U"], 0)
    state = {name: weight.to(model.dtype) for name, weight in state.items()}
    new.load_state_dict(state, assign=True)
    return new.train(model.training)


def _fold(state: dict[str, Tensor], norm: str, weight: str, bias: str) -> None:
    state[bias] += state[f"{norm}.b"] @ state[weight]
    state[weight] *= state[f"{norm}.w"][:, None]
    _reset_norm(state, norm)


def _reset_norm(state: dict[str, Tensor], norm: str) -> None:
    state[f"{norm}.w"].fill_(1)
    state[f"{norm}.b"].fill_(0)


def _center(weight: Float[Tensor, "..."], dim: int) -> None:
    weight -= weight.mean(dim, keepdim=True)
