"""GPT-2 with a hook point on every activation.

One block computes, with x the residual stream (b batch, p position, d d_model, h head, k d_head):

    q, k, v = LN1(x) W_Q + b_Q,  LN1(x) W_K + b_K,  LN1(x) W_V + b_V
    pattern = softmax(mask(q k^T / sqrt(d_head)))
    x       = x + sum_h (pattern v)_h W_O_h + b_O
    x       = x + gelu(LN2(x) W_in + b_in) W_out + b_out

and the logits are LN_final(x) W_U + b_U. Every arrow of this is a `HookPoint` under the name that
the literature gives it (`blocks.9.attn.hook_z`, `blocks.9.hook_resid_pre`, ...).

What nobody asks for costs nothing: attention scores and patterns, layer norm scales, per-head
results and per-head q/k/v inputs are computed only in a run where one of their hook points has a
hook. With none, attention and layer norm are one fused kernel each; the numbers agree up to
rounding. GELU is one fused kernel where gradients are wanted; elsewhere it is computed as
transformers does, so that with the same kernels the logits are the same to the last bit.

Weights lie in memory as Hugging Face stores them, so a memory-mapped checkpoint is used in place;
`W_Q [head d_model d_head]` and the other names of the field are views.

Source: Radford et al. 2019 (GPT-2); hook names: Nanda and Bloom 2022 (TransformerLens).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from os import PathLike
from typing import Any, Literal

import torch
import torch.nn.functional as F
from einops import einsum, rearrange, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from interp.model._lens import ActivationCache, HookedRootModule, HookPoint, TransformerLensConfig
from interp.model.config import GPT2Config
from interp.model.fingerprint import Kept, digest
from interp.model.generation import KeyValueCache, generate, stream
from interp.model.hooking import HookMethods
from interp.model.masks import allowed_keys, causal_mask, position_ids
from interp.model.text import TextMethods
from interp.model.weights import WeightViews

_GELU_SCALE = math.sqrt(2 / math.pi)


def _gelu_new(x: Tensor) -> Tensor:
    """GELU's tanh form, step by step as in transformers, so that both round alike."""
    return 0.5 * x * (1 + torch.tanh(_GELU_SCALE * (x + 0.044715 * x.pow(3))))


def _fused_gelu_new(x: Tensor) -> Tensor:
    """The same as one kernel."""
    return F.gelu(x, approximate="tanh")


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu_new": _gelu_new,
    "gelu": F.gelu,
    "relu": F.relu,
}
# d_model wide for each head: 12 times the memory of z in GPT-2 small, so cached only by name.
_PER_HEAD = ("hook_result", "hook_q_input", "hook_k_input", "hook_v_input")


class Embed(nn.Module):
    """Token embedding: a row of `W_E [d_vocab d_model]` for each token."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(config.d_vocab, config.d_model))

    def forward(self, tokens: Int[Tensor, "b p"]) -> Float[Tensor, "b p d"]:
        return F.embedding(tokens, self.W_E)


class PosEmbed(nn.Module):
    """Learned position embedding: a row of `W_pos [n_ctx d_model]` for each position."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(config.n_ctx, config.d_model))

    def forward(self, position_ids: Int[Tensor, "b p"]) -> Float[Tensor, "b p d"]:
        return F.embedding(position_ids, self.W_pos)


