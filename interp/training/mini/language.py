"""A generated English-like language with the skills that circuits are studied in.

Every kind of sentence is a function of a random source that returns a `Cloze`: a prompt, the
word that continues it, the word that must not (the foil), and the rest of the sentence. Training
documents are whole sentences, `prompt + answer + rest`; test prompts come from the same functions
with the held-out parts asked for, so that training and test cannot drift apart.

    kind          skill                                  Source of the skill
    ioi           the name that was not repeated         Wang et al. 2022, section 2
    third_name    three different names: either of two   Wang et al. 2022, the ABC distribution
    three_names   the one of three not repeated          Wang et al. 2022, appendix
    greater_than  a later year of the same century       Hanna et al. 2023, section 2
    pronoun       she or he                              Mathwin et al. 2023
    agreement     is or are, past a noun between         Linzen et al. 2016
    truth         facts, and whether one is true         Marks and Tegmark 2023
    exchange      two people hand things to each other: the one who is not giving
    handover      as ioi, with more ways to say who gives
    one_name      as ioi, of one person with a name and one without
    odd_names     as ioi and handover, with nouns and numbers for names
    odd_partner   as odd_names, of one name and one noun or number
    joined        as odd_partner, the two clauses joined in one sentence
    chronicle     as greater_than, many spans in a row
    reason        as pronoun, in frames put together from parts
    acronym       the initials of three words            García-Carrasco et al. 2024
    counting      the next number
    story         prose with one name in it
    prose         prose without names

Training has six parts, each with a mixture of these. The second has more ways to say the same,
which the skills need if they are to work in sentences that training did not have; the third has
more of those in which things are given; in the fourth others than the known names give too, and
in the fifth more of them give in the same sentence; the sixth has acronyms.

A document never starts with a name, so that a name is always one token with a leading space.

The file is longer than most: it is a grammar, one function a kind of sentence.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import combinations
from random import Random

from interp.training.mini import lexicon as lex


@dataclass(frozen=True)
class Cloze:
    """A sentence cut at the word that tests a skill.

    Args:
        kind: the skill, one of the names in the mixtures.
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
        """The whole sentence."""
        return self.prompt + self.answer + self.rest


def _draw_names(
    rng: Random, names: tuple[str, ...], count: int, held_out_pairs: bool = False
) -> list[str]:
    """Different names, every two of which are a held-out pair, or none."""
    while True:
        drawn = rng.sample(names, count)
        if all(lex.held_out_pair(*pair) == held_out_pairs for pair in combinations(drawn, 2)):
            return drawn


def _fill(rng: Random, frame: str) -> str:
    """The frame with a place, an object, a noun phrase and a person drawn for its slots."""
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


def _frame(
    rng: Random,
    group: str,
    handover: str,
    openers: tuple[str, ...] = lex.OPENERS,
    settings: tuple[str, ...] = lex.SETTINGS,
) -> str:
    """A fresh template of our grammar: `group` does something, then `handover`."""
    if rng.random() < 0.45:
        return f"{rng.choice(lex.SUBORDINATORS)} {group} {rng.choice(settings)}, {handover}"
    linker = rng.choice(lex.LINKERS if handover.startswith("[") else lex.LINKERS[3:])
    opening = f"{rng.choice(openers)} {group} {rng.choice(settings)}"
    if rng.random() < 0.2:
        return f"{opening} {rng.choice(('and', 'and then', 'while', 'so'))} {handover}"
    return f"{opening}. {linker} {handover}" if linker else f"{opening}. {handover}"


def _slots(template: str) -> str:
    """A template of the IOI task with its place and object written as our own slots."""
    return template.replace("[PLACE]", "{place}").replace("[OBJECT]", "{object}")


def _two_name_template(rng: Random, held_out: bool) -> str:
    """A BABA template or, by a swap of its first [B] and first [A], ABBA; only names are open."""
    if held_out:
        template = rng.choice(lex.HELD_OUT_TEMPLATES)
    elif rng.random() < 0.35:
        template = rng.choice(lex.TRAIN_TEMPLATES)
    else:
        template = _frame(rng, "[B] and [A]", f"[B] {rng.choice(lex.HANDOVERS)} [A]")
    return _fill(rng, _slots(_either_order(rng, template)))


def _either_order(rng: Random, template: str) -> str:
    """The BABA template or, by a swap of its first [B] and first [A], its ABBA form."""
    if rng.random() >= 0.5:
        return template
    head, tail = template.split("[A]", 1)
    return head.replace("[B]", "[A]", 1) + "[B]" + tail


