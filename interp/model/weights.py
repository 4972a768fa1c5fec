"""The weights under the names and shapes that the field uses, stacked over layers.

Source: Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits" (W_Q, W_K, W_V,
W_O, W_E, W_U); shapes: TransformerLens.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.model.checks import check_ids, check_whole


class WeightViews:
    """Weight properties of a model made of `embed`, `pos_embed`, `blocks` and `unembed`.

    Properties over several layers are stacked again at each access; `model.blocks[i].attn.W_Q` is a
    view of the weights themselves.
    """

    embed: Any
    pos_embed: Any
    blocks: Any
    unembed: Any

    def _stack(self, part: str, name: str) -> Float[Tensor, "layer ..."]:
        return torch.stack([getattr(getattr(block, part), name) for block in self.blocks])

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.embed.W_E.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        return self.embed.W_E.dtype

    @property
    def W_E(self) -> Float[Tensor, "d_vocab d_model"]:
        """Token embedding."""
        return self.embed.W_E

    @property
    def W_pos(self) -> Float[Tensor, "n_ctx d_model"]:
        """Position embedding."""
        return self.pos_embed.W_pos

    @property
    def W_U(self) -> Float[Tensor, "d_model d_vocab"]:
        """Unembedding."""
        return self.unembed.W_U

    @property
    def b_U(self) -> Float[Tensor, " d_vocab"]:
        """Unembedding bias: zero in GPT-2, but not after weight processing."""
        return self.unembed.b_U

    @property
    def W_Q(self) -> Float[Tensor, "layer head d_model d_head"]:
        """Query weights."""
        return self._stack("attn", "W_Q")

    @property
    def W_K(self) -> Float[Tensor, "layer head d_model d_head"]:
        """Key weights."""
        return self._stack("attn", "W_K")

    @property
    def W_V(self) -> Float[Tensor, "layer head d_model d_head"]:
        """Value weights."""
        return self._stack("attn", "W_V")

    @property
    def W_O(self) -> Float[Tensor, "layer head d_head d_model"]:
        """Output weights."""
        return self._stack("attn", "W_O")

    @property
    def b_Q(self) -> Float[Tensor, "layer head d_head"]:
        """Query biases."""
        return self._stack("attn", "b_Q")

    @property
    def b_K(self) -> Float[Tensor, "layer head d_head"]:
        """Key biases."""
        return self._stack("attn", "b_K")

    @property
    def b_V(self) -> Float[Tensor, "layer head d_head"]:
        """Value biases."""
        return self._stack("attn", "b_V")

    @property
    def b_O(self) -> Float[Tensor, "layer d_model"]:
        """Attention output biases."""
        return self._stack("attn", "b_O")

    @property
    def W_in(self) -> Float[Tensor, "layer d_model d_mlp"]:
        """MLP input weights."""
        return self._stack("mlp", "W_in")

    @property
    def b_in(self) -> Float[Tensor, "layer d_mlp"]:
        """MLP input biases."""
        return self._stack("mlp", "b_in")

    @property
    def W_out(self) -> Float[Tensor, "layer d_mlp d_model"]:
        """MLP output weights."""
        return self._stack("mlp", "W_out")

    @property
    def b_out(self) -> Float[Tensor, "layer d_model"]:
        """MLP output biases."""
        return self._stack("mlp", "b_out")

    def accumulated_bias(
        self, layer: int, mlp_input: bool = False, include_mlp_biases: bool = True
    ) -> Float[Tensor, " d_model"]:
        """The sum of all biases written to the residual stream before `layer`.

        Args:
            layer: the layer, from 0 to n_layers
            mlp_input: whether to count the attention bias of `layer` itself too
            include_mlp_biases: whether to count b_out

        Raises:
            ValueError: the layer does not exist
        """
        check_whole(layer, "layer", 0, len(self.blocks) - bool(mlp_input), note="(layers)")
        total = torch.zeros_like(self.blocks[0].attn.b_O)
        for block in self.blocks[:layer]:
            total = total + block.attn.b_O
            if include_mlp_biases:
                total = total + block.mlp.b_out
        return total + self.blocks[layer].attn.b_O if mlp_input else total

    def tokens_to_residual_directions(
        self, tokens: str | int | Int[Tensor, "..."]
    ) -> Float[Tensor, "... d_model"]:
        """The direction in the residual stream that raises each token's logit: columns of W_U.

        Args:
            tokens: a single-token text, a token id, or ids of any shape

        Raises:
            ValueError: a text is several tokens, or an id is outside the vocabulary
        """
        if isinstance(tokens, str):
            tokens = self.to_single_token(tokens)  # type: ignore[attr-defined]
        ids = torch.as_tensor(tokens, device=self.device)
        check_ids(ids, len(self.unembed.weight))
        return self.unembed.weight[ids]
