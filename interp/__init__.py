"""interp: open GPT-2, read every activation, and find the circuits behind its behavior.

`import interp` imports nothing else: names and subpackages are imported when they are first used,
so that a command answers `--help`, or refuses an option, before torch is there.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interp import circuits as circuits
    from interp import execution as execution
    from interp import heads as heads
    from interp import lens as lens
    from interp import metrics as metrics
    from interp import model as model
    from interp import parts as parts
    from interp import patching as patching
    from interp import plots as plots
    from interp import report as report
    from interp import results as results
    from interp import statistics as statistics
    from interp import tasks as tasks
    from interp import training as training
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
    "execution",
    "heads",
    "lens",
    "metrics",
    "model",
    "parts",
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
_HOMES = dict.fromkeys(__all__, "interp.model") | dict.fromkeys(
    ("VerificationReport", "verify"), "interp.verification"
)


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return import_module(f"interp.{name}")
    if name in _HOMES:
        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value
    raise AttributeError(f"module 'interp' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_SUBPACKAGES])
