"""Encoding in pairs."""

import pytest
import torch
from tokenizers import Tokenizer, processors
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from interp.tasks.tokens import encode, encode_pairs, pieces, single_tokens


def test_tokens_spell_the_text(tokenizer: PreTrainedTokenizerBase) -> None:
    text = "Yesterday Mary met John"
    (row,) = encode(tokenizer, [text])
    assert tokenizer.decode(row) == text
    assert pieces(tokenizer, text)[-2:] == [" met", " John"]
    assert encode(tokenizer, []) == []


def test_no_special_tokens(small_tokenizer: PreTrainedTokenizerFast) -> None:
    with_bos = Tokenizer.from_str(small_tokenizer.backend_tokenizer.to_str())
    with_bos.post_processor = processors.TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=with_bos, eos_token="<|endoftext|>")
    assert tokenizer("Mary")["input_ids"][0] == 0
    assert encode(tokenizer, ["Mary"]) == encode(small_tokenizer, ["Mary"])


def test_pairs_are_padded_on_the_right(tokenizer: PreTrainedTokenizerBase) -> None:
    clean, corrupted, mask = encode_pairs(
        tokenizer, ["Yesterday Mary met John", " Mary"], ["Yesterday John met Mary", " John"]
    )
    assert mask.sum(-1).tolist() == [len(pieces(tokenizer, "Yesterday Mary met John")), 1]
    assert mask[1].tolist() == [True] + [False] * (mask.shape[1] - 1)
    assert set(clean[~mask].tolist()) == {tokenizer.eos_token_id}
    assert torch.equal(mask, torch.arange(mask.shape[1]) < mask.sum(-1)[:, None])
    assert tokenizer.decode(corrupted[0]) == "Yesterday John met Mary"


def test_pairs_that_do_not_match(tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(ValueError, match=r"(?s)row 1: the clean text has . tokens.*' John'"):
        encode_pairs(tokenizer, ["a", "Mary met John"], ["a", "Mary met"], unit="row")
    with pytest.raises(ValueError, match="prompt 0: the corrupted text has no tokens"):
        encode_pairs(tokenizer, ["a"], [""])


def test_single_tokens(small_tokenizer: PreTrainedTokenizerBase) -> None:
    ids, split = single_tokens(small_tokenizer, ["Mary", "xqzvj", "John"])
    assert list(ids) == ["Mary", "John"]
    assert small_tokenizer.decode([ids["John"]]) == " John"
    assert list(split) == ["xqzvj"]
    assert "".join(split["xqzvj"]) == " xqzvj"
