"""Tokenizers for the tests of tasks: a small one made here, and GPT-2's where it is at hand."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from interp.tasks.templates import read_prompts

GPT2 = Path(__file__).parents[2].parent / "shared" / "gpt2-tokenizer"


@pytest.fixture(scope="session")
def small_tokenizer() -> PreTrainedTokenizerBase:
    """A byte-level BPE like GPT-2's with every word of interp's own prompts, but for "Timothy"."""
    file = read_prompts()
    words = [*file.names, *file.places, *file.objects, "".join(file.templates)]
    text = "".join(f" {word}" for word in words if word != "Timothy")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=3000,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text] * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")


@pytest.fixture(scope="session")
def gpt2_tokenizer() -> PreTrainedTokenizerBase:
    """GPT-2's own tokenizer."""
    if not GPT2.is_dir():
        pytest.skip(f"GPT-2's tokenizer is not at {GPT2}")
    return AutoTokenizer.from_pretrained(GPT2)


@pytest.fixture(scope="session", params=["small", "gpt2"])
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerBase:
    """Each of the two."""
    return request.getfixturevalue(f"{request.param}_tokenizer")