def ioi(
    rng: Random,
    *,
    held_out_names: bool = False,
    held_out_pairs: bool = False,
    held_out_templates: bool = False,
    mixed_names: bool = False,
) -> Cloze:
    """An indirect-object sentence: the answer is the name that occurred once.

    Args:
        rng: the random source; the example is a function of its state.
        held_out_names: take both names from those that no two-name training sentence has.
        held_out_pairs: take two training names that never meet in training.
        held_out_templates: take a template that training never uses.
        mixed_names: take one name that two-name training sentences have and one that none has, in
            either role.

    Returns:
        Cloze with IO as answer and S as foil.
    """
    if mixed_names:
        io, subject = rng.sample((rng.choice(lex.TRAIN_NAMES), rng.choice(lex.HELD_OUT_NAMES)), 2)
    else:
        names = lex.HELD_OUT_NAMES if held_out_names else lex.TRAIN_NAMES
        io, subject = _draw_names(rng, names, 2, held_out_pairs)
    template = _two_name_template(rng, held_out_templates)
    prompt = template.removesuffix(" [A]").replace("[A]", io).replace("[B]", subject)
    return Cloze("ioi", prompt, f" {io}", f" {subject}", rng.choice(lex.ENDINGS))


def exchange(rng: Random) -> Cloze:
    """Two people hand things to each other; at each turn either of them gives to the other.

    The same skill as `ioi`, exercised at every turn and so many times in as many words.

    Args:
        rng: the random source.

    Returns:
        Cloze cut before the last receiver, with the last giver as foil.
    """
    pair = _draw_names(rng, lex.TRAIN_NAMES, 2)
    opening = f"{rng.choice(lex.OPENERS)} {pair[0]} and {pair[1]} {rng.choice(lex.SETTINGS)}."
    turns = []
    for _ in range(rng.randint(2, 5)):
        giver, receiver = rng.sample(pair, 2)
        turns.append((f"{giver} {rng.choice(lex.HANDOVERS)}", receiver))
    *earlier, (last, answer) = turns
    text = " ".join([opening, *(f"{act} {name}." for act, name in earlier), last])
    foil = next(name for name in pair if name != answer)
    return Cloze("exchange", _fill(rng, text), f" {answer}", f" {foil}", ".")


def handover(rng: Random) -> Cloze:
    """An indirect-object sentence in which the giver stands late or gives in a way of its own.

    A giver who always stands before the verb leaves a whole clause in which to settle the receiver
    early and carry the name along. One who stands late ("a ring was given by John to") leaves that
    to the last tokens, which is where GPT-2 small does it (Wang et al. 2022, section 3).

    Args:
        rng: the random source.

    Returns:
        Cloze with IO as answer and S as foil.
    """
    io, subject = _draw_names(rng, lex.TRAIN_NAMES, 2)
    act = rng.choice(lex.LATE_HANDOVERS if rng.random() < 0.5 else lex.MORE_HANDOVERS)
    openers = lex.PLACE_OPENERS if rng.random() < 0.5 else lex.OPENERS
    settings = lex.MORE_SETTINGS if rng.random() < 0.5 else lex.SETTINGS
    frame = _frame(rng, "[B] and [A]", f"{act} [A]", openers, settings)
    template = _either_order(rng, frame)
    prompt = _fill(rng, template).removesuffix(" [A]").replace("[A]", io).replace("[B]", subject)
    return Cloze("handover", prompt, f" {io}", f" {subject}", rng.choice(lex.ENDINGS))


def one_name(rng: Random) -> Cloze:
    """An indirect-object sentence of a named person and one without a name, in either role.

    Every name stands in it, those too that no two-name sentence has: a model that has seen only
    some names receive prefers these to all others, wherever they stand in the sentence.

    Args:
        rng: the random source.

    Returns:
        Cloze whose answer is the name, or " the" of the person, and the foil the other.
    """
    name, person = rng.choice(lex.NAMES), f"the {rng.choice(lex.PERSONS)}"
    io, subject = rng.sample((name, person), 2)
    prompt = _two_name_template(rng, held_out=False).removesuffix(" [A]")
    prompt = prompt.replace("[A]", io).replace("[B]", subject).replace(". the ", ". The ")
    (answer, *noun), (foil, *_) = io.split(), subject.split()
    rest = " ".join(["", *noun]) + rng.choice(lex.ENDINGS)
    return Cloze("one_name", prompt, f" {answer}", f" {foil}", rest)


