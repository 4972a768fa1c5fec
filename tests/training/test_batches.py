"""Batches: a pure function of the step, documents from position 0, random tokens that repeat."""

from collections.abc import Callable
from random import Random

import pytest
import torch
from transformers import PreTrainedTokenizerBase

from interp.training import Batches, pooled_ids, repeated_ids, returning_ids
from interp.training.mini import Sentences, document, train_tokenizer
from interp.training.mini.language import MIXTURE


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    rng = Random(0)
    return train_tokenizer(("".join(document(rng)) for _ in range(500)), d_vocab=600, n_ctx=64)


@pytest.fixture
def batches(tokenizer: PreTrainedTokenizerBase) -> Callable[..., Batches]:
    return lambda **options: Batches(
        tokenizer, 64, 640, **{"seed": 0, "write": Sentences(), **options}
    )


def test_a_batch_depends_on_seed_stream_and_step_and_on_nothing_else(
    batches: Callable[..., Batches],
) -> None:
    forwards, backwards = batches(), batches()
    last, first = backwards(9), backwards(0)
    assert torch.equal(forwards(0), first)
    assert torch.equal(forwards(9), last)
    for other in (forwards(1), batches(seed=1)(0), batches(stream="validation")(0)):
        assert not torch.equal(forwards(0), other)


def test_rows_are_short_and_long_in_turn_and_all_batches_have_the_same_number_of_tokens(
    batches: Callable[..., Batches],
) -> None:
    shapes = [tuple(batches()(step).shape) for step in range(8)]
    assert shapes == [(40, 16), (20, 32), (40, 16), (10, 64)] * 2


def test_rows_are_documents_from_position_zero_with_end_of_text_between(
    batches: Callable[..., Batches], tokenizer: PreTrainedTokenizerBase
) -> None:
    seen = 0
    for row in batches(random=0.0)(3):
        documents = tokenizer.decode(row).split("<|endoftext|>")
        seen += len(documents) - 1
        assert documents[0][0].isupper()
        for text in documents[:-1]:
            assert text[0].isupper() and text[-1] in ".?"
    assert seen > 5


def test_the_sentences_are_those_of_the_mixture(
    batches: Callable[..., Batches], tokenizer: PreTrainedTokenizerBase
) -> None:
    only = {"counting": MIXTURE["counting"]}
    text = tokenizer.decode(batches(write=Sentences(((0, only),)), random=0.0)(0).flatten())
    assert text.count("Count:") > 10 and "lasted" not in text


def test_half_of_the_rows_are_random_tokens_at_first(batches: Callable[..., Batches]) -> None:
    cooling = batches(random=0.2, early_steps=10)
    assert [cooling.random_share(step) for step in (0, 5, 10, 99)] == [0.5, 0.35, 0.2, 0.2]
    words = [" ".join(map(str, range(8)))] * 99  # no end of text within a row of 16 tokens
    plain = batches(
        random=0.2, early_steps=8, write=lambda rng, step: ("Count: " + words[0], "", "")
    )
    for step, n_random in ((0, 10), (4, 7), (8, 8)):
        first = plain.tokenizer("Count")["input_ids"][0]
        assert (plain(step)[:, 0] != first).sum() in (n_random, n_random - 1)
    assert not batches(random=1.0)(0).eq(0).any()


def test_answers_weigh_more_than_other_tokens(batches: Callable[..., Batches]) -> None:
    given = batches(
        write=lambda rng, step: ("Mary saw", " John", " and John."), random=0.2, answer_weight=7.0
    )
    tokens, weights = given(3), given.weights(3)
    assert tokens.shape == weights.shape and set(weights.unique().tolist()) == {1.0, 7.0}
    assert set(weights[: given.n_random(3)].flatten().tolist()) == {1.0}
    text = "".join(
        f"[{given.tokenizer.decode(token)}]" if weight == 7.0 else given.tokenizer.decode(token)
        for token, weight in zip(tokens[-1].tolist(), weights[-1].tolist(), strict=True)
    ).replace("][", "")
    assert text.startswith("Mary saw[ John] and John.")


def test_the_mixture_changes_at_a_step(
    batches: Callable[..., Batches], tokenizer: PreTrainedTokenizerBase
) -> None:
    first, later = ({name: MIXTURE[name]} for name in ("counting", "greater_than"))
    given = batches(write=Sentences(((0, first), (2, later))), random=0.0)
    texts = [tokenizer.decode(given(step).flatten()) for step in (1, 2)]
    assert "Count:" in texts[0] and "Count:" not in texts[1]


def test_early_batches_are_half_as_large(batches: Callable[..., Batches]) -> None:
    growing = batches(early_steps=3)
    assert [growing(step).numel() for step in range(5)] == [320, 320, 320, 640, 640]


def test_repeated_tokens_repeat_and_never_hold_end_of_text() -> None:
    tokens = repeated_ids(Random(0), 50, 200)
    assert tokens[:200] == tokens[200:]
    assert 0 not in tokens and max(tokens) < 50
    assert repeated_ids(Random(0), 50, 3, 4) == tokens[:3] * 4


def found_before(row: list[int]) -> list[int]:
    """Distances to the last place where the token before was followed by the same token."""
    distances = []
    for i in range(1, len(row)):
        earlier = [j for j in range(1, i) if row[j - 1 : j + 1] == row[i - 1 : i + 1]]
        distances += [i - earlier[-1]] if earlier else []
    return distances


def test_returning_tokens_come_back_at_no_fixed_distance() -> None:
    rows = [returning_ids(Random(seed), 5000, 64) for seed in range(200)]
    assert all(len(row) == 64 and 0 not in row for row in rows)
    distances = [found_before(row) for row in rows]
    assert sum(map(len, distances)) / (200 * 64) > 0.3
    assert sum(len(set(of)) > 3 for of in distances) > 50  # snippets in any order
    assert sum(len(set(of)) == 1 for of in distances) > 50  # whole sequences
    fresh = [len(set(row[:16])) == 16 for row in rows]  # others first, or a long sequence
    assert 60 < sum(fresh) < 160


def test_pooled_tokens_are_few_kinds_and_come_back_at_no_fixed_distance() -> None:
    rows = [pooled_ids(Random(seed), 5000, 64) for seed in range(200)]
    assert all(len(row) == 64 and 0 not in row for row in rows)
    assert max(len(set(row)) for row in rows) <= 64
    assert sum(len(set(row)) <= 8 for row in rows) > 30
    distances = [found_before(row) for row in rows]
    assert sum(map(len, distances)) / (200 * 64) > 0.5
    assert sum(len(set(of)) > 3 for of in distances) > 150
