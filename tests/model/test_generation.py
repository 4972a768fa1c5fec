"""Generation: the cached path against the naive one, and the sampling rules by hand."""

import pytest
import torch

import interp
from interp.model.generation import _draw, _pieces
from tests.helpers import random_model


@pytest.fixture
def tokens():
    return torch.randint(0, 50, (4, 6))


def naive_greedy(model, row, n):
    for _ in range(n):
        row = torch.cat([row, model(row[None])[0, -1].argmax()[None]])
    return row


def test_greedy_is_the_naive_loop(tokens):
    model = random_model()
    expected = torch.stack([naive_greedy(model, row, 8) for row in tokens])
    assert torch.equal(interp.generate(model, tokens, max_new_tokens=8), expected)


@pytest.mark.parametrize("padding", ["left", "right"])
def test_padded_prompts_continue_as_if_alone(tokens, padding):
    model = random_model()
    mask = torch.ones_like(tokens, dtype=torch.bool)
    real = slice(2, 6) if padding == "left" else slice(0, 4)
    mask[1] = False
    mask[1, real] = True
    new = torch.stack(list(model_steps(model, tokens, mask)), 1)
    for i, prompt in enumerate([tokens[0], tokens[1, real]]):
        assert torch.equal(new[i], naive_greedy(model, prompt, 5)[len(prompt) :])


def model_steps(model, tokens, mask):
    return interp.sample(model, tokens, mask, max_new_tokens=5)


@pytest.mark.parametrize(
    "settings", [{"temperature": 1.0}, {"temperature": 0.7, "top_k": 5, "top_p": 0.8}]
)
def test_kept_keys_and_values_change_no_draw(tokens, settings):
    model = random_model()
    drawn = [
        interp.generate(model, tokens, max_new_tokens=10, seed=3, use_past=use_past, **settings)
        for use_past in (True, False)
    ]
    assert torch.equal(*drawn)
    other = interp.generate(model, tokens, max_new_tokens=10, seed=4, **settings)
    assert not torch.equal(drawn[0], other)


def test_draws_follow_the_truncated_distribution():
    probabilities = torch.tensor([0.4, 0.05, 0.3, 0.25])
    logits = probabilities.log().expand(20_000, 4)
    generator = torch.Generator().manual_seed(0)

    def frequencies(temperature=1.0, top_k=None, top_p=None):
        ids = _draw(logits, temperature, top_k, top_p, generator)
        return torch.bincount(ids, minlength=4) / len(ids)

    def expect(found, by_hand):
        torch.testing.assert_close(found, torch.tensor(by_hand), atol=0.015, rtol=0)

    expect(frequencies(), [0.4, 0.05, 0.3, 0.25])
    expect(frequencies(top_k=2), [4 / 7, 0, 3 / 7, 0])
    expect(frequencies(top_p=0.6), [4 / 7, 0, 3 / 7, 0])
    expect(frequencies(top_p=0.71), [0.4 / 0.95, 0, 0.3 / 0.95, 0.25 / 0.95])
    expect(frequencies(top_p=0.01), [1.0, 0, 0, 0])
    squared = probabilities**2 / (probabilities**2).sum()
    expect(frequencies(temperature=0.5), squared.tolist())
    expect(frequencies(temperature=0.0), [1.0, 0, 0, 0])


@pytest.mark.parametrize("temperature", [1e-6, 1e-5])
def test_cold_draws_are_greedy_and_hot_ones_even(tokens, temperature):
    model = random_model()
    greedy = interp.generate(model, tokens, max_new_tokens=5)
    cold = interp.generate(model, tokens, max_new_tokens=5, temperature=temperature)
    assert torch.equal(cold, greedy)
    logits = torch.tensor([[80.0, -80.0, 0.0, 3.0]]).expand(20_000, 4)
    generator = torch.Generator().manual_seed(0)
    hot = torch.bincount(_draw(logits, 1e9, None, None, generator), minlength=4) / 20_000
    torch.testing.assert_close(hot, torch.full((4,), 0.25), atol=0.015, rtol=0)


@pytest.mark.parametrize("use_past", [True, False])
def test_hooks_act_in_every_step(tokens, use_past):
    model = random_model()
    shapes = []

    def silence(z, hook):
        shapes.append(z.shape[1])
        return torch.zeros_like(z)

    with model.hooks([("blocks.1.attn.hook_z", silence)]):
        steered = interp.generate(model, tokens, max_new_tokens=4, use_past=use_past)
        expected = torch.stack([naive_greedy(model, row, 4) for row in tokens])
    assert torch.equal(steered, expected)
    assert shapes[:4] == ([6, 1, 1, 1] if use_past else [6, 7, 8, 9])


def test_texts_come_back_as_texts():
    model = interp.load("mini")
    text = "Mary and John went to the market."
    one = model.generate(text, max_new_tokens=6)
    assert one.startswith(text)
    assert model.generate([text, "Mary"], max_new_tokens=6)[0] == one
    assert text + "".join(model.stream(text, max_new_tokens=6)) == one
    assert model.generate(text, max_new_tokens=0) == text


def test_streaming_holds_back_half_a_character():
    class Bytes:
        class tokenizer:
            eos_token_id = 0

        @staticmethod
        def to_string(ids):
            return bytes(ids).decode("utf-8", errors="replace")

    steps = [torch.tensor([byte]) for byte in "né!".encode()] + [
        torch.tensor([0]),
        torch.tensor([65]),
    ]
    assert list(_pieces(Bytes, iter(steps))) == ["n", "é", "!"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_new_tokens": 27}, "exceed the model's 32"),
        ({"max_new_tokens": -1}, "max_new_tokens"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_k": 0}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
    ],
)
def test_bad_settings_are_refused_before_the_first_step(tokens, settings, message):
    with pytest.raises(ValueError, match=message):
        interp.sample(random_model(), tokens, **settings)