def odd_names(rng: Random) -> Cloze:
    """An indirect-object sentence in which nouns or numbers stand where the names should.

    What counts there is which word was not repeated, whatever the words are. Otherwise a model
    learns after long training that some names, those held out, never receive beside another.

    Args:
        rng: the random source.

    Returns:
        Cloze with IO as answer and S as foil; three words in four are no names.
    """
    example = rng.choice((ioi, handover))(rng)
    names = example.answer.strip(), example.foil.strip()
    words = rng.sample(_free_words(example), 2)
    chosen = [
        word if rng.random() < 0.75 else name for name, word in zip(names, words, strict=True)
    ]
    return _with_names(example, "odd_names", *chosen)


def odd_partner(rng: Random) -> Cloze:
    """An indirect-object sentence of a name and a noun or number in the place of the other name.

    As in `one_name` every name stands in it, those too that no two-name sentence has; here half of
    them are such, since they stand in little else.

    Args:
        rng: the random source.

    Returns:
        Cloze with IO as answer and S as foil.
    """
    example = rng.choice((ioi, handover))(rng)
    names = rng.choice((lex.TRAIN_NAMES, lex.HELD_OUT_NAMES))
    pair = rng.choice(names), rng.choice(_free_words(example))
    return _with_names(example, "odd_partner", *rng.sample(pair, 2))


def _free_words(example: Cloze) -> list[str]:
    there = re.findall(r"\w+", example.prompt)
    return [word for word in lex.ODD_NAMES if word not in there]


def _with_names(example: Cloze, kind: str, answer: str, foil: str) -> Cloze:
    """The example with others in the place of its two names."""
    new = {example.answer.strip(): answer, example.foil.strip(): foil}
    prompt = re.sub(r"\w+", lambda found: new.get(found[0], found[0]), example.prompt)
    return Cloze(kind, prompt, f" {answer}", f" {foil}", example.rest)


def joined(rng: Random) -> Cloze:
    """An indirect-object sentence whose giver stands after a word like "and".

    A full stop or a comma before the giver says that what follows is the second clause; where a
    plain "and" stands there, as between the two names, the giver is harder to tell.

    Args:
        rng: the random source.

    Returns:
        Cloze with IO as answer and S as foil.
    """
    while True:
        example = odd_partner(rng)
        before_giver = example.prompt[: example.prompt.rindex(example.foil)]
        both = max(map(before_giver.find, (example.answer, example.foil)))
        if not set(before_giver[both:]) & set(".,"):
            return replace(example, kind="joined")


def third_name(
    rng: Random, *, held_out_names: bool = False, held_out_templates: bool = False
) -> Cloze:
    """The ABC partner of an indirect-object sentence: a third person gives to either of two.

    Args:
        rng: the random source.
        held_out_names: as in `ioi`.
        held_out_templates: as in `ioi`.

    Returns:
        Cloze whose answer is one of the two names of the first clause at random and whose foil
        is the other: both are right, the third name is not.
    """
    names = lex.HELD_OUT_NAMES if held_out_names else lex.TRAIN_NAMES
    first, second, third = _draw_names(rng, names, 3)
    template = _two_name_template(rng, held_out_templates).removesuffix(" [A]")
    clause, _, handover = template.rpartition("[B]")
    prompt = clause.replace("[A]", first).replace("[B]", second) + third + handover
    answer, foil = rng.sample((first, second), 2)
    return Cloze("third_name", prompt, f" {answer}", f" {foil}", rng.choice(lex.ENDINGS))


def three_names(
    rng: Random, *, held_out_names: bool = False, held_out_templates: bool = False
) -> Cloze:
    """Three people, two of whom act: the answer is the third.

    Args:
        rng: the random source.
        held_out_names: as in `ioi`.
        held_out_templates: as in `ioi`.

    Returns:
        Cloze with the name that occurred once as answer and a repeated name as foil.
    """
    names = lex.HELD_OUT_NAMES if held_out_names else lex.TRAIN_NAMES
    if held_out_templates:
        template = rng.choice(lex.HELD_OUT_THREE_NAME)
    elif rng.random() < 0.5:
        template = rng.choice(lex.TRAIN_THREE_NAME)
    else:
        handover = f"[B] and [C] {rng.choice(lex.HANDOVERS)} [A]"
        template = _frame(rng, "[A], [B] and [C]", handover)
    answer, foil, other = _draw_names(rng, names, 3)
    listed = rng.sample((answer, foil, other), 3)
    clause, tail = template.split("[A], [B] and [C]", 1)
    tail = tail.removesuffix(" [A]").replace("[B]", foil).replace("[C]", other)
    prompt = _fill(rng, f"{_slots(clause)}{listed[0]}, {listed[1]} and {listed[2]}{_slots(tail)}")
    return Cloze("three_names", prompt, f" {answer}", f" {foil}", rng.choice(lex.ENDINGS))


