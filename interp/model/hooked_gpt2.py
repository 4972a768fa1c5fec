"""GPT-2 with a hook point on every activation.

One block computes, with x the residual stream (b batch, p position, d d_model, h head, k d_head):

    q, k, v = LN1(x) W_Q + b_Q,  LN1(x) W_K + b_K,  LN1(x) W_V + b_V
    pattern = softmax(mask(q k^T / sqrt(d_head)))
    x       = x + sum_h (pattern v)_h W_O_h + b_O
    x       = x + gelu(LN2(x) W_in + b_in) W_out + b_out

and the logits are LN_final(x) W_U + b_U. Every intermediate value passes a `HookPoint` under the
name that the literature uses (`blocks.9.attn.hook_z`, `blocks.9.hook_resid_pre`, ...).

What nobody asks for costs nothing: attention scores and patterns, layer norm scales, per-head
results and per-head q/k/v inputs are computed only in runs where one of their hook points has a
hook. Without hooks, attention and layer norm are one fused kernel each; the numbers agree up to
rounding. GELU is one fused kernel if gradients are needed; otherwise it is computed as in
transformers, so that with the same kernels the logits are identical to the last bit.

Weights have the memory layout of Hugging Face's files, so a memory-mapped checkpoint is used in
place; `W_Q [head d_model d_head]` and the other names of the field are views.

Source: Radford et al. 2019 (GPT-2); hook names: Nanda and Bloom 2022 (TransformerLens).
"""

import math
from collections.abc import Iterator, Sequence
from os import PathLike
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from interp.model._lens import TransformerLensConfig
from interp.model.checks import check_device, check_whole
from interp.model.config import GPT2Config
from interp.model.fingerprint import Kept, digest
from interp.model.generation import generate, stream
from interp.model.hook_points import HookPoint
from interp.model.hooking import HookedModule, takes_turn
from interp.model.inputs import (
    NO_TARGET,
    check_size,
    check_stream,
    layer_range,
    loss_targets,
    past_length,
    real_tokens,
)
from interp.model.key_value_cache import KeyValueCache
from interp.model.layers import Block, Embed, LayerNorm, PosEmbed, Unembed
from interp.model.masks import allowed_keys, position_ids
from interp.model.text import TextMethods
from interp.model.weights import WeightViews


