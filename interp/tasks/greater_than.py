"""Greater-than: "The war lasted from 1745 to 17" -> any year above 45.

The answers are all years of the century after the start YY, the foils those up to YY, in both cases
with the nearest to YY first. The corrupted partner starts in the year 01, after which nearly every
year is right. The roles are XX, the century; YY, the start; YY+1, the token after it; and END, the
century again.

    probability_diff   p(years > YY) - p(years <= YY)
    cutoff_sharpness   p(YY + 1) - p(YY - 1)

A year is written so that the tokenizer cuts it into two tokens: "1745" if that is a century and a
year, "17 45" if each is one token after a space. Other years are left out: in GPT-2's vocabulary,
many years, and all of the 20th century, are single tokens.

Source: Hanna et al. 2023 (arXiv 2305.00586), section 2. The sentences are interp's own.
"""

import random

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from interp.tasks.fit import vocabulary_of
from interp.tasks.sampler import can_draw_more
from interp.tasks.task import Task
from interp.tasks.templates import usable_words
from interp.tasks.tokens import encode, encode_pairs
from interp.tasks.words import draw_evenly, require_count

SPANS = (
    "war", "voyage", "project", "reign", "journey", "strike", "siege", "festival", "dynasty",
    "empire", "program", "search", "campaign", "trade", "career", "plague", "lease", "treaty",
    "revolution", "debate",
)  # fmt: skip
TEMPLATES = (
    "The {span} lasted from {start} to {century}",
    "The {span} went on from {start} to {century}",
    "The {span} lasted from the year {start} to the year {century}",
)
CENTURIES = tuple(range(11, 20))
_PARTNER = 1  # year in which the corrupted partner starts
_FIRST, _LAST = 2, 98  # with a year before the start for the sharpness, and one after to answer


@can_draw_more
def greater_than(tokenizer: PreTrainedTokenizerBase, n: int = 100, *, seed: int = 0) -> Task:
    """Make greater-than prompts.

    Prompts use the templates in turn; within a template, no prompt occurs twice until all have
    occurred. Years are drawn from those that the tokenizer writes as a century and a year.

    Args:
        tokenizer: the model's tokenizer
        n: number of prompts
        seed: seed of the sentences and years

    Returns:
        The task, named "greater_than". `answer` and `foil` are sets with the nearest year first;
        `group` and `template` give the sentence.

    Raises:
        ValueError: `n` is below 1, or the tokenizer writes no year as a century and a year
    """
    require_count(n)
    spans = list(usable_words(tokenizer, SPANS, kind="nouns", drop_split=True))
    years, endings = _years(tokenizer)
    starts = sorted(year for year in years if year[1] != _PARTNER)
    rng = random.Random(f"greater_than {seed}")
    each = -(-n // len(TEMPLATES))
    columns = [
        [(t, span, year) for span, year in draw_evenly(rng, each, spans, starts)]
        for t in rng.sample(range(len(TEMPLATES)), len(TEMPLATES))
    ]
    drawn = [prompt for row in zip(*columns, strict=True) for prompt in row][:n]

    def write(template: int, span: str, year: tuple[int, int]) -> str:
        return TEMPLATES[template].format(span=span, start=years[year], century=year[0])

    clean = [write(*prompt) for prompt in drawn]
    corrupted = [write(t, span, (century, _PARTNER)) for t, span, (century, _) in drawn]
    tokens, other, mask = encode_pairs(tokenizer, clean, corrupted)
    end = mask.sum(-1) - 1
    year_at = torch.tensor([len(row) - 1 for row in encode(tokenizer, [
        text[: text.index(years[year]) + len(years[year])]
        for text, (_, _, year) in zip(clean, drawn, strict=True)
    ])])  # fmt: skip
    start = [year for _, _, (_, year) in drawn]
    answer = _sets([[endings[y] for y in range(yy + 1, 100)] for yy in start])
    foil = _sets([[endings[y] for y in range(yy, -1, -1)] for yy in start])
    return Task(
        name="greater_than",
        clean=tuple(clean),
        corrupted=tuple(corrupted),
        clean_tokens=tokens,
        corrupted_tokens=other,
        attention_mask=mask,
        answer=answer,
        foil=foil,
        positions={"XX": year_at - 1, "YY": year_at, "YY+1": year_at + 1, "END": end},
        group=tuple(f"{t:02d}" for t, _, _ in drawn),
        template=tuple(TEMPLATES[t] for t, _, _ in drawn),
        order=("",) * n,
        metric="probability_diff",
        vocabulary=vocabulary_of(tokenizer, tokens, other, answer, foil),
    )


def _years(tokenizer: PreTrainedTokenizerBase) -> tuple[dict[tuple[int, int], str], list[int]]:
    """The years that are two tokens as text, and the token of each ending from 00 to 99."""
    wanted = [
        (century, yy) for century in CENTURIES for yy in (_PARTNER, *range(_FIRST, _LAST + 1))
    ]
    centuries = encode(tokenizer, [f" {century}" for century in CENTURIES])
    first = dict(zip(CENTURIES, centuries, strict=True))
    for space in ("", " "):
        endings = encode(tokenizer, [f"{space}{yy:02d}" for yy in range(100)])
        texts = [f"{century}{space}{yy:02d}" for century, yy in wanted]
        rows = encode(tokenizer, [f" {text}" for text in texts])
        found = {
            year: text
            for year, text, row in zip(wanted, texts, rows, strict=True)
            if len(row) == 2 and row == [*first[year[0]], *endings[year[1]]]
        }
        years = {year: text for year, text in found.items() if (year[0], _PARTNER) in found}
        single = {row[0] for row in endings if len(row) == 1}
        if years and len(single) == len(endings):  # unknown words would all be one token
            return years, [row[0] for row in endings]
    raise ValueError(
        "the tokenizer writes no year as a token for the century and one for the year in it, "
        "neither as 1745 nor as 17 45; greater-than needs such years"
    )


def _sets(rows: list[list[int]]) -> Int[Tensor, "prompt option"]:
    """Sets of token ids, padded with -1."""
    widest = max(map(len, rows))
    return torch.tensor([row + [-1] * (widest - len(row)) for row in rows])