class LayerNorm(nn.Module):
    """normalized * w + b, where normalized = (x - mean) / scale, scale = sqrt(variance + eps)."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.eps = config.eps
        self.w = nn.Parameter(torch.ones(config.d_model))
        self.b = nn.Parameter(torch.zeros(config.d_model))
        self.hook_scale = HookPoint()  # b p 1
        self.hook_normalized = HookPoint()  # b p d, before w and b

    def forward(self, x: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        if not (self.hook_scale.has_hooks() or self.hook_normalized.has_hooks()):
            return self.unhooked(x)
        x = x - x.mean(-1, keepdim=True)
        scale = self.hook_scale((x.pow(2).mean(-1, keepdim=True) + self.eps).sqrt())
        return self.hook_normalized(x / scale) * self.w + self.b

    def unhooked(self, x: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        """The same function as one kernel, firing no hook."""
        return F.layer_norm(x, self.w.shape, self.w, self.b, self.eps)


class Attention(nn.Module):
    """Causal multi-head self-attention; heads are read and written through views of the weights."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        d, h, k = config.d_model, config.n_heads, config.d_head
        self.n_heads, self.d_head = h, k
        self.W_QKV = nn.Parameter(torch.empty(d, 3 * d))
        self.b_QKV = nn.Parameter(torch.zeros(3 * d))
        self.W_O = nn.Parameter(torch.empty(h, k, d))
        self.b_O = nn.Parameter(torch.zeros(d))
        self.hook_q, self.hook_k, self.hook_v = HookPoint(), HookPoint(), HookPoint()  # b p h k
        self.hook_attn_scores = HookPoint()  # b h q k, before the softmax, -inf where masked
        self.hook_pattern = HookPoint()  # b h q k
        self.hook_z = HookPoint()  # b p h k
        self.hook_result = HookPoint()  # b p h d

    def _head_weight(self, i: int) -> Float[Tensor, "h d k"]:
        return rearrange(self.W_QKV, "d (three h k) -> three h d k", three=3, h=self.n_heads)[i]

    def _head_bias(self, i: int) -> Float[Tensor, "h k"]:
        return self.b_QKV.view(3, self.n_heads, self.d_head)[i]

    W_Q = property(lambda self: self._head_weight(0), doc="Query weights [head d_model d_head].")
    W_K = property(lambda self: self._head_weight(1), doc="Key weights [head d_model d_head].")
    W_V = property(lambda self: self._head_weight(2), doc="Value weights [head d_model d_head].")
    b_Q = property(lambda self: self._head_bias(0), doc="Query biases [head d_head].")
    b_K = property(lambda self: self._head_bias(1), doc="Key biases [head d_head].")
    b_V = property(lambda self: self._head_bias(2), doc="Value biases [head d_head].")

    def project(
        self, x: Float[Tensor, "b p d"], x_heads: Sequence[Float[Tensor, "b p h d"] | None]
    ) -> list[Float[Tensor, "b p h k"]]:
        """Queries, keys and values of `x`, or of `x_heads[i]` where each head has its own input."""
        fused = F.linear(x, self.W_QKV.T, self.b_QKV)
        qkv = list(rearrange(fused, "b p (three h k) -> three b p h k", three=3, h=self.n_heads))
        for i, x_head in enumerate(x_heads):
            if x_head is not None:
                per_head = einsum(x_head, self._head_weight(i), "b p h d, h d k -> b p h k")
                qkv[i] = per_head + self._head_bias(i)
        return qkv

    def forward(
        self,
        x: Float[Tensor, "b p d"],
        x_heads: Sequence[Float[Tensor, "b p h d"] | None],
        mask: Bool[Tensor, "#b 1 p keys"] | None,
        past: KeyValueCache | None,
        layer: int,
    ) -> Float[Tensor, "b p d"]:
        q, k, v = self.project(x, x_heads)
        q, k, v = self.hook_q(q), self.hook_k(k), self.hook_v(v)
        if past is not None:
            k, v = past.append(layer, k, v)
        z = self.hook_z(self._attend(q, k, v, mask))  # b p h k
        if self.hook_result.has_hooks():
            result = self.hook_result(einsum(z, self.W_O, "b p h k, h k d -> b p h d"))
            return result.sum(-2) + self.b_O
        return F.linear(z.flatten(-2), self.W_O.flatten(0, 1).T, self.b_O)

    def _attend(
        self,
        q: Float[Tensor, "b p h k"],
        k: Float[Tensor, "b keys h k"],
        v: Float[Tensor, "b keys h k"],
        mask: Bool[Tensor, "#b 1 p keys"] | None,
    ) -> Float[Tensor, "b p h k"]:
        if not (self.hook_attn_scores.has_hooks() or self.hook_pattern.has_hooks()):
            q, k, v = (t.transpose(1, 2) for t in (q, k, v))  # b h p k
            z = F.scaled_dot_product_attention(q, k, v, mask, is_causal=mask is None)
            return z.transpose(1, 2)
        if mask is None:
            mask = causal_mask(q.shape[1], k.shape[1], q.device)
        scores = einsum(q, k, "b q h k, b s h k -> b h q s") / math.sqrt(self.d_head)
        scores = self.hook_attn_scores(scores.masked_fill(~mask, -math.inf))
        pattern = self.hook_pattern(scores.softmax(-1))
        return einsum(pattern, v, "b h q s, b s h k -> b q h k")


