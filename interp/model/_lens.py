"""What `interp` uses from TransformerLens; no other module imports it.

Hook points and the root module make any `nn.Module` hookable; the config and the activation cache
are the types of TransformerLens's own tools, which therefore run on our model; `FactoredMatrix` is
a product of two thin matrices (OV, QK).

They need neither transformers nor datasets, which the whole package imports; see `_light_import`.
"""

from typing import TYPE_CHECKING

from interp.model._light_import import light_import

if TYPE_CHECKING:
    from transformer_lens import ActivationCache, FactoredMatrix, HookedRootModule
    from transformer_lens.config import TransformerLensConfig
    from transformer_lens.hook_points import HookPoint, LensHandle
else:
    _points, _root, _config, _cache, _factored, *_ = light_import(
        "transformer_lens",
        (
            *("hook_points", "HookedRootModule", "config", "ActivationCache", "FactoredMatrix"),
            "utilities.components_utils",  # ActivationCache looks up names with this
        ),
        hollow={
            "": (),
            "conversion_utils": (),
            "conversion_utils.conversion_steps": (),
            "utilities": ("slice", "tensors", "devices", "components_utils"),
        },
    )
    HookPoint, LensHandle = _points.HookPoint, _points.LensHandle
    HookedRootModule = _root.HookedRootModule
    TransformerLensConfig = _config.TransformerLensConfig
    ActivationCache = _cache.ActivationCache
    FactoredMatrix = _factored.FactoredMatrix

__all__ = [
    "ActivationCache",
    "FactoredMatrix",
    "HookPoint",
    "HookedRootModule",
    "LensHandle",
    "TransformerLensConfig",
]
