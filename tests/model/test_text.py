"""Text to tokens and back, with the mini tokenizer and with GPT-2's real one."""

import pytest
import torch

import interp
from tests.helpers import random_model


@pytest.fixture(scope="module")
def mini():
    return interp.load("mini")


@pytest.fixture(scope="module")
def gpt2(shared):
    from transformers import AutoTokenizer

    model = random_model(d_vocab=50257)
    model.tokenizer = AutoTokenizer.from_pretrained(shared / "gpt2-tokenizer")
    return model


def test_gpt2s_ids(gpt2):
    assert gpt2.to_tokens("Hello, world").tolist() == [[15496, 11, 995]]
    assert gpt2.to_str_tokens("Hello, world") == ["Hello", ",", " world"]
    assert gpt2.to_string([15496, 11, 995]) == "Hello, world"


def test_no_bos_unless_asked(gpt2):
    assert gpt2.to_tokens("Hello", prepend_bos=True).tolist() == [[50256, 15496]]
    assert torch.equal(
        gpt2("Hello", prepend_bos=True)[0, 1], gpt2(torch.tensor([50256, 15496]))[0, 1]
    )


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_and_mask(gpt2, side):
    tokens, mask = gpt2.tokenize(["Hello, world", "Hello"], padding_side=side)
    real = [False, False, True] if side == "left" else [True, False, False]
    assert mask.tolist() == [[True] * 3, real]
    assert tokens[1][mask[1]].tolist() == [15496]


def test_a_batch_of_texts_is_each_text(gpt2):
    texts = ["Hello, world", "Hello"]
    torch.testing.assert_close(gpt2(texts)[1, 0], gpt2(texts[1])[0, 0], atol=1e-5, rtol=1e-5)


def test_round_trip(mini):
    text = "Mary and John went to the market."
    tokens = mini.to_tokens(text)
    assert mini.to_string(tokens[0]) == text
    assert mini.to_string(tokens) == [text]
    assert "".join(mini.to_str_tokens(text)) == text
    assert "".join(mini.to_str_tokens(tokens)) == text


def test_single_token(gpt2):
    assert gpt2.to_string(gpt2.to_single_token(" Mary")) == " Mary"
    with pytest.raises(ValueError, match=r"not a single token but \['Z', 'eb', 'ul', 'on'\]$"):
        gpt2.to_single_token("Zebulon")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("Rivera", "; did you mean ' Rivera'?"),
        (" Zebulon", None),
        ("Zebulon", None),
        (" ing", "; did you mean 'ing'?"),
    ],
)
def test_only_what_is_a_single_token_is_suggested(gpt2, text, hint):
    if len(gpt2.to_tokens(text)[0]) == 1:
        pytest.skip(f"{text!r} is a single token")
    with pytest.raises(ValueError, match="not a single token") as error:
        gpt2.to_single_token(text)
    assert str(error.value).endswith(hint or "]")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "text 0 is empty"),
        ([], "at least one text"),
        (["a", ""], "text 1 is empty"),
    ],
)
def test_bad_text_is_explained(gpt2, text, message):
    with pytest.raises(ValueError, match=message):
        gpt2.tokenize(text)


def test_too_long_a_text_is_named(gpt2):
    with pytest.raises(ValueError, match=r"text 1 has 40 tokens.*32"):
        gpt2.tokenize(["a", " a" * 40])


def test_a_mask_with_text_is_refused(gpt2):
    with pytest.raises(ValueError, match="for text it is made here"):
        gpt2("Hello", torch.ones(1, 1, dtype=torch.bool))


def test_str_tokens_of_a_batch_are_refused(gpt2):
    with pytest.raises(ValueError, match="one prompt"):
        gpt2.to_str_tokens(torch.ones(2, 3, dtype=torch.long))


def test_next_tokens_are_the_softmax(mini):
    table = interp.next_tokens(mini, "Mary and John", k=5)
    logits = mini("Mary and John")[0, -1]
    assert table.index.tolist() == [0, 1, 2, 3, 4]
    assert table["id"].tolist() == logits.topk(5).indices.tolist()
    probabilities = logits.softmax(-1)[table["id"].tolist()]
    torch.testing.assert_close(torch.tensor(table["probability"].to_numpy()).float(), probabilities)
    assert table["token"].tolist() == [mini.to_string(i) for i in table["id"]]
    everything = interp.next_tokens(mini, "Mary", k=mini.config.d_vocab)
    assert everything["probability"].sum() == pytest.approx(1)
    with pytest.raises(ValueError, match="k must be"):
        interp.next_tokens(mini, "Mary", k=0)
