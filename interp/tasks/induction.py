"""Induction: a piece of a random sequence comes again; what follows is what followed before.

    a b c d e f g h  d e f  ->  g

The words are drawn at random from the vocabulary, so nothing but the repetition tells what comes
next; and the repeat starts at a random place, so that no fixed distance finds it. The foil is
another word of the sequence. In the corrupted partner answer and foil have changed places in the
sequence, so that its answer would be the foil. Roles: FIRST, where the last word stood before;
FIRST+1, the word that followed, which is the answer; FIRST+2, the one after it, where a model may
find the answer as the word before; END, the last word.

Source: Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"; Olsson et al. 2022
(arXiv 2209.11895), for random repeated tokens.
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

_SPACE = "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}"  # as byte-level vocabularies write it
_MOST = 2000  # words are enough to draw from; to check all 50,000 of GPT-2 takes seconds
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
        tokenizer: the model's tokenizer. Words are its tokens of a space and letters.
        n: number of prompts.
        seed: seeds the sequences.
        length: words of the sequence; all are different.
        repeated: how many of them come again.

    Returns:
        The task, named "induction"; all prompts have length + repeated tokens.

    Raises:
        ValueError: `n`, `length` or `repeated` are too small or do not fit, or the vocabulary has
            too few words.
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
    """Tokens that are a space and letters, as text, and come back as themselves."""
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    texts = [f" {token[1:]}" for token, _ in vocabulary if _WORD.fullmatch(token)]
    texts = rng.sample(texts, min(len(texts), _MOST))
    return [t for t, row in zip(texts, encode(tokenizer, texts), strict=True) if len(row) == 1]
