"""The attention weights alone, from a model or from a checkpoint that holds little else.

What heads can do is determined by W_Q, W_K, W_V, W_O, the layer norm before them and the position
embedding. Analyses of weights need neither the token embedding nor MLPs, so both may be missing
from the file.

Layer norm x -> C x / scale * w + b, with C the centering over d_model, is folded into the weights:

    W -> C diag(w) W,  b -> b + ln_b W       for W_Q, W_K, W_V
    W_O -> W_O C,  b_O -> C b_O,  W_pos -> W_pos C

After folding, a head reads and writes only what layer norms let through, and products of one head's
output and another's input are what the model computes, up to the scale.

Source: Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"; TransformerLens
(weight processing).
"""

import os
import re
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from interp.model.checks import check_device, check_dtype, check_whole
from interp.model.config import GPT2Config
from interp.model.hf_layout import CheckpointError, parse_config, tensor_table
from interp.model.hooked_gpt2 import HookedGPT2
from interp.model.hub import MODEL_NAMES, locate
from interp.model.loading import _check_header, _open_weights, _read_json, _read_tensors

D_HEAD = 64
"""Width of a head in every published GPT-2, from distilgpt2 to gpt2-xl."""

_NEEDED = re.compile(r"pos_embed\.|blocks\.\d+\.(ln1|attn)\.")


@dataclass(frozen=True, eq=False, repr=False)
class AttentionWeights:
    """The weights of the attention layers of a GPT-2.

    Args:
        name: name of the model, in results and figures
        W_Q: query weights
        W_K: key weights
        W_V: value weights
        W_O: output weights
        b_Q: query biases
        b_K: key biases
        b_V: value biases
        b_O: output biases
        ln1_w: gains of the layer norms before attention
        ln1_b: their biases
        W_pos: position embedding
        eps: the constant under the layer norms' square root
    """

    name: str
    W_Q: Float[Tensor, "layer head d_model d_head"]
    W_K: Float[Tensor, "layer head d_model d_head"]
    W_V: Float[Tensor, "layer head d_model d_head"]
    W_O: Float[Tensor, "layer head d_head d_model"]
    b_Q: Float[Tensor, "layer head d_head"]
    b_K: Float[Tensor, "layer head d_head"]
    b_V: Float[Tensor, "layer head d_head"]
    b_O: Float[Tensor, "layer d_model"]
    ln1_w: Float[Tensor, "layer d_model"]
    ln1_b: Float[Tensor, "layer d_model"]
    W_pos: Float[Tensor, "n_ctx d_model"]
    eps: float = 1e-5

    @classmethod
    def of(cls, model: "HookedGPT2 | AttentionWeights") -> "AttentionWeights":
        """Take the attention weights of a model; attention weights are returned unchanged.

        Args:
            model: a model, or its attention weights

        Raises:
            TypeError: the argument is of another type
        """
        if isinstance(model, AttentionWeights):
            return model
        if not isinstance(model, HookedGPT2):
            raise TypeError(
                f"expected a HookedGPT2 or AttentionWeights, got {type(model).__name__}"
            )
        names = ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V", "b_O", "W_pos")
        weights = {name: getattr(model, name).detach() for name in names}
        norms = [torch.stack([getattr(b.ln1, x).detach() for b in model.blocks]) for x in "wb"]
        return cls(model.name, **weights, ln1_w=norms[0], ln1_b=norms[1], eps=model.config.eps)

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return self.W_Q.shape[0]

    @property
    def n_heads(self) -> int:
        """Heads in each layer."""
        return self.W_Q.shape[1]

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return self.W_Q.shape[2]

    @property
    def d_head(self) -> int:
        """Width of one head."""
        return self.W_Q.shape[3]

    def __repr__(self) -> str:
        """Name and sizes."""
        return (
            f"AttentionWeights({self.name!r}: {self.n_layers} layers of {self.n_heads} heads, "
            f"d_model {self.d_model}, d_head {self.d_head})"
        )

    def folded(self) -> "AttentionWeights":
        """Fold the layer norm into the weights; see the module.

        Returns:
            New weights with `ln1_w` 1 and `ln1_b` 0. Folding them again changes nothing.
        """
        gain, shift = self.ln1_w[:, None, :, None], self.ln1_b[:, None, None, :]
        new: dict[str, Any] = {
            name: _centered(getattr(self, name), -1) for name in ("W_O", "b_O", "W_pos")
        }
        for x in "QKV":
            weight, bias = getattr(self, f"W_{x}"), getattr(self, f"b_{x}")
            new[f"W_{x}"] = _centered(gain * weight, 2)
            new[f"b_{x}"] = bias + (shift @ weight).squeeze(-2)
        ones, zeros = torch.ones_like(self.ln1_w), torch.zeros_like(self.ln1_b)
        return replace(self, **new, ln1_w=ones, ln1_b=zeros)


