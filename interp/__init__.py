"""interp: open GPT-2, read every activation, and find the circuits behind its behavior.

Subpackages (`interp.tasks`, `interp.patching`, ...) are imported when they are first used.
"""

from importlib import import_module
from types import ModuleType

from interp.model import (
    AttentionWeights,
    GPT2Config,
    HookedGPT2,
    KeyValueCache,
    generate,
    load,
    load_attention,
    next_tokens,
    process_weights,
    sample,
    save,
    stream,
)
from interp.verification import VerificationReport, verify

_SUBPACKAGES = (
    "circuits",
    "heads",
    "lens",
    "metrics",
    "patching",
    "plots",
    "report",
    "results",
    "statistics",
    "tasks",
    "training",
)

__all__ = [
    "AttentionWeights",
    "GPT2Config",
    "HookedGPT2",
    "KeyValueCache",
    "VerificationReport",
    "generate",
    "load",
    "load_attention",
    "next_tokens",
    "process_weights",
    "sample",
    "save",
    "stream",
    "verify",
]


def __getattr__(name: str) -> ModuleType:
    if name in _SUBPACKAGES:
        return import_module(f"interp.{name}")
    raise AttributeError(f"module 'interp' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_SUBPACKAGES])
