"""Held-out scores of a model of the generated language: what it can do on prompts it never saw.

Each skill is measured on prompts that `interp.training.mini.people` and `.skills` draw with their
held-out parts, at the prompt's last token:

    accuracy               fraction of prompts with logit(answer) > logit(foil)
    top-1                  fraction with the answer above every other token
    logit difference       logit(answer) - logit(foil), mean, in logits
    probability difference p(later years) - p(other years), mean (Hanna et al. 2023, section 2)
    induction accuracy     top-1 at the second copy of random tokens, from its second token on

Induction is also measured after other random tokens: a model that copies by position, and not by
looking for what followed the last time, fails there alone.

Fractions of prompts carry Wilson's 95 % interval (Wilson 1927), since a bootstrap of nothing but
hits has no width; means carry the bootstrap one. Induction counts a sequence, not a token, as one
observation.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

import torch
from jaxtyping import Float
from torch import Tensor

from interp.model import HookedGPT2
from interp.statistics import Estimate, estimate_mean
from interp.training.batches import repeated_ids
from interp.training.mini import people, skills
from interp.training.mini.cloze import Cloze
from interp.training.mini.lexicon import NUMBERS

_Z = 1.959964  # two-sided 95 % of the normal distribution


@dataclass(frozen=True)
class Score:
    """One measured number.

    Args:
        skill: the kind of prompt.
        held_out: what in the prompts training never had.
        metric: accuracy, logit difference, ...
        estimate: the mean over prompts with its 95 % interval.
        n: number of prompts.
        required: what the value has to reach, or None.
    """

    skill: str
    held_out: str
    metric: str
    estimate: Estimate
    n: int
    required: float | None = None

    @property
    def reached(self) -> bool:
        """Whether the value is what is required of it."""
        return self.required is None or self.estimate.mean >= self.required


def last_logits(model: HookedGPT2, prompts: Sequence[str]) -> Float[Tensor, "prompt d_vocab"]:
    """Logits after the last token of each prompt.

    Args:
        model: with a tokenizer.
        prompts: texts of any lengths.

    Returns:
        Logits of the next token. Prompts are padded on the right, which a causal model cannot see.
    """
    rows = model.tokenizer(list(prompts))["input_ids"]
    ends = torch.tensor([len(row) - 1 for row in rows])
    tokens = torch.zeros(len(rows), int(ends.max()) + 1, dtype=torch.long)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = torch.tensor(row)
    with torch.inference_mode():
        logits = model(tokens.to(model.device)).cpu()  # prompt pos d_vocab
    return logits[torch.arange(len(rows)), ends].float()


def held_out_scores(model: HookedGPT2, *, n: int = 2000, seed: int = 1) -> list[Score]:
    """Measure every skill on prompts held out of training.

    Args:
        model: with its tokenizer and a context of at least 64 tokens.
        n: prompts for each skill; a quarter of it for induction.
        seed: seed of the prompts.

    Returns:
        The scores, in the order of the model card.
    """
    rng = Random(f"{seed}/held out")
    scores: list[Score] = []
    kinds = {
        "names": {"held_out_names": True},
        "name pairs": {"held_out_pairs": True},
        "templates": {"held_out_templates": True},
        "names and templates": {"held_out_names": True, "held_out_templates": True},
    }
    for held_out, options in kinds.items():
        examples = [people.ioi(rng, **options) for _ in range(n)]
        logits = last_logits(model, [example.prompt for example in examples])
        difference = _logit_difference(model, logits, examples)
        correct = _is_top(model, logits, examples)
        scores += [
            _fraction("IOI", held_out, "accuracy", difference > 0, 0.99),
            _fraction("IOI", held_out, "top-1", correct),
            _mean("IOI", held_out, "logit difference", difference, 3.0),
        ]
    third_name = partial(people.third_name, held_out_names=True, held_out_templates=True)
    three_names = partial(people.three_names, held_out_names=True, held_out_templates=True)
    examples = [third_name(rng) for _ in range(n)]
    logits = last_logits(model, [example.prompt for example in examples])
    mass = _probability(model, logits, examples)
    scores.append(_mean("IOI, three different names", "names and templates", "p(A) + p(B)", mass))

    accuracies: list[tuple[str, str, Callable[[Random], Cloze], float | None]] = [
        ("three names, two act", "names and templates", three_names, None),
        ("pronoun", "frames, names in a frame", partial(skills.pronoun, held_out=True), 0.95),
        ("agreement", "subjects", partial(skills.agreement, held_out=True), 0.95),
        ("acronym", "words", partial(skills.acronym, held_out=True), 0.95),
        ("truth", "facts never judged", partial(skills.truth, held_out=True), None),
    ]
    for skill, held_out, sample, required in accuracies:
        examples = [sample(rng) for _ in range(n)]
        logits = last_logits(model, [example.prompt for example in examples])
        correct = _logit_difference(model, logits, examples) > 0
        scores.append(_fraction(skill, held_out, "accuracy", correct, required))

    examples = [skills.greater_than(rng, held_out=True) for _ in range(n)]
    later = _later_minus_other(model, examples)
    held_out = "nouns, centuries and years"
    scores.append(_mean("greater-than", held_out, "probability difference", later, 0.8))

    for length in (16, model.config.n_ctx // 2):
        name = f"sequences of {length} random tokens"
        accuracy = _induction(model, rng, n // 4, length)
        scores.append(_mean("induction", name, "accuracy, second half", accuracy, 0.95))
    name = "sequences of 16 random tokens after 32 others"
    accuracy = _induction(model, rng, n // 4, 16, others=32)
    scores.append(_mean("induction", name, "accuracy, second copy", accuracy, 0.95))

    examples = [skills.reason(rng, held_out=True) for _ in range(n)]
    logits = last_logits(model, [example.prompt for example in examples])
    correct = _logit_difference(model, logits, examples) > 0
    scores.append(_fraction("pronoun", "deeds with their links", "accuracy", correct, 0.95))

    examples = [people.ioi(rng, mixed_names=True) for _ in range(n)]
    logits = last_logits(model, [example.prompt for example in examples])
    correct = _logit_difference(model, logits, examples) > 0
    scores.append(_fraction("IOI", "one of the two names", "accuracy", correct))
    return scores


def _ids(model: HookedGPT2, words: Sequence[str]) -> Tensor:
    return torch.tensor([ids[0] for ids in model.tokenizer(list(words))["input_ids"]])


def _logit_difference(model: HookedGPT2, logits: Tensor, examples: Sequence[Cloze]) -> Tensor:
    answer = _ids(model, [example.answer for example in examples])
    foil = _ids(model, [example.foil for example in examples])
    rows = torch.arange(len(examples))
    return logits[rows, answer] - logits[rows, foil]


def _is_top(model: HookedGPT2, logits: Tensor, examples: Sequence[Cloze]) -> Tensor:
    return logits.argmax(-1) == _ids(model, [example.answer for example in examples])


def _probability(model: HookedGPT2, logits: Tensor, examples: Sequence[Cloze]) -> Tensor:
    """Probability of the answer and the foil together."""
    answer = _ids(model, [example.answer for example in examples])
    foil = _ids(model, [example.foil for example in examples])
    p, rows = logits.softmax(-1), torch.arange(len(examples))
    return p[rows, answer] + p[rows, foil]


def _later_minus_other(model: HookedGPT2, examples: Sequence[Cloze]) -> Tensor:
    """p(years after the first) - p(years up to it), over the years of one century."""
    prompts = [example.prompt for example in examples]
    years = _ids(model, [f" {number}" for number in NUMBERS])
    p = last_logits(model, prompts).softmax(-1)[:, years]  # prompt year
    numbers = [re.findall(r"\d+", prompt) for prompt in prompts]  # century, year, century
    first = torch.tensor([int(year) for _, year, _ in numbers])
    after = torch.arange(100) > first[:, None]  # prompt year
    return (p * after).sum(-1) - (p * ~after).sum(-1)


def _induction(model: HookedGPT2, rng: Random, n: int, length: int, *, others: int = 0) -> Tensor:
    """Top-1 accuracy of each sequence on its second copy, without that copy's first token."""
    d_vocab = model.config.d_vocab
    rows = [
        repeated_ids(rng, d_vocab, others, 1) + repeated_ids(rng, d_vocab, length) for _ in range(n)
    ]
    tokens = torch.tensor(rows)
    with torch.inference_mode():
        predicted = model(tokens.to(model.device)).argmax(-1).cpu()  # row pos
    second = others + length
    hits = predicted[:, second:-1] == tokens[:, second + 1 :]
    return hits.float().mean(-1)


def _fraction(
    skill: str, held_out: str, metric: str, hits: Tensor, required: float | None = None
) -> Score:
    n, p = len(hits), hits.float().mean().item()
    center = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2))
    interval = Estimate(p, max(center - half, 0.0), min(center + half, 1.0))
    return Score(skill, held_out, metric, interval, n, required)


def _mean(
    skill: str, held_out: str, metric: str, values: Tensor, required: float | None = None
) -> Score:
    return Score(skill, held_out, metric, estimate_mean(values), len(values), required)
