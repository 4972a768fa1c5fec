"""Subject-verb agreement past another noun: "The keys near the cabinet" -> are, were, have.

The verb agrees with the subject, not with the noun in between (the distractor), which is END here
and has the other number by default. Answers are the verbs of the subject's number, foils the same
verbs in the other number. The corrupted partner has the subject in the other number. The roles are
SUBJECT, SUBJECT+1 (the preposition) and END.

Source: Linzen et al. 2016 (arXiv 1611.01368); Finlayson et al. 2021 (arXiv 2106.06087) for a causal
analysis in GPT-2. No list of heads is published for GPT-2 small. The sentences are interp's own.
"""

import random
from typing import Literal, NamedTuple, get_args

import torch
from transformers import PreTrainedTokenizerBase

from interp.tasks.fit import vocabulary_of
from interp.tasks.sampler import can_draw_more
from interp.tasks.task import Task
from interp.tasks.templates import usable_words
from interp.tasks.tokens import encode_pairs
from interp.tasks.words import draw_evenly, require_choice, require_count

NOUNS: tuple[tuple[str, str], ...] = tuple(
    (word, f"{word}s")
    for word in (
        "cabinet", "chair", "table", "door", "window", "dog", "cat", "horse", "bird", "boy", "girl",
        "teacher", "doctor", "farmer", "student", "house", "tree", "car", "boat", "road", "stone",
        "clock", "bell", "wheel", "king", "soldier", "river", "garden", "key", "book", "letter",
    )
)  # fmt: skip
"""Singular and plural."""

PREPOSITIONS = ("near", "behind", "beside", "by", "next to", "close to")
VERBS: tuple[tuple[str, str], ...] = (("is", "are"), ("was", "were"), ("has", "have"))
Distractor = Literal["other", "same", "mixed"]


class _Prompt(NamedTuple):
    """The preposition, the subject's number (1: plural), and whether the distractor's differs."""

    preposition: int
    number: int
    other: int
    subject: tuple[str, str]
    distractor: tuple[str, str]


@can_draw_more
def agreement(
    tokenizer: PreTrainedTokenizerBase,
    n: int = 100,
    *,
    seed: int = 0,
    distractor: Distractor = "other",
) -> Task:
    """Make agreement prompts.

    Prepositions and numbers of the subject are spread evenly.

    Args:
        tokenizer: the model's tokenizer
        n: number of prompts
        seed: seed of the sentences
        distractor: number of the noun in between: "other" than the subject's, the "same", or
            "mixed", both in turn

    Returns:
        The task, named "agreement". `answer` and `foil` are sets of verbs; `group` and `template`
        give the preposition, `order` the numbers of subject and distractor ("PS": plural,
        singular).

    Raises:
        ValueError: an argument is not one of its choices, or too few nouns or verbs are single
            tokens
    """
    require_count(n)
    require_choice("distractor", distractor, get_args(Distractor))
    words = [word for noun in NOUNS for word in noun]
    ids = usable_words(tokenizer, words, kind="nouns", drop_split=True, least=4)
    nouns = [noun for noun in NOUNS if noun[0] in ids and noun[1] in ids]
    verbs = [
        list(usable_words(tokenizer, column, kind="verbs", drop_split=False).values())
        for column in zip(*VERBS, strict=True)
    ]
    rng = random.Random(f"agreement {seed}")
    kinds = {"other": (1,), "same": (0,), "mixed": (1, 0)}[distractor]
    drawn = [
        _Prompt(preposition, number, other, *rng.sample(nouns, 2))
        for preposition, number, other in draw_evenly(
            rng, n, range(len(PREPOSITIONS)), (0, 1), kinds
        )
    ]

    def write(flipped: bool) -> list[str]:
        return [
            f"The {p.subject[p.number ^ flipped]} {PREPOSITIONS[p.preposition]} the "
            f"{p.distractor[p.number ^ p.other]}"
            for p in drawn
        ]

    clean, corrupted = write(False), write(True)
    tokens, partners, mask = encode_pairs(tokenizer, clean, corrupted)
    end = mask.sum(-1) - 1
    subject = torch.ones_like(end)  # after "The"
    answer = torch.tensor([verbs[p.number] for p in drawn])
    foil = torch.tensor([verbs[1 - p.number] for p in drawn])
    return Task(
        name="agreement",
        clean=tuple(clean),
        corrupted=tuple(corrupted),
        clean_tokens=tokens,
        corrupted_tokens=partners,
        attention_mask=mask,
        answer=answer,
        foil=foil,
        positions={"SUBJECT": subject, "SUBJECT+1": subject + 1, "END": end},
        group=tuple(PREPOSITIONS[p.preposition] for p in drawn),
        template=tuple(
            f"The [SUBJECT] {PREPOSITIONS[p.preposition]} the [DISTRACTOR]" for p in drawn
        ),
        order=tuple("SP"[p.number] + "SP"[p.number ^ p.other] for p in drawn),
        metric="probability_diff",
        vocabulary=vocabulary_of(tokenizer, tokens, partners, answer, foil),
    )
