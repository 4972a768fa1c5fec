"""Set the weights of a GPT-2 by hand, with a subspace of the residual stream for each meaning.

Every meaning ("this token is the name Mary", "position 7", "the name that came before") is one of a
set of orthonormal directions. A head is made of clauses:

    match(a, b, s)    score  +s  where the query's coordinate in a is the key's coordinate in b
    look(b, s)        score  +s  for every key that has anything in b, whatever the query
    move(a, b, s)     what is attended to adds s times its coordinates in a to those in b
    raise_all(b, s)   whatever is attended to, s is added to every coordinate in b

Layer norm would make exact weights impossible, so its effect is removed. Every position carries a
ballast of length BALLAST sqrt(d_model) in the first two coordinates, +b and -b. All layer norms
have gain 0 there and gain BALLAST elsewhere, and all directions sum to zero over the other
coordinates. Thus the mean is zero, and what heads write hardly changes the length: layer norm
multiplies signals of length s by 1 - s^2 / (2 BALLAST^2 d_model), which is 1 to within about one
part in a thousand.

The MLPs are zero. The directions are a random rotation of the coordinates, so that, as in a trained
model, no weight matrix shows its plan to the eye.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from interp.model import GPT2Config, HookedGPT2
from interp.model.hooked_gpt2 import LayerNorm
from interp.parts import Head

BALLAST = 10.0
_D_MLP = 8


class Workbench:
    """A GPT-2 whose weights are zero until they are set.

    Args:
        name: name of the model
        tokenizer: the model's tokenizer, a `PreTrainedTokenizerBase`; each of its tokens gets an
            embedding
        spaces: name of each subspace -> its number of directions; "position" is added
        n_layers: number of blocks
        n_heads: number of heads in each block
        d_head: width of a head, which must hold what its clauses match and move
        n_ctx: length of the longest prompt, in tokens
        seed: seed of the rotation and of the places of heads in their layers

    Raises:
        ValueError: there are more directions than the model has dimensions
    """

    def __init__(
        self,
        name: str,
        tokenizer: Any,
        spaces: Mapping[str, int],
        *,
        n_layers: int,
        n_heads: int,
        d_head: int,
        n_ctx: int,
        seed: int,
    ) -> None:
        sizes, d_model = {**spaces, "position": n_ctx}, n_heads * d_head
        if sum(sizes.values()) > d_model - 3:
            raise ValueError(
                f"{sum(sizes.values())} directions do not fit: {n_heads} heads of {d_head} leave "
                f"{d_model - 3}"
            )
        config = GPT2Config(
            n_layers=n_layers,
            n_heads=n_heads,
            d_model=d_model,
            d_mlp=_D_MLP,
            d_vocab=len(tokenizer),
            n_ctx=n_ctx,
            tied=False,
        )
        self.model = HookedGPT2(config, tokenizer, name=name)
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)
            if parameter.ndim > 1:
                parameter.zero_()
        generator = torch.Generator().manual_seed(seed)
        self._spaces = _directions(sizes, d_model, generator)
        self._places = [
            torch.randperm(n_heads, generator=generator).tolist() for _ in range(n_layers)
        ]
        self.model.pos_embed.W_pos.copy_(self._spaces["position"])
        self.model.pos_embed.W_pos[:, :2] = torch.tensor([1.0, -1.0])
        self.model.pos_embed.W_pos[:, :2] *= BALLAST * math.sqrt(d_model / 2)
        for module in self.model.modules():
            if isinstance(module, LayerNorm):
                module.w[:2], module.w[2:] = 0.0, BALLAST

    def embed(self, token: int, space: str, index: int) -> None:
        """Set a token's embedding to one direction of a subspace."""
        self.model.embed.W_E[token] = self._spaces[space][index]

    def unembed(self, token: int, space: str, index: int, strength: float) -> None:
        """Set a token's logit to `strength` times one coordinate of a subspace."""
        self.model.unembed.weight[token] = strength * self._spaces[space][index]

    def head(self, layer: int) -> "HandSetHead":
        """The next free head of a layer; its place in the layer depends on the seed."""
        return HandSetHead(self.model, self._spaces, layer, self._places[layer].pop())