class HookedGPT2(TextMethods, WeightViews, HookedModule):
    """A GPT-2 in which every activation can be read and replaced.

    `run_with_cache`, `run_with_hooks`, `hooks` and `add_hook` work as in TransformerLens, whose
    `ActivationCache`, `patching` and `head_detector` accept this model.

    Only one thread at a time can run the model: others wait until its run is over, and get an error
    while it is in a `with model.hooks(...)` block. For parallel work, give each thread a copy.

    Args:
        config: the model's shape
        tokenizer: a Hugging Face tokenizer; without one, the model takes only token ids
        name: name of the model in results and figures
        seed: seed of the random weights (Radford et al. 2019: normal with standard deviation 0.02,
            projections onto the residual stream divided by sqrt(2 n_layers)).

    Raises:
        TypeError: `config` or `seed` is of another type

    Example:
        >>> config = GPT2Config(n_layers=2, n_heads=2, d_model=8, d_mlp=32, d_vocab=10, n_ctx=16)
        >>> model = HookedGPT2(config)
        >>> logits, cache = model.run_with_cache(torch.tensor([[1, 2, 3]]))
        >>> cache["pattern", 0].shape
        torch.Size([1, 2, 3, 3])
    """

    def __init__(
        self,
        config: GPT2Config,
        tokenizer: Any = None,
        *,
        name: str = "untrained",
        seed: int = 0,
    ) -> None:
        if not isinstance(config, GPT2Config):
            raise TypeError(
                f"HookedGPT2 takes a GPT2Config, got {type(config).__name__}; to open a model use "
                "interp.load"
            )
        check_whole(seed, "seed")
        super().__init__()
        self.config, self.tokenizer, self.name = config, tokenizer, name
        self._digests: Kept = {}
        self.embed, self.hook_embed = Embed(config), HookPoint()
        self.pos_embed, self.hook_pos_embed = PosEmbed(config), HookPoint()
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.ln_final = LayerNorm(config)
        self.unembed = Unembed(config)
        if config.tied:
            self.unembed.weight = self.embed.W_E
        self._init_weights(seed)
        self.name_hook_points(
            {  # where TransformerBridge, and hence transformer_lens.patching, looks for them
                f"blocks.{i}.attn.hook_{x}_input": getattr(block, f"hook_{x}_input")
                for i, block in enumerate(self.blocks)
                for x in "qkv"
            }
        )
        self.eval()  # no dropout, and TransformerLens's tools refuse training mode

    def _init_weights(self, seed: int) -> None:
        if self.embed.W_E.is_meta:  # the loader fills in the weights
            return
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                writes = name.endswith(("W_O", "W_out"))
                std = 0.02 / math.sqrt(2 * self.config.n_layers) if writes else 0.02
                with torch.no_grad():
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)

    @property
    def cfg(self) -> TransformerLensConfig:
        """The configuration as TransformerLens's type, for its tools."""
        c = self.config
        return TransformerLensConfig(
            **{name: getattr(c, name) for name in ("d_model", "d_head", "n_layers", "n_ctx")},
            **{name: getattr(c, name) for name in ("n_heads", "d_mlp", "d_vocab", "eps", "act_fn")},
            device=str(self.device),
            dtype=self.dtype,
            default_prepend_bos=False,
            normalization_type="LN",
        )

    @takes_turn
    def forward(
        self,
        input: str | Sequence[str] | Int[Tensor, "..."] | Float[Tensor, "..."],
        attention_mask: Bool[Tensor, "b keys"] | Int[Tensor, "b keys"] | None = None,
        *,
        return_type: str | None = "logits",
        start_at_layer: int | None = None,
        stop_at_layer: int | None = None,
        past: KeyValueCache | None = None,
        prepend_bos: bool = False,
    ) -> Any:
        """Run the model.

        Args:
            input: a text, a list of texts (padded on the right), token ids [b p] or [p], or, with
                `start_at_layer`, the residual stream [b p d] before that layer
            attention_mask: nonzero at real tokens, over the tokens of `past` and `input`. Padding
                may be on either side and does not change the output of any real token. For texts,
                the mask is made automatically.
            return_type: "logits", "loss" (mean next-token cross-entropy, in nats), "both", or None
                to skip the unembedding, as TransformerLens's tools expect
            start_at_layer: skip the embeddings and the blocks before this one
            stop_at_layer: return the residual stream before this layer, [b p d], instead
            past: keys and values of earlier tokens; those of `input` are appended once the run has
                passed through every layer
            prepend_bos: put the end-of-text token before each text (the IOI paper does not)

        Returns:
            Logits [b p d_vocab], the loss, both, None, or the residual stream.

        Raises:
            ValueError: the input is empty, a token is outside the vocabulary, there are more tokens
                than n_ctx, the mask has another shape or a prompt is all padding, layers are out of
                range, the return type is unknown, there are no tokens for a loss, or `past` belongs
                to other prompts
            TypeError: the input is neither text nor a tensor
            RuntimeError: another thread has hooks on the model
        """
        first, last = layer_range(self.config.n_layers, start_at_layer, stop_at_layer)
        if start_at_layer is not None:
            check_stream(input, start_at_layer, self.config.d_model, self.dtype)
            resid, tokens = torch.as_tensor(input).to(self.device), None
        else:
            tokens, attention_mask = self._as_tokens(input, attention_mask, prepend_bos)
        batch, length = (resid if tokens is None else tokens).shape[:2]
        n_past = past_length(past, self.config, batch)
        check_size(batch, length, n_past, self.config.n_ctx)
        real = real_tokens(attention_mask, batch, n_past + length, self.device)
        targets = loss_targets(return_type, tokens, real, n_past, stop_at_layer)
        if tokens is not None:
            ids = position_ids(real, n_past, length, batch, self.device)
            resid = self.hook_embed(self.embed(tokens))
            resid = resid + self.hook_pos_embed(self.pos_embed(ids))
        mask = allowed_keys(real, n_past, length, self.device)
        seen = None if past is None else past.growing()
        for layer in range(first, last):
            resid = self.blocks[layer](resid, mask, seen, layer)
        output = resid if stop_at_layer is not None else self._read(resid, return_type, targets)
        if past is not None and seen is not None and (first, last) == (0, self.config.n_layers):
            past.keep(seen)  # only here, so that a run that fails changes nothing
        return output

    def _read(
        self, resid: Float[Tensor, "b p d"], return_type: str | None, targets: Tensor | None
    ) -> Any:
        normalized = self.ln_final(resid)
        if return_type is None:
            return None
        logits = self.unembed(normalized)
        if targets is None:
            return logits
        predicted = logits[:, :-1].flatten(0, 1)  # b*(p-1) d_vocab
        loss = F.cross_entropy(predicted, targets.flatten(), ignore_index=NO_TARGET)
        return loss if return_type == "loss" else (logits, loss)

    def to(self, *args: Any, **kwargs: Any) -> "HookedGPT2":
        """Move the weights or change their dtype, in place, as `torch.nn.Module.to` does.

        Raises:
            ValueError: the device does not exist
        """
        for device in (*args[:1], *(kwargs[name] for name in ("device",) if name in kwargs)):
            if isinstance(device, str | int | torch.device):
                check_device(device)
        return super().to(*args, **kwargs)

    def generate(self, prompt: Any, **settings: Any) -> Any:
        """Continue a prompt; see `interp.generate`."""
        return generate(self, prompt, **settings)

    def stream(self, prompt: str, **settings: Any) -> Iterator[str]:
        """Continue a text piece by piece; see `interp.stream`."""
        return stream(self, prompt, **settings)

    def fingerprint(self) -> str:
        """A short digest of the weights, with their names, shapes and dtype.

        Hashing takes about a third of a second for GPT-2 small; after that only tensors that
        changed are hashed.

        Returns:
            16 hex digits, equal for models that compute the same from the same weights, on any
            device; see `interp.model.fingerprint`.
        """
        tensors = [
            *self.named_parameters(remove_duplicate=False),
            *self.named_buffers(remove_duplicate=False),
        ]
        norms = {float(m.eps) for m in self.modules() if isinstance(m, LayerNorm)}
        return digest(tensors, self._digests, f"{self.config.act_fn} {sorted(norms)}")

    def save(self, directory: str | PathLike[str]) -> None:
        """Write a checkpoint that transformers reads; see `interp.save`."""
        from interp.model.saving import save

        save(self, directory)

    def set_use_split_qkv_input(self, use: bool) -> None:
        """Do nothing: per-head inputs are always there (transformer_lens.patching calls this)."""

    def set_use_attn_result(self, use: bool) -> None:
        """Do nothing: per-head results are always there (users of TransformerLens call this)."""
