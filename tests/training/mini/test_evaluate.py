"""Held-out scores: exact on models whose answers are known, and intervals as published."""

from random import Random

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from interp import GPT2Config, HookedGPT2
from interp.training.mini import (
    document,
    held_out_scores,
    single_token_words,
    train_tokenizer,
)
from interp.training.mini.evaluate import _fraction, _induction, last_logits
from interp.training.mini.lexicon import NAMES, NUMBERS


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    rng = Random(0)
    documents = ["".join(document(rng)) for _ in range(2000)]
    return train_tokenizer(documents, d_vocab=2048, n_ctx=128, words=single_token_words())


class Oracle(HookedGPT2):
    """Answers by rule: names that occurred once, later years, the copy of a repeated sequence."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        shape = GPT2Config(
            n_layers=1, n_heads=1, d_model=1, d_mlp=1, d_vocab=len(tokenizer), n_ctx=128
        )
        super().__init__(shape, tokenizer)
        self.names, self.years = (
            torch.tensor([tokenizer(f" {word}")["input_ids"][0] for word in words])
            for words in (NAMES, NUMBERS)
        )

    def forward(self, tokens: Tensor) -> Tensor:  # type: ignore[override]
        logits = torch.zeros(*tokens.shape, self.config.d_vocab)
        for row, out in zip(tokens, logits, strict=True):
            if self.copies(row, out):
                continue
            counts = (row[:, None] == self.names).sum(0)
            out[:, self.names[counts == 1]] = 10.0
            given = [(self.years == token).nonzero().item() for token in row if token in self.years]
            if len(given) == 3:
                out[:, self.years[given[1] + 1 :]] = 10.0
        return logits

    def copies(self, row: Tensor, out: Tensor) -> bool:
        """Repeated sequences, those after 32 other tokens too, go on with what comes next."""
        ends = [row, row[32:]] if len(row) > 32 else [row]
        repeated = any(torch.equal(*end.tensor_split(2)) for end in ends)
        if repeated:
            out[torch.arange(len(row)), row.roll(-1)] = 10.0
        return repeated


class ByPosition(Oracle):
    """Copies from a fixed position: what stands at 0 to 15 comes again at 16 to 31."""

    def copies(self, row: Tensor, out: Tensor) -> bool:
        n = len(row[15:31])
        out[torch.arange(15, 15 + n), row[:n]] = 10.0
        return True


def test_figures_of_a_model_that_answers_by_rule(tokenizer: PreTrainedTokenizerBase) -> None:
    scores = {(f.skill, f.metric): f for f in held_out_scores(Oracle(tokenizer), n=24)}
    assert scores["IOI", "accuracy"].estimate.mean == 1
    assert scores["IOI", "top-1"].estimate.mean == 1
    assert scores["IOI", "logit difference"].estimate.mean == pytest.approx(10)
    assert scores["three names, two act", "accuracy"].estimate.mean == 1
    assert scores["greater-than", "probability difference"].estimate.mean > 0.8
    assert scores["agreement", "accuracy"].estimate.mean == 0  # no rule: a tie, which is no hit
    assert not scores["agreement", "accuracy"].reached
    assert scores["IOI", "accuracy"].reached
    assert scores["induction", "accuracy, second half"].estimate.mean == 1
    assert scores["induction", "accuracy, second copy"].estimate.mean == 1


def test_induction_after_other_tokens_tells_copying_by_position(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    scores = held_out_scores(ByPosition(tokenizer), n=8)
    induction = {f.held_out: f.estimate.mean for f in scores if f.skill == "induction"}
    at_the_start, after_others = (
        induction["sequences of 16 random tokens"],
        induction["sequences of 16 random tokens after 32 others"],
    )
    assert at_the_start == 1
    assert after_others < 0.05
    (one,) = [f for f in scores if "after 32 others" in f.held_out]
    assert one.required == 0.95 and not one.reached and one.n == 2


def test_induction_counts_the_second_copy_from_its_second_token_on(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    # The sequence [a b c] after two others: what counts is b and c of the second copy.
    class Recorder(Oracle):
        def forward(self, tokens: Tensor) -> Tensor:  # type: ignore[override]
            assert tokens.shape == (5, 2 + 3 + 3)
            assert torch.equal(tokens[:, 2:5], tokens[:, 5:])
            assert not torch.equal(tokens[0], tokens[1])
            logits = torch.zeros(*tokens.shape, self.config.d_vocab)
            rows = torch.arange(5)
            logits[rows, 5, tokens[:, 6]] = 1.0  # b after the second a; c is missed
            logits[rows, 3, tokens[:, 4]] = logits[rows, 4, tokens[:, 5]] = 1.0
            return logits

    accuracy = _induction(Recorder(tokenizer), Random(0), 5, 3, others=2)
    assert accuracy.tolist() == [0.5] * 5


def test_probabilities_of_a_model_that_knows_nothing(tokenizer: PreTrainedTokenizerBase) -> None:
    model = Oracle(tokenizer)
    model.names, model.years = torch.tensor([], dtype=int), torch.tensor([], dtype=int)
    d_vocab = model.config.d_vocab
    for score in held_out_scores(model, n=10):
        if score.metric == "p(A) + p(B)":
            assert score.estimate.mean == pytest.approx(2 / d_vocab, rel=0.1)


def test_every_kind_of_held_out_item_is_measured(tokenizer: PreTrainedTokenizerBase) -> None:
    scores = held_out_scores(Oracle(tokenizer), n=8)
    required = {(f.skill, f.metric): f.required for f in scores if f.required is not None}
    assert required == {
        ("IOI", "accuracy"): 0.99,
        ("IOI", "logit difference"): 3.0,
        ("greater-than", "probability difference"): 0.8,
        ("induction", "accuracy, second half"): 0.95,
        ("induction", "accuracy, second copy"): 0.95,
        ("acronym", "accuracy"): 0.95,
        ("agreement", "accuracy"): 0.95,
        ("pronoun", "accuracy"): 0.95,
    }
    kinds = {f.held_out for f in scores if f.skill == "IOI"}
    assert kinds == {
        "names", "name pairs", "templates", "names and templates", "one of the two names",
    }  # fmt: skip


def test_same_seed_same_figures(tokenizer: PreTrainedTokenizerBase) -> None:
    model = Oracle(tokenizer)
    assert held_out_scores(model, n=8) == held_out_scores(model, n=8)


def test_last_logits_are_those_of_each_prompt_alone(tokenizer: PreTrainedTokenizerBase) -> None:
    shape = GPT2Config(
        n_layers=2, n_heads=2, d_model=16, d_mlp=32, d_vocab=len(tokenizer), n_ctx=128
    )
    model = HookedGPT2(shape, tokenizer)
    prompts = ["When Mary and John went", "The", "The war lasted from 17 32 to 17"]
    together = last_logits(model, prompts)
    for prompt, logits in zip(prompts, together, strict=True):
        torch.testing.assert_close(model(prompt)[0, -1], logits)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)],
)
def test_fractions_carry_wilsons_interval(hits: int, n: int, low: float, high: float) -> None:
    # The cases of Newcombe 1998, Statistics in Medicine 17, table I, method 3.
    estimate = _fraction("", "", "", torch.arange(n) < hits).estimate
    assert estimate.mean == pytest.approx(hits / n)
    assert estimate.low == pytest.approx(low, abs=5e-5)
    assert estimate.high == pytest.approx(high, abs=5e-5)