class HandSetHead:
    """A head whose clauses are added one by one.

    Args:
        model: the head's model
        spaces: the directions of each subspace
        layer: index of its block, from 0
        head: index within the block, from 0
    """

    def __init__(
        self, model: HookedGPT2, spaces: Mapping[str, Tensor], layer: int, head: int
    ) -> None:
        self.layer, self.head = layer, head
        self._attn, self._spaces = model.blocks[layer].attn, spaces
        self._looked = self._moved = 0  # dimensions of the head in use

    @property
    def part(self) -> Head:
        """The head."""
        return Head(self.layer, self.head)

    def match(self, query: str, key: str, strength: float, *, back: int = 0) -> "HandSetHead":
        """Score `strength` where the query's coordinate minus `back` is the key's coordinate."""
        q, k = self._spaces[query][back:], self._spaces[key]
        n = min(len(q), len(k))
        dims = self._take(n)
        scale = math.sqrt(abs(strength) * math.sqrt(self._attn.d_head))
        self._attn.W_Q[self.head, :, dims] = scale * q[:n].T
        self._attn.W_K[self.head, :, dims] = math.copysign(scale, strength) * k[:n].T
        return self

    def look(self, key: str, strength: float, *, at: int | None = None) -> "HandSetHead":
        """Score `strength` for keys with any coordinate of a subspace, or with the one `at`."""
        k = self._spaces[key]
        direction = k.sum(0) if at is None else k[at]
        dim = self._take(1)
        scale = math.sqrt(abs(strength) * math.sqrt(self._attn.d_head))
        self._attn.b_Q[self.head, dim] = scale
        self._attn.W_K[self.head, :, dim] = math.copysign(scale, strength) * direction[:, None]
        return self

    def move(self, source: str, target: str, strength: float = 1.0) -> "HandSetHead":
        """Add `strength` times what is attended to in a subspace to another of its size."""
        value, out = self._spaces[source], self._spaces[target]
        dims = self._checked(slice(self._moved, self._moved + len(value)))
        self._moved = dims.stop
        self._attn.W_V[self.head, :, dims] = value.T
        self._attn.W_O[self.head, dims] = strength * out
        return self

    def raise_all(self, target: str, strength: float) -> "HandSetHead":
        """Add `strength` to all coordinates of a subspace, wherever the head looks."""
        dim = self._moved
        self._moved = self._checked(slice(dim, dim + 1)).stop
        self._attn.b_V[self.head, dim] = strength
        self._attn.W_O[self.head, dim] = self._spaces[target].sum(0)
        return self

    def _take(self, n: int) -> slice:
        dims = slice(self._looked, self._looked + n)
        self._looked = dims.stop
        return self._checked(dims)

    def _checked(self, dims: slice) -> slice:
        if dims.stop > self._attn.d_head:
            raise ValueError(f"head {self.part} is too narrow: it needs {dims.stop} dimensions")
        return dims


def blur(model: HookedGPT2, noise: float, seed: int) -> None:
    """Add Gaussian noise to every weight matrix of a model, MLPs and embeddings too, in place.

    Args:
        model: the model
        noise: level of the noise: about the length of what it adds to the image of a vector of
            length 1. The standard deviation of a weight's noise is noise / sqrt(d_model).
        seed: seed of the noise

    Raises:
        ValueError: the noise is negative or not finite
    """
    if not 0 <= noise < math.inf:
        raise ValueError(f"noise must be at least 0 and finite, got {noise}")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                random = torch.randn(parameter.shape, generator=generator)
                parameter += noise / math.sqrt(model.config.d_model) * random


def _directions(
    sizes: Mapping[str, int], d_model: int, generator: torch.Generator
) -> dict[str, Float[Tensor, "direction d_model"]]:
    """Orthonormal directions for each subspace, 0 in the first two coordinates and with sum 0."""
    random = torch.randn(d_model - 2, d_model - 2, generator=generator, dtype=torch.float64)
    random[:, 0] = 1.0
    directions = F.pad(torch.linalg.qr(random).Q.T[1:].float(), (2, 0))
    counts: Sequence[int] = list(sizes.values())
    parts = directions[: sum(counts)].split(list(counts))
    return dict(zip(sizes, parts, strict=True))
