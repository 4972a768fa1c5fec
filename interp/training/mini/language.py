"""A generated English-like language with the skills that circuits are studied in.

A document is a text of one kind of the mixture, sometimes with prose before or after it. Texts
about people (`interp.training.mini.people`) are more than half of it; the others
(`interp.training.mini.skills`) bring years, pronouns, agreement, facts, titles and acronyms.

A document never starts with a name, so that a name is always one token with a leading space.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from interp.training.mini import people, skills
from interp.training.mini.cloze import Cloze

Mixture = dict[str, tuple[float, Callable[[Random], Cloze]]]
"""Kinds of texts: the fraction of documents and the function that makes one."""

MIXTURE: Mixture = {
    "ioi": (0.20, people.any_ioi),
    "aside": (0.04, people.aside),
    "exchange": (0.12, people.exchange),
    "roll_call": (0.09, people.roll_call),
    "gifts": (0.03, people.gifts),
    "third_name": (0.03, people.third_name),
    "three_names": (0.03, people.three_names),
    "belonging": (0.05, people.belonging),
    "story": (0.04, people.story),
    "greater_than": (0.03, skills.greater_than),
    "chronicle": (0.06, skills.chronicle),
    "pronoun": (0.04, skills.pronoun),
    "reason": (0.05, skills.reason),
    "agreement": (0.05, skills.agreement),
    "truth": (0.04, skills.truth),
    "acronym": (0.06, skills.acronym),
    "title": (0.03, skills.title),
    "counting": (0.01, skills.counting),
}
"""What is learned first: mostly texts about people, from which heads learn to move names."""

LATER_MIXTURE: Mixture = MIXTURE | {
    "ioi": (0.14, people.any_ioi),
    "exchange": (0.06, people.exchange),
    "roll_call": (0.07, people.roll_call),
    "belonging": (0.03, people.belonging),
    "greater_than": (0.15, skills.greater_than),
    "chronicle": (0.03, skills.chronicle),
    "acronym": (0.12, skills.acronym),
    "truth": (0.10, skills.truth),
}
"""The same with more of what takes longer: years, acronyms, facts."""

STAGES: tuple[tuple[int, Mixture], ...] = ((0, MIXTURE), (3750, LATER_MIXTURE))
"""The curriculum: from which training step on documents are of which mixture."""

TOKENIZED: Mixture = {
    name: share for name, share in MIXTURE.items() if name not in ("acronym", "title")
}
"""What the tokenizer is trained on. The words of titles and acronyms are not in it, so that they
stay in pieces and each of them begins with a token of its capital letter, which can be copied."""


def shares(mixture: Mixture) -> dict[str, float]:
    """The fraction of documents of each kind."""
    total = sum(weight for weight, _ in mixture.values())
    return {name: weight / total for name, (weight, _) in mixture.items()}


def document(rng: Random, mixture: Mixture = MIXTURE) -> tuple[str, str, str]:
    """One training document: a text of the mixture, sometimes with prose before or after it.

    Args:
        rng: the random source; the same state gives the same document.
        mixture: kinds of texts with their fractions.

    Returns:
        Text that starts with a capital and no space, in three parts: what is before its answer, the
        answer, and what is after it. The last two are empty if it has none.
    """
    weights = [weight for weight, _ in mixture.values()]
    ((_, sample),) = rng.choices(tuple(mixture.values()), weights)
    one = sample(rng)
    before, after = one.prompt, one.rest
    if rng.random() < 0.1:
        before = f"{skills.prose(rng).text} {before}"
    if rng.random() < 0.1:
        more = f" {skills.prose(rng).text}"
        before, after = (before, after + more) if one.answer else (before + more, after)
    return before, one.answer, after


@dataclass(frozen=True)
class Sentences:
    """What writes the documents of a step, for `interp.training.Batches`.

    Args:
        stages: steps, the first of which is 0, each with the mixture from there on.
    """

    stages: tuple[tuple[int, Mixture], ...] = field(default_factory=lambda: STAGES, repr=False)

    def __call__(self, rng: Random, step: int) -> tuple[str, str, str]:
        """Write one document."""
        mixture = [mixture for first, mixture in self.stages if first <= step][-1]
        return document(rng, mixture)
