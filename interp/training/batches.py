"""Batches of packed documents, each a pure function of the seed and the step.

A row is documents end to end, `<|endoftext|>` between them, cut at the row's length; every row
starts a document at position 0, where prompts without a beginning-of-text token start. Nothing is
stored and nothing is carried from step to step, so training can stop and go on anywhere.

Some rows are no text but random tokens that come back: what induction heads are found with (Olsson
et al. 2022, "In-context Learning and Induction Heads"). A sentence rewards copying at a few of its
tokens, random tokens at almost every one. They come back at no fixed distance, since a model
completes what comes back at a fixed one by position; and most rows draw them from a small pool, so
that a model that knows no more than which tokens the row has is rewarded already, which is where
copying begins.

A document may have an answer: a word that the text before it determines. Answers are a few of a
text's tokens, and the others (which name, which thing) cannot be known; so an answer can count more
in the loss than another token.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

_CHUNK = 32  # documents tokenized in one call
_POOLS = (8, 16, 32, 64)


def repeated_ids(rng: Random, d_vocab: int, length: int, times: int = 2) -> list[int]:
    """A random sequence of tokens, again and again: what induction is measured on.

    Args:
        rng: the random source.
        d_vocab: tokens are drawn from 1 to d_vocab - 1; 0 is `<|endoftext|>`.
        length: length of the sequence before it repeats, in tokens.
        times: how often it stands there.

    Returns:
        times * length token ids.
    """
    return [rng.randrange(1, d_vocab) for _ in range(length)] * times


def returning_ids(rng: Random, d_vocab: int, length: int) -> list[int]:
    """Random tokens that come back anywhere: only what followed them the last time completes them.

    In half of the rows other random tokens come first. Then a sequence of 4 to `length` / 2 tokens,
    short ones as often as long ones, comes back whole, again and again, or cut into snippets of 2
    to 6 tokens that come in any order.

    Args:
        rng: the random source.
        d_vocab: tokens are drawn from 1 to d_vocab - 1; 0 is `<|endoftext|>`.
        length: length of the row in tokens, 8 or more.

    Returns:
        `length` token ids.
    """

    def draw(n: int) -> list[int]:
        return [rng.randrange(1, d_vocab) for _ in range(n)]

    sequence = draw(round(4 * (length / 8) ** rng.random()))
    row = draw(rng.randint(0, length // 2)) if rng.random() < 0.5 else []
    pieces = [sequence] if rng.random() < 0.5 else _snippets(rng, sequence)
    while len(row) < length:
        row += rng.choice(pieces)
    return row[:length]


def _snippets(rng: Random, sequence: list[int]) -> list[list[int]]:
    snippets = []
    while sequence:
        cut = rng.randint(2, 6)
        snippets.append(sequence[:cut])
        sequence = sequence[cut:]
    return snippets


def pooled_ids(rng: Random, d_vocab: int, length: int) -> list[int]:
    """Random tokens from a small pool, pieces of which come back from any place before.

    Args:
        rng: the random source.
        d_vocab: tokens are drawn from 1 to d_vocab - 1; 0 is `<|endoftext|>`.
        length: length of the row in tokens.

    Returns:
        `length` token ids, of 8 to 64 kinds.
    """
    pool = rng.sample(range(1, d_vocab), rng.choice(_POOLS))
    row = rng.choices(pool, k=4)
    while len(row) < length:
        if rng.random() < 0.7:
            start = rng.randrange(len(row) - 1)
            row += row[start : start + rng.randint(2, 16)]
        else:
            row += rng.choices(pool, k=rng.randint(1, 5))
    return row[:length]


@dataclass(frozen=True)
class Batches:
    """Training batches by step: `batches(step) -> tokens [row pos]`.

    `batches.weights(step)` has the weight of each of the tokens in the loss.

    Rows have a quarter of `n_ctx`, a half, a quarter and all of it in turn. The short rows are what
    copying is learned from first: in them the token to copy is one of few.

    Args:
        tokenizer: tokenizer of the model to train.
        n_ctx: context of the model, in tokens: length of the longest rows.
        n_tokens: tokens in a batch; a multiple of `2 n_ctx`.
        seed: seed of the text and of the random tokens.
        write: writes one document of a step from a random source: the text before the answer, the
            answer with its leading space, and what follows; the last two may be empty.
        stream: name of an independent sequence of batches, such as "train" or "validation".
        random: fraction of rows that are random tokens.
        early_steps: steps over which that fraction falls to `random`, from a half at step 0. Their
            batches have half as many tokens, since what begins there takes steps more than tokens.
        answer_weight: how much a token of an answer counts in the loss; others count 1.
    """

    tokenizer: PreTrainedTokenizerBase
    n_ctx: int
    n_tokens: int
    seed: int
    write: Callable[[Random, int], tuple[str, str, str]]
    stream: str = "train"
    random: float = 0.2
    early_steps: int = 0
    answer_weight: float = 1.0

    def __call__(self, step: int) -> Int[Tensor, "row pos"]:
        """The batch of a step.

        Args:
            step: from 0.

        Returns:
            Token ids, rows of `n_ctx`, `n_ctx / 2` or `n_ctx / 4` tokens, random ones first.
        """
        return torch.tensor([[token for token, _ in row] for row in self._rows(step)])

    def weights(self, step: int) -> Float[Tensor, "row pos"]:
        """The weight of each token of a step in the loss.

        Args:
            step: from 0.

        Returns:
            1, or `answer_weight` at the tokens of answers.
        """
        return torch.tensor([[weight for _, weight in row] for row in self._rows(step)])

    def _rows(self, step: int) -> list[list[tuple[int, float]]]:
        """The rows of a step, with the weight of each token."""
        rng = Random(f"{self.seed}/{self.stream}/{step}")
        length = self.row_length(step)
        documents = self._documents(rng, step)
        n_random = self.n_random(step)
        rows = [[(i, 1.0) for i in self._random(rng, length)] for _ in range(n_random)]
        return rows + [_row(documents, length) for _ in range(self.n_rows(step) - n_random)]

    def row_length(self, step: int) -> int:
        """Tokens in each row of a step."""
        return self.n_ctx // (4, 2, 4, 1)[step % 4]

    def n_rows(self, step: int) -> int:
        """How many rows a step has."""
        n_tokens = self.n_tokens // 2 if step < self.early_steps else self.n_tokens
        return n_tokens // self.row_length(step)

    def n_random(self, step: int) -> int:
        """How many rows of a step are random tokens: the first ones."""
        return round(self.n_rows(step) * self.random_share(step))

    def random_share(self, step: int) -> float:
        """The fraction of the rows of a step that are random tokens."""
        if step >= self.early_steps:
            return self.random
        return 0.5 + (self.random - 0.5) * step / self.early_steps

    def _random(self, rng: Random, length: int) -> list[int]:
        make = pooled_ids if rng.random() < 0.5 else returning_ids
        return make(rng, len(self.tokenizer), length)

    def _documents(self, rng: Random, step: int) -> Iterator[list[tuple[int, float]]]:
        """Documents as token ids with their weights, `<|endoftext|>` after each."""
        end = (self.tokenizer.eos_token_id, 1.0)
        while True:
            parts = [self.write(rng, step) for _ in range(_CHUNK)]
            texts = ["".join(three) for three in parts]
            encoded = self.tokenizer(texts, return_offsets_mapping=True, verbose=False)
            found = zip(encoded["input_ids"], encoded["offset_mapping"], parts, strict=True)
            for ids, places, (before, answer, _) in found:
                start, stop = len(before), len(before + answer)
                inside = (start < right and left < stop for left, right in places)
                weights = [self.answer_weight if own else 1.0 for own in inside]
                yield [*zip(ids, weights, strict=True), end]


def _row(documents: Iterator[list[tuple[int, float]]], length: int) -> list[tuple[int, float]]:
    row: list[tuple[int, float]] = []
    while len(row) < length:
        row += next(documents)
    return row[:length]
