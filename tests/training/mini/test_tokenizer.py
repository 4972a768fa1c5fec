"""The byte-level BPE: words are single tokens, any text survives, transformers reads the files."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from interp.training.mini import document, single_token_words, train_tokenizer
from interp.training.mini.tokenizer import END_OF_TEXT


def make(d_vocab: int = 2048) -> PreTrainedTokenizerBase:
    rng = Random(0)
    documents = ["".join(document(rng)) for _ in range(2000)]
    return train_tokenizer(documents, d_vocab=d_vocab, n_ctx=128, words=single_token_words())


TOKENIZER = make()


def test_every_promised_word_is_one_token() -> None:
    for word in single_token_words():
        assert len(TOKENIZER(f" {word}")["input_ids"]) == 1, word
    assert {" 00", " 07", " 99"} <= {TOKENIZER.decode([i]) for i in range(len(TOKENIZER))}


def test_end_of_text_is_token_zero_and_never_comes_out_of_words() -> None:
    assert TOKENIZER.eos_token == TOKENIZER.bos_token == END_OF_TEXT
    assert TOKENIZER(END_OF_TEXT)["input_ids"] == [TOKENIZER.eos_token_id] == [0]
    assert 0 not in TOKENIZER("A document. And another.")["input_ids"]


@given(st.text(max_size=40).filter(lambda text: END_OF_TEXT not in text))
def test_any_text_survives(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER(text)["input_ids"]) == text


def test_too_small_a_vocabulary_names_the_word_it_breaks() -> None:
    with pytest.raises(ValueError, match=r"expected '\w+' .* one token.* 300 .*raise d_vocab"):
        make(300)


def test_transformers_and_tokenizers_read_the_saved_files(tmp_path: Path) -> None:
    TOKENIZER.save_pretrained(tmp_path)
    text = "When Mary and John went to the store, John gave a ring to Mary."
    expected = TOKENIZER(text)["input_ids"]
    assert AutoTokenizer.from_pretrained(tmp_path)(text)["input_ids"] == expected
    assert Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode(text).ids == expected


def test_same_documents_same_tokenizer() -> None:
    assert make().get_vocab() == TOKENIZER.get_vocab()
