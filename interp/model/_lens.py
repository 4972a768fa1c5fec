"""What `interp` uses of TransformerLens: the only place that imports it.

Hook points and the root module make any `nn.Module` hookable; the config and the activation
cache are the vocabulary of TransformerLens's own tools, which therefore run on our model; a product
of two thin matrices (OV, QK) is its `FactoredMatrix`.
"""

from transformer_lens import ActivationCache, FactoredMatrix, HookedRootModule
from transformer_lens.config import TransformerLensConfig
from transformer_lens.hook_points import HookPoint

__all__ = [
    "ActivationCache",
    "FactoredMatrix",
    "HookPoint",
    "HookedRootModule",
    "TransformerLensConfig",
]
