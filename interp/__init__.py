"""interp: open GPT-2, read every activation, and find the circuits behind its behavior."""

from interp.model import (
    GPT2Config,
    HookedGPT2,
    KeyValueCache,
    generate,
    load,
    next_tokens,
    process_weights,
    sample,
    save,
    stream,
)
from interp.verification import VerificationReport, verify

__all__ = [
    "GPT2Config",
    "HookedGPT2",
    "KeyValueCache",
    "VerificationReport",
    "generate",
    "load",
    "next_tokens",
    "process_weights",
    "sample",
    "save",
    "stream",
    "verify",
]