class MLP(nn.Module):
    """Two linear maps with an activation between: d_model -> d_mlp neurons -> d_model."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        d, m = config.d_model, config.d_mlp
        self.act = _ACTIVATIONS[config.act_fn]
        self.W_in, self.b_in = nn.Parameter(torch.empty(d, m)), nn.Parameter(torch.zeros(m))
        self.W_out, self.b_out = nn.Parameter(torch.empty(m, d)), nn.Parameter(torch.zeros(d))
        self.hook_pre, self.hook_post = HookPoint(), HookPoint()  # b p d_mlp

    @property
    def fused_act(self) -> Callable[[Tensor], Tensor]:
        """The activation as one kernel, where there is one: the same up to rounding, and faster."""
        return _fused_gelu_new if self.act is _gelu_new else self.act

    def forward(self, x: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        pre = self.hook_pre(F.linear(x, self.W_in.T, self.b_in))
        act = self.fused_act if pre.requires_grad else self.act
        return F.linear(self.hook_post(act(pre)), self.W_out.T, self.b_out)


class Block(nn.Module):
    """One layer: attention and MLP, each reading a normalized copy of the stream and adding to it.

    The per-head inputs `hook_q_input`, `hook_k_input`, `hook_v_input [b p h d]` are copies of the
    stream before LN1, one a head: what path patching changes. Each has its own layer norm, which
    does not fire the hooks of `ln1`.
    """

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.ln1, self.attn = LayerNorm(config), Attention(config)
        self.ln2, self.mlp = LayerNorm(config), MLP(config)
        self.hook_resid_pre, self.hook_attn_out, self.hook_resid_mid = _hook_points(3)  # b p d
        self.hook_mlp_in, self.hook_mlp_out, self.hook_resid_post = _hook_points(3)  # b p d
        self.hook_q_input, self.hook_k_input, self.hook_v_input = _hook_points(3)  # b p h d

    def _per_head_input(
        self, hook: HookPoint, resid: Float[Tensor, "b p d"]
    ) -> Float[Tensor, "b p h d"] | None:
        if not hook.has_hooks():
            return None
        return self.ln1.unhooked(hook(repeat(resid, "b p d -> b p h d", h=self.attn.n_heads)))

    def forward(
        self,
        resid: Float[Tensor, "b p d"],
        mask: Bool[Tensor, "#b 1 p keys"] | None,
        past: KeyValueCache | None,
        layer: int,
    ) -> Float[Tensor, "b p d"]:
        resid = self.hook_resid_pre(resid)
        inputs = (self.hook_q_input, self.hook_k_input, self.hook_v_input)
        x_heads = [self._per_head_input(hook, resid) for hook in inputs]
        attn_out = self.attn(self.ln1(resid), x_heads, mask, past, layer)
        resid = self.hook_resid_mid(resid + self.hook_attn_out(attn_out))
        mlp_out = self.mlp(self.ln2(self.hook_mlp_in(resid)))
        return self.hook_resid_post(resid + self.hook_mlp_out(mlp_out))


class Unembed(nn.Module):
    """Logits of the normalized stream: x W_U + b_U; `weight` is W_U transposed, as HF stores it."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(config.d_vocab, config.d_model))
        self.b_U: Tensor
        self.register_buffer("b_U", torch.zeros(config.d_vocab))

    @property
    def W_U(self) -> Float[Tensor, "d_model d_vocab"]:
        """Unembedding matrix [d_model d_vocab], a view."""
        return self.weight.T

    def forward(self, x: Float[Tensor, "... d"]) -> Float[Tensor, "... d_vocab"]:
        return F.linear(x, self.weight, self.b_U)


