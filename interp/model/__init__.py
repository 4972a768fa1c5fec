"""The hooked GPT-2: configuration, checkpoints, weights, text, generation, weight processing."""

from interp.model.attention_only import AttentionWeights, load_attention
from interp.model.config import GPT2Config
from interp.model.generation import generate, sample, stream
from interp.model.hooked_gpt2 import HookedGPT2
from interp.model.key_value_cache import KeyValueCache
from interp.model.loading import load
from interp.model.processing import process_weights
from interp.model.saving import save
from interp.model.text import next_tokens

__all__ = [
    "AttentionWeights",
    "GPT2Config",
    "HookedGPT2",
    "KeyValueCache",
    "generate",
    "load",
    "load_attention",
    "next_tokens",
    "process_weights",
    "sample",
    "save",
    "stream",
]
