"""Turn text into token ids in the form that tasks need.

No special tokens are added (the IOI paper uses no BOS), and rows are padded on the right, so a
token's position is its index in its own text.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Tokenize many texts at once, without special tokens or padding.

    Args:
        tokenizer: the model's tokenizer
        texts: the texts

    Returns:
        The token ids, one list per text.
    """
    if not texts:
        return []
    batch = tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False)
    return list(batch["input_ids"])


def pieces(tokenizer: PreTrainedTokenizerBase, text: str) -> list[str]:
    """Cut a text into its tokens, as strings.

    Args:
        tokenizer: the model's tokenizer
        text: any text

    Returns:
        The tokens, in order, with their leading spaces.
    """
    return [str(tokenizer.decode([token])) for token in encode(tokenizer, [text])[0]]


def encode_pairs(
    tokenizer: PreTrainedTokenizerBase,
    clean: Sequence[str],
    corrupted: Sequence[str],
    *,
    unit: str = "prompt",
) -> tuple[Int[Tensor, "prompt pos"], Int[Tensor, "prompt pos"], Bool[Tensor, "prompt pos"]]:
    """Tokenize clean and corrupted texts, and pad both on the right to the same shape.

    Args:
        tokenizer: the model's tokenizer. Padding is its pad token; its end-of-text token if it has
            no pad token; or id 0 if it has neither.
        clean: the clean texts, at least one
        corrupted: their corrupted partners, each with the same number of tokens
        unit: what an error calls an entry, "prompt" or "row"

    Returns:
        Clean tokens, corrupted tokens, and the mask of real tokens, which both share.

    Raises:
        ValueError: a text is empty, or the texts of a pair differ in their number of tokens
    """
    clean_rows, corrupted_rows = encode(tokenizer, clean), encode(tokenizer, corrupted)
    for i, (ours, theirs) in enumerate(zip(clean_rows, corrupted_rows, strict=True)):
        if not ours or not theirs:
            side = "corrupted" if ours else "clean"
            raise ValueError(f"{unit} {i}: the {side} text has no tokens; every text needs some")
        if len(ours) != len(theirs):
            raise ValueError(
                f"{unit} {i}: the clean text has {len(ours)} tokens, the corrupted one "
                f"{len(theirs)}; patching compares them position by position, so reword one:\n"
                f"  clean      {pieces(tokenizer, clean[i])}\n"
                f"  corrupted  {pieces(tokenizer, corrupted[i])}"
            )
    lengths = torch.tensor([len(row) for row in clean_rows])
    mask = torch.arange(int(lengths.max())) < lengths[:, None]  # b p
    return _pad(clean_rows, mask, tokenizer), _pad(corrupted_rows, mask, tokenizer), mask


def single_tokens(
    tokenizer: PreTrainedTokenizerBase, words: Sequence[str]
) -> tuple[dict[str, int], dict[str, list[str]]]:
    """Divide words into those that are one token after a space, and the others.

    Args:
        tokenizer: the model's tokenizer
        words: the words, without the space

    Returns:
        `ids`: word -> token id, for words of one token; and `split`: word -> its tokens, for the
            others; both in the order of `words`.
    """
    rows = encode(tokenizer, [f" {word}" for word in words])
    ids = {word: row[0] for word, row in zip(words, rows, strict=True) if len(row) == 1}
    split = {word: pieces(tokenizer, f" {word}") for word in words if word not in ids}
    return ids, split


def _pad(
    rows: list[list[int]], mask: Bool[Tensor, "prompt pos"], tokenizer: PreTrainedTokenizerBase
) -> Int[Tensor, "prompt pos"]:
    candidates = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
    fill = next(token for token in candidates if isinstance(token, int))
    tokens = torch.full(mask.shape, fill)
    tokens[mask] = torch.tensor([token for row in rows for token in row])
    return tokens
