"""The hooked GPT-2: its configuration, weights, text, generation and weight processing."""

from interp.model.config import GPT2Config
from interp.model.generation import KeyValueCache, generate, sample, stream
from interp.model.hooked_gpt2 import HookedGPT2
from interp.model.processing import process_weights
from interp.model.text import next_tokens

__all__ = [
    "GPT2Config",
    "HookedGPT2",
    "KeyValueCache",
    "generate",
    "next_tokens",
    "process_weights",
    "sample",
    "stream",
]
