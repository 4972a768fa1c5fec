"""The layers of GPT-2, with a hook point for every intermediate value.

Attention scores and patterns, layer norm scales, per-head results and per-head q/k/v inputs are
computed only if one of their hook points has a hook; otherwise attention and layer norm are one
fused kernel each.
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from einops import einsum, rearrange, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from interp.model.config import GPT2Config
from interp.model.hook_points import HookPoint
from interp.model.key_value_cache import GrowingCache
from interp.model.masks import causal_mask

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
        """The same function as one kernel, without firing hooks."""
        return F.layer_norm(x, self.w.shape, self.w, self.b, self.eps)


class Attention(nn.Module):
    """Causal multi-head self-attention, with the heads as views of the weights."""

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
        """Queries, keys and values of `x`, or of `x_heads[i]` if each head has its own input."""
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
        past: GrowingCache | None,
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
        """The activation as one kernel, if there is one: the same up to rounding, and faster."""
        return _fused_gelu_new if self.act is _gelu_new else self.act

    def forward(self, x: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        pre = self.hook_pre(F.linear(x, self.W_in.T, self.b_in))
        act = self.fused_act if pre.requires_grad else self.act
        return F.linear(self.hook_post(act(pre)), self.W_out.T, self.b_out)


class Block(nn.Module):
    """One layer: attention and MLP, each reading a normalized copy of the stream and adding to it.

    The per-head inputs `hook_q_input`, `hook_k_input` and `hook_v_input`, [b p h d], are copies of
    the stream before LN1, one per head, for path patching to change. Each has its own layer norm,
    which does not fire the hooks of `ln1`.
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
        past: GrowingCache | None,
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
    """Logits of the normalized stream, x W_U + b_U; `weight` is W_U transposed, as HF stores it."""

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


def _hook_points(n: int) -> tuple[HookPoint, ...]:
    return tuple(HookPoint() for _ in range(n))
