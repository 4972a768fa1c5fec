"""Batches of packed documents, each a pure function of the seed and the step.

A row is documents end to end, `<|endoftext|>` between them, cut at the row's length; every row
starts a document at position 0, where prompts without a beginning-of-text token start. Nothing is
stored and nothing is carried from step to step, so training can stop and go on anywhere.

Some documents are no text but random tokens, repeated: what induction heads are found with (Olsson
et al. 2022, "In-context Learning and Induction Heads"). The first batches hold nothing else. A
sentence rewards copying at one or two of its tokens, and a model that starts with sentences learns
instead that any name is as likely as any other, which makes names alike and copying hard to learn
(here it had not begun after 2,000 steps); random tokens reward it at almost every token.

That sequence comes back at a fixed distance, and a model learns to complete it by position. Random
tokens that come back anywhere, which only induction heads complete, are for a model that has such
heads already or is on the way to them (`interp.training.mini.guidance`); from them alone none
formed within the steps that a training on two cores has.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

_CHUNK = 64  # documents tokenized in one call


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


@dataclass(frozen=True)
class Batches:
    """Training batches by step: `batches(step) -> tokens [row pos]`.

    Args:
        tokenizer: tokenizer of the model to train.
        n_ctx: length of a long row, in tokens; the other batches have rows of a quarter of that
            length, about a document each. The short rows are what copying is learned from: in them
            the name to copy is one of few tokens, not of many.
        n_tokens: tokens in a batch; a multiple of `n_ctx`.
        seed: seed of the text and of the random tokens.
        write: writes one document, from a random source.
        stream: name of an independent sequence of batches, such as "train" or "validation".
        repeated: fraction of documents that are random tokens, repeated.
        copying_steps: steps over which that fraction falls to `repeated`, from 1 at step 0.
        long_every: one batch in so many has long rows.
        returning_every: one batch in so many is rows of `returning_ids` and nothing else; those
            batches have rows of `n_ctx` and of half of that in turn. 0 for none.
    """

    tokenizer: PreTrainedTokenizerBase
    n_ctx: int
    n_tokens: int
    seed: int
    write: Callable[[Random], str]
    stream: str = "train"
    repeated: float = 0.25
    copying_steps: int = 0
    long_every: int = 4
    returning_every: int = 0

    def __call__(self, step: int) -> Int[Tensor, "row pos"]:
        """The batch of a step.

        Args:
            step: from 0.

        Returns:
            Token ids, rows of `n_ctx` or `n_ctx / 4` tokens (of `n_ctx` or `n_ctx / 2` if they are
            `returning_ids`).
        """
        rng = Random(f"{self.seed}/{self.stream}/{step}")
        if self.is_returning(step):
            length = self.n_ctx // (1 + step // self.returning_every % 2)
            d_vocab, n = len(self.tokenizer), self.n_tokens // length
            return torch.tensor([returning_ids(rng, d_vocab, length) for _ in range(n)])
        is_long = step % self.long_every == self.long_every - 1
        length = self.n_ctx if is_long else self.n_ctx // 4
        share = max(self.repeated, 1 - step / self.copying_steps if self.copying_steps else 0)
        documents = self._documents(rng, length, share)
        rows = [_row(documents, length) for _ in range(self.n_tokens // length)]
        return torch.tensor(rows)

    def is_returning(self, step: int) -> bool:
        """Whether the batch of a step is `returning_ids`."""
        return self.returning_every > 0 and step % self.returning_every == 0

    def _documents(self, rng: Random, length: int, repeated: float) -> Iterator[list[int]]:
        """Documents as token ids, `<|endoftext|>` after each."""
        end = self.tokenizer.eos_token_id
        while True:
            texts = [self.write(rng) for _ in range(_CHUNK)]
            for ids in self.tokenizer(texts, verbose=False)["input_ids"]:
                if rng.random() < repeated:
                    period = rng.randint(2, length // 2)
                    ids = repeated_ids(rng, len(self.tokenizer), period, length // period)
                yield [*ids, end]


def _row(documents: Iterator[list[int]], length: int) -> list[int]:
    row: list[int] = []
    while len(row) < length:
        row += next(documents)
    return row[:length]
