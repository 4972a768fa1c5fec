"""A sentence cut at the word that tests a skill, and how frames of sentences are filled in."""

from dataclasses import dataclass
from random import Random

from interp.training.mini import lexicon as lex


@dataclass(frozen=True)
class Cloze:
    """A text cut at the word that tests a skill.

    Training documents are whole texts, prompt + answer + rest; test prompts come from the same
    functions with the held-out parts asked for, so that the two cannot drift apart.

    Args:
        kind: the skill, one of the names in the mixture.
        prompt: the text before the answer; no space at its end.
        answer: what continues the prompt, with its leading space if it is a word; "" where none is
            tested.
        foil: the wrong word that the answer is compared with; "" where there is none.
        rest: what follows the answer.
    """

    kind: str
    prompt: str
    answer: str = ""
    foil: str = ""
    rest: str = ""

    @property
    def text(self) -> str:
        """The whole text."""
        return self.prompt + self.answer + self.rest


def fill(rng: Random, frame: str) -> str:
    """The frame with one place, one object and one person drawn for its slots.

    A slot that occurs several times gets the same word each time: a text has one scene, and what is
    drawn once and comes back is worth copying.

    Args:
        rng: the random source.
        frame: text with the slots {place}, {object}, {person} and {thing}, which is the object with
            an article.

    Returns:
        The text.
    """
    thing, place = rng.choice(lex.OBJECTS), rng.choice(lex.PLACES)
    slots = {
        "a {place}": lex.article(place),
        "{place}": place,
        "a {object}": lex.article(thing),
        "{object}": thing,
        "{thing}": rng.choice((lex.article(thing), lex.article(thing), f"the {thing}")),
        "{person}": rng.choice(lex.PERSONS),
    }
    for slot, words in slots.items():
        frame = frame.replace(slot, words)
    return frame