def load_attention(
    name_or_path: str | os.PathLike[str],
    *,
    n_heads: int | None = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype = torch.float32,
) -> AttentionWeights:
    """Load only the attention weights of a GPT-2 checkpoint.

    Args:
        name_or_path: as for `interp.load`. The directory only needs model.safetensors (or shards),
            and of that only `h.*.attn.*`, `h.*.ln_1.*` and `wpe.weight`.
        n_heads: number of heads per layer, which the weights do not reveal; None reads config.json
            or, without that file, assumes heads of width 64, as in all published GPT-2s
        device: where the weights go; None is torch's default device
        dtype: the number format to compute in

    Returns:
        The weights, as in the file; `.folded()` folds the layer norm.

    Raises:
        ModelNotFoundError: the name is unknown, or a directory or file is missing
        CheckpointError: a file is damaged, or tensors are missing or have the wrong shape
        ValueError: there is less than one head, the dtype is not a floating-point one, or the
            device does not exist
        TypeError: an argument is of another type

    Example:
        >>> load_attention("mini").folded().W_pos.mean(-1).abs().max() < 1e-6
        tensor(True)
    """
    check_dtype(dtype)
    target = check_device(device)
    if n_heads is not None:
        check_whole(n_heads, "n_heads", 1)
    directory = locate(name_or_path)
    sources = _open_weights(directory)
    if "wpe.weight" not in sources:
        raise CheckpointError(f"{directory}: missing wpe.weight, the position embedding")
    handle, key = sources["wpe.weight"]
    n_ctx, d_model = handle.get_slice(key).get_shape()
    eps, path = 1e-5, directory / "config.json"
    if path.is_file():
        config = parse_config(_read_json(path))
        n_heads, eps = n_heads or config.n_heads, config.eps
    blocks = {int(name.split(".")[1]) for name in sources if name.startswith("h.")}
    try:
        shape = GPT2Config(
            n_layers=max(blocks, default=-1) + 1,
            n_heads=n_heads or d_model // D_HEAD,
            d_model=d_model,
            d_mlp=4 * d_model,
            d_vocab=1,
            n_ctx=n_ctx,
        )
    except ValueError as error:
        raise CheckpointError(f"{directory}: {error}; pass n_heads") from error
    table = {k: v for k, v in tensor_table(shape).items() if _NEEDED.match(k)}
    expected = dict(table.values())
    sources = {name: at for name, at in sources.items() if name in expected}
    _check_header(directory, sources, expected)
    stored = {name: t.to(target, dtype) for name, t in _read_tensors(directory, sources).items()}

    def stack(part: str) -> Float[Tensor, "layer ..."]:
        return torch.stack([stored[f"h.{i}.{part}"] for i in range(shape.n_layers)])

    heads = (3, shape.n_heads, shape.d_head)
    W_Q, W_K, W_V = (
        stack("attn.c_attn.weight").unflatten(-1, heads).permute(2, 0, 3, 1, 4)
    )  # l h d k
    b_Q, b_K, b_V = stack("attn.c_attn.bias").unflatten(-1, heads).unbind(1)  # l h k
    known = os.fspath(name_or_path) in MODEL_NAMES
    return AttentionWeights(
        name=os.fspath(name_or_path) if known else directory.resolve().name,
        W_Q=W_Q,
        W_K=W_K,
        W_V=W_V,
        W_O=stack("attn.c_proj.weight").unflatten(1, heads[1:]),
        b_Q=b_Q,
        b_K=b_K,
        b_V=b_V,
        b_O=stack("attn.c_proj.bias"),
        ln1_w=stack("ln_1.weight"),
        ln1_b=stack("ln_1.bias"),
        W_pos=stored["wpe.weight"],
        eps=eps,
    )


def _centered(weight: Float[Tensor, "..."], dim: int) -> Float[Tensor, "..."]:
    return weight - weight.mean(dim, keepdim=True)
