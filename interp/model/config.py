"""The shape of a GPT-2: the few numbers that determine the shape of every tensor.

Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", table 2.
"""

import math
from dataclasses import dataclass

from interp.model.checks import check_whole

ACTIVATIONS = ("gelu_new", "gelu", "relu")


@dataclass(frozen=True)
class GPT2Config:
    """The hyperparameters of a GPT-2, under the names that the field uses.

    Args:
        n_layers: number of transformer blocks
        n_heads: number of attention heads in each block
        d_model: width of the residual stream; a multiple of `n_heads`
        d_mlp: number of neurons in each block's MLP (GPT-2: 4 * d_model)
        d_vocab: number of tokens
        n_ctx: length of the longest sequence, in tokens
        eps: the constant under LayerNorm's square root
        act_fn: the MLP's activation: "gelu_new" (GPT-2's tanh form), "gelu" or "relu"
        tied: whether the unembedding is the transpose of the token embedding

    Raises:
        ValueError: a size is below one, the heads do not divide the width, the activation is
            unknown, or eps is not a positive number
        TypeError: a size is not an integer

    Example:
        >>> GPT2Config(n_layers=12, n_heads=12, d_model=768, d_mlp=3072, d_vocab=50257).d_head
        64
    """

    n_layers: int
    n_heads: int
    d_model: int
    d_mlp: int
    d_vocab: int
    n_ctx: int = 1024
    eps: float = 1e-5
    act_fn: str = "gelu_new"
    tied: bool = True

    def __post_init__(self) -> None:
        sizes = ("n_layers", "n_heads", "d_model", "d_mlp", "d_vocab", "n_ctx")
        for name in sizes:
            check_whole(getattr(self, name), name, 1)
        if self.d_model % self.n_heads:
            raise ValueError(
                f"d_model must be a multiple of n_heads, got d_model={self.d_model} and "
                f"n_heads={self.n_heads}"
            )
        if not 0 < self.eps < math.inf:
            raise ValueError(f"eps must be a positive number, got {self.eps}")
        if self.act_fn not in ACTIVATIONS:
            raise ValueError(f"act_fn must be one of {ACTIVATIONS}, got {self.act_fn!r}")

    @property
    def d_head(self) -> int:
        """Width of one attention head."""
        return self.d_model // self.n_heads