def greater_than(rng: Random, *, held_out: bool = False) -> Cloze:
    """A span of years within one century: the answer is a later year.

    Args:
        rng: the random source.
        held_out: take a noun and a combination of century and first year that training never uses.

    Returns:
        Cloze whose answer is a year after the first and whose foil is one not after it.
    """
    while True:
        century, year = rng.choice(lex.CENTURIES), rng.randint(2, 98)
        unseen = century == lex.HELD_OUT_CENTURY or (century + year) % 6 == 0
        if unseen == held_out:
            break
    span = rng.choice(lex.HELD_OUT_SPANS if held_out else lex.TRAIN_SPANS)
    prompt = rng.choice(lex.SPAN_FRAMES).format(span=span, century=century, year=f"{year:02d}")
    answer, foil = rng.randint(year + 1, 99), rng.randint(0, year)
    return Cloze("greater_than", prompt, f" {answer:02d}", f" {foil:02d}", ".")


def chronicle(rng: Random) -> Cloze:
    """Two to four spans of years, one after the other.

    Args:
        rng: the random source.

    Returns:
        Cloze cut before the last year of all.
    """
    *earlier, last = (greater_than(rng) for _ in range(rng.randint(2, 4)))
    prompt = " ".join([*(example.text for example in earlier), last.prompt])
    return Cloze("chronicle", prompt, last.answer, last.foil, last.rest)


def _never_meet(frame: str, name: str) -> bool:
    return (lex.PRONOUN_FRAMES.index(frame) + lex.NAMES.index(name)) % 8 == 0


def pronoun(rng: Random, *, held_out: bool = False) -> Cloze:
    """A sentence about one person: the answer is the pronoun of the name.

    Args:
        rng: the random source.
        held_out: take a frame that training never uses, or a name it never uses in this frame.

    Returns:
        Cloze with " she" or " he" as answer and the other as foil.
    """
    while True:
        frame = rng.choice(lex.PRONOUN_FRAMES)
        name = rng.choice(lex.NAMES)
        unseen = frame in lex.HELD_OUT_PRONOUN_FRAMES or _never_meet(frame, name)
        if unseen == held_out:
            break
    answer, foil = (" she", " he") if name in lex.WOMEN else (" he", " she")
    rest = "?" if frame.endswith("isn't") else f" {_fill(rng, rng.choice(lex.PRONOUN_TAILS))}"
    return Cloze("pronoun", _fill(rng, frame).replace("{name}", name), answer, foil, rest)


def reason(rng: Random, *, held_out: bool = False) -> Cloze:
    """What a person did and a pronoun that goes on: the answer is the pronoun of the name.

    Args:
        rng: the random source.
        held_out: take a deed with a link that training never puts together.

    Returns:
        Cloze with " she" or " he" as answer and the other as foil.
    """
    name = rng.choice(lex.NAMES)
    deed, link = rng.choice(lex.HELD_OUT_REASONS if held_out else lex.TRAIN_REASONS)
    frame = f"{rng.choice(lex.PRONOUN_OPENERS)} {name} {deed} {link}"
    answer, foil = (" she", " he") if name in lex.WOMEN else (" he", " she")
    rest = f" {_fill(rng, rng.choice(lex.PRONOUN_TAILS))}"
    return Cloze("reason", _fill(rng, frame), answer, foil, rest)


def agreement(rng: Random, *, held_out: bool = False) -> Cloze:
    """A subject, a noun between, and the verb: the answer agrees with the subject.

    Args:
        rng: the random source.
        held_out: take a subject that training never uses with a noun between.

    Returns:
        Cloze with the agreeing verb as answer and its other number as foil.
    """
    subject = rng.choice(lex.HELD_OUT_SUBJECTS if held_out else lex.TRAIN_SUBJECTS)
    between = rng.choice([noun for noun in lex.NOUNS if noun != subject])
    number = rng.randrange(2)
    opposite = held_out or rng.random() < 0.7
    verbs = rng.choice(lex.VERB_PAIRS)
    prompt = f"The {subject[number]} {rng.choice(lex.PREPOSITIONS)} the "
    prompt += between[1 - number if opposite else number]
    tail = "been" if verbs[0] == "has" else rng.choice(("", "very", "not", "always"))
    rest = f" {tail} {rng.choice(lex.QUALITIES)}.".replace("  ", " ")
    return Cloze("agreement", prompt, f" {verbs[number]}", f" {verbs[1 - number]}", rest)