class HookedGPT2(HookMethods, TextMethods, WeightViews, HookedRootModule):
    """GPT-2 whose every activation can be read and replaced.

    `run_with_cache`, `run_with_hooks`, `hooks` and `add_hook` work as in TransformerLens, and its
    `ActivationCache`, `patching` and `head_detector` accept this model.

    Args:
        config: the model's shape.
        tokenizer: a Hugging Face tokenizer; without one the model takes token ids only.
        name: what the model is called in results and figures.
        seed: seed of the random weights (Radford et al. 2019: normal with standard deviation 0.02,
            projections onto the residual stream divided by sqrt(2 n_layers)).

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
        super().__init__()
        self.config, self.tokenizer, self.name = config, tokenizer, name
        self._own_levels: set[int] = set()
        self._digests: Kept = {}
        self.embed, self.hook_embed = Embed(config), HookPoint()
        self.pos_embed, self.hook_pos_embed = PosEmbed(config), HookPoint()
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.ln_final = LayerNorm(config)
        self.unembed = Unembed(config)
        if config.tied:
            self.unembed.weight = self.embed.W_E
        self._init_weights(seed)
        self._name_hook_points()
        self.eval()  # there is no dropout, and TransformerLens's tools refuse a model in training

    def _init_weights(self, seed: int) -> None:
        if self.embed.W_E.is_meta:  # the loader fills the weights in
            return
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                writes = name.endswith(("W_O", "W_out"))
                std = 0.02 / math.sqrt(2 * self.config.n_layers) if writes else 0.02
                with torch.no_grad():
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)

    def _name_hook_points(self) -> None:
        self.setup()
        aliases = {  # where TransformerBridge, and so transformer_lens.patching, looks for them
            f"blocks.{i}.attn.hook_{x}_input": getattr(block, f"hook_{x}_input")
            for i, block in enumerate(self.blocks)
            for x in "qkv"
        }
        self.mod_dict: dict[str, nn.Module] = _Names({**self.mod_dict, **aliases})

    @property
    def cfg(self) -> TransformerLensConfig:
        """The configuration in TransformerLens's own type, for its tools."""
        c = self.config
        return TransformerLensConfig(
            **{name: getattr(c, name) for name in ("d_model", "d_head", "n_layers", "n_ctx")},
            **{name: getattr(c, name) for name in ("n_heads", "d_mlp", "d_vocab", "eps", "act_fn")},
            device=str(self.device),
            dtype=self.dtype,
            default_prepend_bos=False,
            normalization_type="LN",
        )

    def forward(
        self,
        input: str | Sequence[str] | Int[Tensor, "..."] | Float[Tensor, "..."],
        attention_mask: Bool[Tensor, "b keys"] | Int[Tensor, "b keys"] | None = None,
        *,
        return_type: Literal["logits", "loss", "both"] | None = "logits",
        start_at_layer: int | None = None,
        stop_at_layer: int | None = None,
        past: KeyValueCache | None = None,
        prepend_bos: bool = False,
    ) -> Any:
        """Run the model.

        Args:
            input: text, a list of texts (padded on the right), token ids [b p] or [p], or, with
                `start_at_layer`, the residual stream [b p d] before that layer.
            attention_mask: nonzero where a token is real, over the tokens of `past` and `input`;
                padding may be on either side and changes no real token's output. Made from the
                texts when `input` is text.
            return_type: "logits", "loss" (mean next-token cross-entropy in nats), "both", or
                None to skip the unembedding, as TransformerLens's tools expect.
            start_at_layer: skip the embeddings and the blocks before this one.
            stop_at_layer: return the residual stream before this layer, [b p d], instead.
            past: keys and values of earlier tokens; those of `input` are appended to it.
            prepend_bos: put the end-of-text token before each text (the IOI paper does not).

        Returns:
            Logits [b p d_vocab], the loss, both, None, or the residual stream.

        Raises:
            ValueError: for empty input, tokens outside the vocabulary, more tokens than n_ctx, a
                mask of another shape, layers out of range.
        """
        first, last = self._layer_range(start_at_layer, stop_at_layer)
        if start_at_layer is not None:
            if not isinstance(input, Tensor) or not input.is_floating_point():
                raise ValueError(
                    f"start_at_layer={start_at_layer} takes the residual stream before that layer "
                    "as input, a float tensor [batch pos d_model]; got tokens or text"
                )
            resid, tokens = input, None
        else:
            tokens, attention_mask = self._as_tokens(input, attention_mask, prepend_bos)
        n_past = past.length if past is not None else 0
        batch, length = (resid if tokens is None else tokens).shape[:2]
        if length == 0 or n_past + length > self.config.n_ctx:
            raise ValueError(
                f"expected 1 to {self.config.n_ctx} tokens a prompt (n_ctx), got {n_past + length}"
            )
        real = self._check_mask(attention_mask, batch, n_past + length)
        if tokens is not None:
            ids = position_ids(real, n_past, length, batch, self.device)
            resid = self.hook_embed(self.embed(tokens))
            resid = resid + self.hook_pos_embed(self.pos_embed(ids))
        mask = allowed_keys(real, n_past, length, self.device)
        for layer in range(first, last):
            resid = self.blocks[layer](resid, mask, past, layer)
        if stop_at_layer is not None:
            return resid
        normalized = self.ln_final(resid)
        if return_type is None:
            return None
        logits = self.unembed(normalized)
        if return_type == "logits":
            return logits
        if tokens is None:
            raise ValueError("the loss needs tokens; with start_at_layer ask for logits")
        loss = _next_token_loss(logits, tokens, real)
        return loss if return_type == "loss" else (logits, loss)

    def _layer_range(self, start: int | None, stop: int | None) -> tuple[int, int]:
        n = self.config.n_layers
        ends = (0 if start is None else start, n if stop is None else stop)
        first, last = (i + n if i < 0 else i for i in ends)
        if not 0 <= first <= last <= n:
            raise ValueError(
                f"expected 0 <= start_at_layer <= stop_at_layer <= {n} (n_layers), got "
                f"start_at_layer={start}, stop_at_layer={stop}"
            )
        return first, last

    def _check_mask(self, mask: Tensor | None, batch: int, keys: int) -> Tensor | None:
        if mask is None:
            return None
        if mask.shape != (batch, keys):
            raise ValueError(
                f"attention_mask must have one entry a token, shape {(batch, keys)}, got "
                f"{tuple(mask.shape)}"
            )
        mask = mask.to(self.device).bool()
        return None if bool(mask.all()) else mask

    def generate(self, prompt: Any, **settings: Any) -> Any:
        """Continue a prompt; see `interp.generate`."""
        return generate(self, prompt, **settings)

    def stream(self, prompt: str, **settings: Any) -> Iterator[str]:
        """Continue a text piece by piece; see `interp.stream`."""
        return stream(self, prompt, **settings)

    def fingerprint(self) -> str:
        """A short digest of the weights, their names, shapes and number format.

        Hashing takes about a third of a second for GPT-2 small; after that only tensors that
        changed are hashed.

        Returns:
            16 hex digits, the same for models that compute the same from the same weights,
            wherever they are; see `interp.model.fingerprint`.
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

    # ---- reading activations ---------------------------------------------------------------

    def run_with_cache(
        self, *args: Any, remove_batch_dim: bool = False, **kwargs: Any
    ) -> tuple[Any, ActivationCache]:
        """Run the model and keep its activations.

        Args:
            *args: of `forward`.
            remove_batch_dim: drop the batch dimension of a single prompt.
            **kwargs: of `forward`; and `names_filter` (a hook name, several, or a predicate; None
                keeps everything except the per-head results and q/k/v inputs, which are d_model
                wide for each head and must be named), `device`, `incl_bwd` (also gradients, of a
                run with return_type="loss"), `pos_slice`, as in TransformerLens.

        Returns:
            What `forward` returns, and the activations by name.

        Raises:
            KeyError: for a hook name that does not exist, with the nearest ones.
        """
        output, cache = super().run_with_cache(*args, remove_batch_dim=remove_batch_dim, **kwargs)
        return output, ActivationCache(cache, self, has_batch_dim=not remove_batch_dim)

    def get_caching_hooks(
        self, names_filter: Any = None, *args: Any, **kwargs: Any
    ) -> tuple[dict[str, Tensor], list[Any], list[Any]]:
        """The hooks behind `run_with_cache`; see there and TransformerLens."""
        if names_filter is None:
            names_filter = _is_cheap
        elif not callable(names_filter):
            names = [names_filter] if isinstance(names_filter, str) else list(names_filter)
            names_filter = {self.mod_dict[name].name for name in names}.__contains__
        return super().get_caching_hooks(names_filter, *args, **kwargs)

    def set_use_split_qkv_input(self, use: bool) -> None:
        """Nothing to switch: per-head inputs are always there (transformer_lens.patching asks)."""

    def set_use_attn_result(self, use: bool) -> None:
        """Nothing to switch: per-head results are always there (TransformerLens users ask)."""


class _Names(dict[str, nn.Module]):
    """Modules by name; a name that is not there is answered with the nearest ones."""

    def __missing__(self, name: str) -> nn.Module:
        hooks = [key for key, module in self.items() if isinstance(module, HookPoint)]
        near = get_close_matches(name, hooks, n=3) or hooks[:3]
        raise KeyError(f"no hook point {name!r}; nearest: {', '.join(near)}")


def _hook_points(n: int) -> tuple[HookPoint, ...]:
    return tuple(HookPoint() for _ in range(n))


def _is_cheap(name: str) -> bool:
    return not name.endswith(_PER_HEAD)


def _next_token_loss(
    logits: Float[Tensor, "b p d_vocab"], tokens: Int[Tensor, "b p"], real: Tensor | None
) -> Float[Tensor, ""]:
    targets = tokens[:, 1:].clone()
    if real is not None:
        targets[~(real[:, 1:] & real[:, :-1])] = -100
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), targets.flatten(), ignore_index=-100)
