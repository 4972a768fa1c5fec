"""Acronyms: "The Bank Gate Oil (BG" -> "O", the initial of the third word.

Each word, written with a capital after a space, is two tokens, its initial and the rest, so the
letter is a token of its own that can be found and copied. The acronym is one token per letter,
which is rare in GPT-2's vocabulary ("BHJ", not "CEO"). The answer is the initial of the third word;
in the corrupted partner it is another letter, the foil:

    all   three other words, and their initials in the acronym
    word  another third word, everything else the same

Roles: C1, T1, C2, T2, C3, T3, the initial and the rest of each word; BRACKET; A1, the first letter
of the acronym; END, the second.

Source: García-Carrasco et al. 2024 (arXiv 2405.04156) and the authors' code, whose prompts have
this form; they predict all three letters, we predict the last one. The words are interp's own.
"""

import random
from collections import Counter
from collections.abc import Sequence
from itertools import permutations
from typing import Literal, get_args

import torch
from transformers import PreTrainedTokenizerBase

from interp.tasks.candidates import candidate_ids
from interp.tasks.fit import vocabulary_of
from interp.tasks.sampler import can_draw_more
from interp.tasks.task import Task
from interp.tasks.tokens import encode, encode_pairs
from interp.tasks.words import draw_evenly, require_choice, require_count, require_words

_WORDS = """
    Aid Air Ball Bank Basket Bat Bed Bus Cactus Cat Cow Cup Dance Dancer Day Dog Door Ear East
    Fan Fiddle Fire Fund Game Gas Gate Hall Hat Hiker Hill Home House Ice Jar Jigsaw Jockey Kettle
    King Kitten Land Laptop Law Line Lion Locker Mango Mantle Map Mat Mitten Moon Nail Nest Net
    Nettle Noodle Oak Oasis Oil Oven Paddle Park Pen Pig Pond Pot Puddle Ring Road Rope Sleeve Sun
    Tax Tent Tractor Trolley Van Vase Vulture Wagon Wall War Wasp Water Way Web Wind Wine Wool
    Wreath Yacht Zebra Zipper Zodiac
"""
WORDS: tuple[str, ...] = tuple(_WORDS.split())
Corruption = Literal["all", "word"]
_ROLES = ("C1", "T1", "C2", "T2", "C3", "T3")


@can_draw_more
def acronym(
    tokenizer: PreTrainedTokenizerBase,
    n: int = 100,
    *,
    seed: int = 0,
    corruption: Corruption = "all",
    words: Sequence[str] = WORDS,
) -> Task:
    """Make acronym prompts.

    No acronym occurs twice until all have occurred. The three letters of an acronym differ.

    Args:
        tokenizer: the model's tokenizer. Words that it does not cut into their initial and one more
            token are left out, and so are acronyms that it does not cut into letters.
        n: number of prompts
        seed: seed of the choice of words
        corruption: "all" or "word", see the module; with "all", the partner shares no letter with
            the prompt
        words: words to draw from, each with a capital initial

    Returns:
        The task, named "acronym"; all prompts have the same length.

    Raises:
        ValueError: the corruption is unknown, or too few words are left for prompts with partners
    """
    require_count(n)
    require_choice("corruption", corruption, get_args(Corruption))
    if words:
        require_words(words, "words")
    by_initial = _by_initial(tokenizer, words)
    letters = {letter: encode(tokenizer, [letter])[0][0] for letter in sorted(by_initial)}
    acronyms = _acronyms(tokenizer, letters)
    same = Counter(three[:2] for three in acronyms)
    if corruption == "word":  # the partner needs another third letter after the same two
        acronyms = [three for three in acronyms if same[three[:2]] > 1]
    rng = random.Random(f"acronym {seed}")
    drawn = [ours for (ours,) in draw_evenly(rng, n, acronyms)] if acronyms else []
    partners = [_partners(ours, acronyms, corruption) for ours in drawn]
    if not acronyms or not all(partners):
        raise ValueError(
            f"of {len(words)} words this tokenizer cuts {sum(map(len, by_initial.values()))} into "
            "their initial and one more token, with which no prompt and partner can be made whose "
            "acronyms are one token per letter; pass more words"
        )
    clean, corrupted = [], []
    for ours, theirs in zip(drawn, partners, strict=True):
        some = [rng.choice(by_initial[letter]) for letter in ours]
        others = [rng.choice(by_initial[letter]) for letter in rng.choice(theirs)]
        clean.append(_text(some))
        corrupted.append(_text(others if corruption == "all" else [*some[:2], others[2]]))
    tokens, other_tokens, mask = encode_pairs(tokenizer, clean, corrupted)
    end = mask.sum(-1) - 1
    answers, foils = (
        torch.tensor([letters[text.split()[3][0]] for text in side]) for side in (clean, corrupted)
    )
    positions = {role: torch.full_like(end, i + 1) for i, role in enumerate(_ROLES)}
    return Task(
        name="acronym",
        clean=tuple(clean),
        corrupted=tuple(corrupted),
        clean_tokens=tokens,
        corrupted_tokens=other_tokens,
        attention_mask=mask,
        answer=answers,
        foil=foils,
        positions={**positions, "BRACKET": end - 2, "A1": end - 1, "END": end},
        group=("all",) * n,
        template=("The [WORD] [WORD] [WORD] (",) * n,
        order=("",) * n,
        candidates=candidate_ids(letters.values()),
        vocabulary=vocabulary_of(
            tokenizer, tokens, other_tokens, torch.tensor(list(letters.values()))
        ),
    )


def _text(words: Sequence[str]) -> str:
    return f"The {' '.join(words)} ({words[0][0]}{words[1][0]}"


def _by_initial(tokenizer: PreTrainedTokenizerBase, words: Sequence[str]) -> dict[str, list[str]]:
    """Initial -> the words that consist of that letter and one more token."""
    rows = encode(tokenizer, [f" {word}" for word in words])
    initials = encode(tokenizer, [f" {word[:1]}" for word in words])
    found: dict[str, list[str]] = {}
    for word, row, initial in zip(words, rows, initials, strict=True):
        if len(row) == 2 and row[:1] == initial:
            found.setdefault(word[0], []).append(word)
    return found


def _acronyms(tokenizer: PreTrainedTokenizerBase, letters: dict[str, int]) -> list[str]:
    """Acronyms whose three letters are three tokens after a bracket."""
    every = ["".join(three) for three in permutations(letters, 3)]
    rows = encode(tokenizer, [f" ({three}" for three in every])
    return [
        three
        for three, row in zip(every, rows, strict=True)
        if row[-3:] == [letters[letter] for letter in three]
    ]


def _partners(ours: str, acronyms: Sequence[str], corruption: Corruption) -> list[str]:
    """Which acronyms a prompt's partner may have."""
    if corruption == "all":
        return [theirs for theirs in acronyms if not set(theirs) & set(ours)]
    return [theirs for theirs in acronyms if theirs[:2] == ours[:2] and theirs != ours]
