"""A tokenizer of whole words, for models whose vocabulary is a list in the code."""

from collections.abc import Sequence
from typing import Any

UNKNOWN, END_OF_TEXT = "<unk>", "<|endoftext|>"


def word_tokenizer(words: Sequence[str]) -> Any:
    """Make a tokenizer with one token per word, with or without a space before it.

    Args:
        words: the vocabulary; token ids count from 0 in this order, after the two special tokens

    Returns:
        A `PreTrainedTokenizerFast` of transformers. Any other word becomes the unknown token.

    Raises:
        ValueError: a word occurs twice

    Example:
        >>> word_tokenizer(["red", "blue"])("blue red").input_ids
        [3, 2]
    """
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = [END_OF_TEXT, UNKNOWN, *words]
    if len(set(vocabulary)) < len(vocabulary):
        raise ValueError("a vocabulary holds each word once; drop the repeats")
    ids = {word: i for i, word in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=UNKNOWN,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        clean_up_tokenization_spaces=False,
    )
