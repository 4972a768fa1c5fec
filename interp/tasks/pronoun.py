"""Gendered pronouns: "Yesterday Mary lost the key because" -> " she".

A sentence about one person continues with the pronoun that fits the name; the foil is the other
pronoun. The corrupted partner has a name of the other gender in the same sentence. The roles are
NAME, NAME+1 (the token after it) and END.

The names are common given names that English text mostly uses with one of the two pronouns; the
task measures this habit of text, and nothing about people.

Source: the task after Mathwin et al. 2023, "Identifying a Preliminary Circuit for Predicting
Gendered Pronouns in GPT-2 Small"; since the circuit is preliminary, no list of heads is included.
The sentences are interp's own.
"""

import random

import torch
from transformers import PreTrainedTokenizerBase

from interp.tasks.fit import vocabulary_of
from interp.tasks.sampler import can_draw_more
from interp.tasks.task import Task
from interp.tasks.templates import usable_words
from interp.tasks.tokens import encode_pairs
from interp.tasks.words import draw_evenly, require_count

SHE = (
    "Mary", "Anna", "Alice", "Emma", "Laura", "Kate", "Lucy", "Sarah", "Julia", "Helen", "Rose",
    "Grace", "Claire", "Jane", "Ruth", "Susan", "Karen", "Linda", "Nancy", "Rachel", "Barbara",
    "Carol", "Elizabeth", "Lisa",
)  # fmt: skip
HE = (
    "John", "David", "Paul", "Mark", "James", "Peter", "Robert", "Henry", "George", "Thomas",
    "William", "Charles", "Daniel", "Michael", "Richard", "Edward", "Frank", "Simon", "Martin",
    "Andrew", "Stephen", "Kevin", "Brian", "Jack",
)  # fmt: skip
TEMPLATES = (
    "Yesterday {name} lost the key because",
    "Yesterday {name} said that",
    "On Monday {name} washed the ring and then",
    "When {name} came to the school,",
    "Last week {name} was sad because",
    "So {name} is a really great friend, isn't",
    "We know {name} was happy that",
)


@can_draw_more
def pronoun(tokenizer: PreTrainedTokenizerBase, n: int = 100, *, seed: int = 0) -> Task:
    """Make pronoun prompts.

    Templates and pronouns are spread evenly; a prompt and its partner differ only in the name.

    Args:
        tokenizer: the model's tokenizer
        n: number of prompts
        seed: seed of the templates and names

    Returns:
        The task, named "pronoun". `order` is the right pronoun, `group` the number of the template.

    Raises:
        ValueError: `n` is below 1, or too few names or pronouns are single tokens
    """
    require_count(n)
    names = [
        list(usable_words(tokenizer, words, kind="names", drop_split=True)) for words in (SHE, HE)
    ]
    she_he = list(usable_words(tokenizer, ("she", "he"), kind="pronouns", drop_split=False).items())
    rng = random.Random(f"pronoun {seed}")
    cells = draw_evenly(rng, n, range(len(TEMPLATES)), (0, 1))
    drawn = [(t, g, rng.choice(names[g]), rng.choice(names[1 - g])) for t, g in cells]
    clean = [TEMPLATES[t].format(name=name) for t, _, name, _ in drawn]
    corrupted = [TEMPLATES[t].format(name=other) for t, _, _, other in drawn]
    tokens, partners, mask = encode_pairs(tokenizer, clean, corrupted)
    at = (tokens != partners).int().argmax(-1)  # the only token that differs
    answer, foil = (torch.tensor([she_he[g ^ i][1] for _, g, *_ in drawn]) for i in (0, 1))
    return Task(
        name="pronoun",
        clean=tuple(clean),
        corrupted=tuple(corrupted),
        clean_tokens=tokens,
        corrupted_tokens=partners,
        attention_mask=mask,
        answer=answer,
        foil=foil,
        positions={"NAME": at, "NAME+1": at + 1, "END": mask.sum(-1) - 1},
        group=tuple(f"{t:02d}" for t, *_ in drawn),
        template=tuple(TEMPLATES[t] for t, *_ in drawn),
        order=tuple(she_he[g][0] for _, g, *_ in drawn),
        vocabulary=vocabulary_of(tokenizer, tokens, partners, answer, foil),
    )
