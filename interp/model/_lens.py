"""What `interp` uses of TransformerLens: the only place that imports it.

Hook points and the root module make any `nn.Module` hookable; the config and the activation
cache are the vocabulary of TransformerLens's own tools, which therefore run on our model.
"""

from transformer_lens import ActivationCache, HookedRootModule
from transformer_lens.config import TransformerLensConfig
from transformer_lens.hook_points import HookPoint

__all__ = ["ActivationCache", "HookPoint", "HookedRootModule", "TransformerLensConfig"]
