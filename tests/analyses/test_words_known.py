"""Words that a model does not know are named, with what it does know."""

import pytest

import interp
from analyses import attention, logit_lens
from analyses.common.words_known import unknown_words, words_in_pieces


@pytest.fixture(scope="module")
def mini():
    return interp.load("mini")


def test_its_own_language_is_known(mini):
    assert not unknown_words(mini, attention.TEXT)
    assert not unknown_words(mini, "Then Mary and John went to the park, and John thanked Mary.")


@pytest.mark.parametrize("text", ["나는 학교에 간다", "Who passed the quantum exam", "zxq"])
def test_other_words_are_named(mini, text):
    said = unknown_words(mini, text)
    assert text.split()[-1] in said or text.split()[0] in said
    assert f"{mini.config.d_vocab:,} tokens" in said and "When Mary and John" in said


def test_pieces_are_those_of_the_tokenizer(mini):
    (pieces,) = words_in_pieces(mini.tokenizer, "zxq").values()
    assert pieces == [
        mini.tokenizer.decode([i]).strip() for i in mini.tokenizer(" zxq")["input_ids"]
    ]
    assert not words_in_pieces(mini.tokenizer, "17 32, ... ")


@pytest.mark.parametrize("analysis", [attention, logit_lens])
def test_pages_say_it(mini, analysis):
    report = analysis.run(mini, text="Who passed the quantum exam", n=0)
    assert "The vocabulary of mini lacks" in report.lead
