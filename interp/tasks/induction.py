"""Induction: part of a random sequence is repeated, and the answer is what followed it before.

    a b c d e f g h  d e f  ->  g

Words are drawn at random from the vocabulary, so nothing but the repetition determines what comes
next, and the repeated part starts at a random place, so no fixed distance finds it. The foil is
another word of the sequence. In the corrupted partner, answer and foil change places in the
sequence, so its answer would be the foil. The roles are FIRST, the earlier position of the last
word; FIRST+1, the word that followed there, which is the answer; FIRST+2, the one after that, from
which a model may find the answer as the previous word; and END, the last word.

Source: Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"; Olsson et al. 2022
(arXiv 2209.11895), for repeated random tokens.
"""

import random
import re

import torch
from transformers import PreTrainedTokenizerBase

from interp.tasks.fit import vocabulary_of
from interp.tasks.sampler import can_draw_more
from interp.tasks.task import Task
from interp.tasks.tokens import encode, encode_pairs
from interp.tasks.words import require_count

_SPACE = "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}"  # as byte-level vocabularies write a space
_MOST = 2000  # number of words to draw from; checking all 50,000 of GPT-2 takes seconds
_WORD = re.compile(f"{_SPACE}[A-Za-z]+")


@can_draw_more
def induction(
    tokenizer: PreTrainedTokenizerBase,
    n: int = 100,
    *,
    seed: int = 0,
    length: int = 16,
    repeated: int = 8,
) -> Task:
    """Make induction prompts.

    Args:
        tokenizer: the model's tokenizer. Words are its tokens that consist of a space and letters.
        n: number of prompts
        seed: seed of the sequences
        length: number of words in the sequence, all different
        repeated: number of words that are repeated

    Returns:
        The task, named "induction"; all prompts have length + repeated tokens.

    Raises:
        ValueError: `n`, `length` or `repeated` is too small or does not fit, or the vocabulary has
            too few words
    """
    require_count(n)
    require_count(length, "length")
    if repeated != 0:
        require_count(repeated, "repeated")
    if not 1 <= repeated <= length - 2:
        raise ValueError(
            f"repeated must be from 1 to length - 2, so that something follows and something else "
            f"could; got repeated={repeated} of length={length}"
        )
    rng = random.Random(f"induction {seed}")
    words = _words(tokenizer, rng)
    if len(words) < length:
        raise ValueError(
            f"the vocabulary has {len(words)} tokens that are words; sequences of {length} "
            "different ones need more, or a smaller length"
        )
    clean, corrupted, answers, foils, first = [], [], [], [], []
    for _ in range(n):
        row = rng.sample(words, length)
        start = rng.randrange(length - repeated)
        again, answer = row[start : start + repeated], start + repeated
        foil = rng.choice([i for i in range(length) if i < start or i > answer])
        swapped = list(row)
        swapped[answer], swapped[foil] = row[foil], row[answer]
        clean.append("".join(row + again))
        corrupted.append("".join(swapped + again))
        answers.append(row[answer])
        foils.append(row[foil])
        first.append(answer - 1)
    tokens, partners, mask = encode_pairs(tokenizer, clean, corrupted)
    at = torch.tensor(first)
    right, wrong = (
        torch.tensor([row[0] for row in encode(tokenizer, texts)]) for texts in (answers, foils)
    )
    return Task(
        name="induction",
        clean=tuple(clean),
        corrupted=tuple(corrupted),
        clean_tokens=tokens,
        corrupted_tokens=partners,
        attention_mask=mask,
        answer=right,
        foil=wrong,
        positions={"FIRST": at, "FIRST+1": at + 1, "FIRST+2": at + 2, "END": mask.sum(-1) - 1},
        group=("all",) * n,
        template=("",) * n,
        order=("",) * n,
        vocabulary=vocabulary_of(tokenizer, tokens, partners, right, wrong),
    )


def _words(tokenizer: PreTrainedTokenizerBase, rng: random.Random) -> list[str]:
    """Tokens that consist of a space and letters, and tokenize to themselves."""
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    texts = [f" {token[1:]}" for token, _ in vocabulary if _WORD.fullmatch(token)]
    texts = rng.sample(texts, min(len(texts), _MOST))
    return [t for t, row in zip(texts, encode(tokenizer, texts), strict=True) if len(row) == 1]