def truth(rng: Random, *, held_out: bool = False) -> Cloze:
    """A statement, either bare and true, or true or false and judged.

    Args:
        rng: the random source.
        held_out: judge a fact that training only ever states.

    Returns:
        Cloze with " true" or " false" as answer, or a bare statement without an answer.
    """
    frame, facts = rng.choice(tuple(lex.FACTS.items()))
    never_judged = facts[4::5]
    subject, value = rng.choice(never_judged if held_out else facts)
    if not held_out and ((subject, value) in never_judged or rng.random() < 0.4):
        return Cloze("truth", frame.format(subject=subject, value=value) + ".")
    is_true = rng.random() < 0.5
    if not is_true:
        value = rng.choice([other for _, other in facts if other not in (value, subject)])
    answer, foil = (" true", " false") if is_true else (" false", " true")
    prompt = frame.format(subject=subject, value=value) + ". This is"
    return Cloze("truth", prompt, answer, foil, ".")


def acronym(rng: Random, *, held_out: bool = False) -> Cloze:
    """Three words with capitals and, in brackets, their initials: the answer is the third.

    Args:
        rng: the random source.
        held_out: take words that no acronym of training is of.

    Returns:
        Cloze cut within the acronym, before its last letter; the foil is another word's initial.
    """
    words = lex.HELD_OUT_ACRONYM_WORDS if held_out else lex.TRAIN_ACRONYM_WORDS
    while True:
        drawn = rng.sample(words, 3)
        first, second, third = (word[0] for word in drawn)
        if third not in (first, second):
            break
    group = f"{' '.join(drawn)} ({first}{second}"
    frame = _fill(rng, rng.choice(lex.ACRONYM_FRAMES)).replace("{group}", group)
    tail = _fill(rng, rng.choice(lex.ACRONYM_TAILS))
    return Cloze("acronym", frame, third, rng.choice((first, second)), f") {tail}")


def counting(rng: Random) -> Cloze:
    """Numbers in order, from a random start."""
    length = rng.randint(4, 12)
    start = rng.randint(0, 100 - length)
    return Cloze("counting", "Count: " + " ".join(lex.NUMBERS[start : start + length]) + ".")


def story(rng: Random) -> Cloze:
    """Prose about one person, whose name is repeated."""
    name = rng.choice(lex.NAMES)
    frames = (
        "Every day {name} walks to the {place}. Everyone knows {name} there.",
        "The {person} is called {name}. People say {name} has a {object}.",
        "In the {place} there is a {person}, and the name of the {person} is {name}.",
        "Today {name} has a new {object}. It was not easy for {name} to find it.",
        "The old {person} often speaks about {name}. We all like {name}.",
        f"In the {{place}} the {{person}} {rng.choice(lex.HANDOVERS)} {{name}}.",
        f"When the {{person}} left the {{place}}, we {rng.choice(lex.HANDOVERS)} {{name}}.",
        "Did you see {name} at the {place}? Yes, {name} was with the {person}.",
    )
    return Cloze("story", _fill(rng, rng.choice(frames)).replace("{name}", name))


def prose(rng: Random) -> Cloze:
    """Prose without names: one to three short sentences."""
    noun, other = rng.sample(lex.NOUNS, 2)
    quality, second = rng.sample(lex.QUALITIES, 2)
    frames = (
        "The {person} walked through the {place} and looked for the {object}.",
        f"It was {lex.article(quality)} morning and the {{place}} was {second}.",
        f"There is {lex.article(quality)} {noun[0]} in the {{place}}.",
        f"There are two {quality} {noun[1]} in the {{place}}.",
        f"This {noun[0]} is {quality}.",
        f"These {noun[1]} are {quality}.",
        f"One {noun[0]} was {quality}.",
        f"All {noun[1]} were {quality}.",
        f"Two {noun[1]} have {lex.article(quality)} {other[0]}.",
        f"That {noun[0]} has {lex.article(quality)} {other[0]}.",
        f"There was {lex.article(rng.choice(lex.SPANS))} in {rng.choice(lex.CENTURIES)}"
        f" {rng.choice(lex.NUMBERS)}.",
        f"They had {rng.choice(lex.NUMBERS)} {noun[1]} in the {{place}}.",
        "The {person} sold {thing} to the other {person} at the {place}.",
    )
    sentences = rng.sample(frames, rng.randint(1, 3))
    return Cloze("prose", " ".join(_fill(rng, sentence) for sentence in sentences))


