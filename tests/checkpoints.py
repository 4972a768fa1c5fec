"""Checkpoints as transformers writes them, with a tokenizer and faults put in on demand."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

from tests.helpers import hugging_face_gpt2

WORDS = ("<|endoftext|>", "Mary", "John", "gave", "a", "drink", "to")


def write_checkpoint(
    directory: Path, *, words: Sequence[str] | None = None, **sizes: Any
) -> GPT2LMHeadModel:
    """A tiny random GPT-2 in `directory`, with a tokenizer of whole words if there are `words`."""
    model = hugging_face_gpt2(**sizes)
    model.save_pretrained(directory)
    if words:
        write_tokenizer(directory, words)
    return model


def write_tokenizer(directory: Path, words: Sequence[str] = WORDS) -> None:
    vocabulary = {word: i for i, word in enumerate(words)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token=words[0]))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=words[0]).save_pretrained(directory)


def edit_json(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def edit_weights(directory: Path, edit: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = {name: t.clone() for name, t in load_file(directory / "model.safetensors").items()}
    edit(tensors)
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