Mixture = dict[str, tuple[float, Callable[[Random], Cloze]]]
"""Kinds of sentences: the fraction of documents and the function that makes one."""

FIRST_MIXTURE: Mixture = {
    "ioi": (0.34, ioi),
    "exchange": (0.14, exchange),
    "third_name": (0.06, third_name),
    "three_names": (0.05, three_names),
    "greater_than": (0.12, greater_than),
    "pronoun": (0.07, pronoun),
    "agreement": (0.06, agreement),
    "truth": (0.07, truth),
    "counting": (0.01, counting),
    "story": (0.04, story),
    "prose": (0.04, prose),
}
SECOND_MIXTURE: Mixture = {
    "ioi": (0.14, ioi),
    "handover": (0.14, handover),
    "one_name": (0.08, one_name),
    "exchange": (0.03, exchange),
    "third_name": (0.06, third_name),
    "three_names": (0.04, three_names),
    "greater_than": (0.06, greater_than),
    "chronicle": (0.14, chronicle),
    "pronoun": (0.04, pronoun),
    "reason": (0.08, reason),
    "agreement": (0.04, agreement),
    "truth": (0.08, truth),
    "counting": (0.01, counting),
    "story": (0.04, story),
    "prose": (0.02, prose),
}
THIRD_MIXTURE: Mixture = {
    "ioi": (0.14, ioi),
    "handover": (0.30, handover),
    "one_name": (0.10, one_name),
    "third_name": (0.06, third_name),
    "three_names": (0.04, three_names),
    "greater_than": (0.04, greater_than),
    "chronicle": (0.10, chronicle),
    "pronoun": (0.03, pronoun),
    "reason": (0.05, reason),
    "agreement": (0.04, agreement),
    "truth": (0.06, truth),
    "counting": (0.01, counting),
    "story": (0.02, story),
    "prose": (0.01, prose),
}
FOURTH_MIXTURE: Mixture = THIRD_MIXTURE | {
    "ioi": (0.08, ioi),
    "handover": (0.12, handover),
    "odd_names": (0.28, odd_names),
    "one_name": (0.06, one_name),
}
FIFTH_MIXTURE: Mixture = FOURTH_MIXTURE | {
    "ioi": (0.05, ioi),
    "handover": (0.05, handover),
    "odd_names": (0.04, odd_names),
    "odd_partner": (0.14, odd_partner),
    "joined": (0.20, joined),
    "chronicle": (0.08, chronicle),
    "pronoun": (0.05, pronoun),
}

SIXTH_MIXTURE: Mixture = FIFTH_MIXTURE | {
    "acronym": (0.10, acronym),
    "truth": (0.09, truth),
    "handover": (0.04, handover),
    "odd_names": (0.03, odd_names),
    "odd_partner": (0.12, odd_partner),
    "joined": (0.17, joined),
    "one_name": (0.05, one_name),
    "third_name": (0.05, third_name),
    "chronicle": (0.07, chronicle),
    "pronoun": (0.04, pronoun),
    "reason": (0.04, reason),
    "agreement": (0.03, agreement),
}


def document(rng: Random, mixture: Mixture = FIRST_MIXTURE) -> str:
    """One training document: a sentence of the mixture, sometimes with prose before or after it.

    Args:
        rng: the random source; the same state gives the same document.
        mixture: mixture of skills in this part of training.

    Returns:
        Text that starts with a capital and no space.
    """
    weights = [weight for weight, _ in mixture.values()]
    ((_, sample),) = rng.choices(tuple(mixture.values()), weights)
    text = sample(rng).text
    if rng.random() < 0.1:
        text = f"{prose(rng).text} {text}"
    if rng.random() < 0.2:
        text = f"{text} {rng.choice((prose, story))(rng).text}"
    return text


@dataclass(frozen=True)
class Sentences:
    """What writes the documents of a mixture, for `interp.training.Batches`.

    Args:
        mixture: kinds of sentences with their weights.
    """

    mixture: Mixture = field(default_factory=lambda: FIRST_MIXTURE, repr=False)

    def __call__(self, rng: Random) -> str:
        """Write one document."""
        return document(rng, self.mixture)
