"""The skills beside names: years, pronouns, agreement, truth, titles and acronyms, counting, prose.

kind          skill                                  Source of the skill
greater_than  a later year of the same century       Hanna et al. 2023, section 2
chronicle     as greater_than, many spans in a row
pronoun       she or he                              Mathwin et al. 2023
reason        as pronoun, in frames put together from parts
agreement     is or are, past a noun between         Linzen et al. 2016
truth         facts, and whether one is true         Marks and Tegmark 2023
acronym       the initials of three words            García-Carrasco et al. 2024
title         names of several words that come back, completed by what followed before
counting      the next number
prose         sentences without names
"""

from random import Random

from interp.training.mini import lexicon as lex
from interp.training.mini.cloze import Cloze, fill


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
    rest = "?" if frame.endswith("isn't") else f" {fill(rng, rng.choice(lex.PRONOUN_TAILS))}"
    return Cloze("pronoun", fill(rng, frame).replace("{name}", name), answer, foil, rest)


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
    rest = f" {fill(rng, rng.choice(lex.PRONOUN_TAILS))}"
    return Cloze("reason", fill(rng, frame), answer, foil, rest)


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
    group = " ".join(drawn)
    frame = rng.choice(lex.ACRONYM_FRAMES).replace("{group}", f"{group} ({first}{second}")
    tail = f") {rng.choice(lex.ACRONYM_TAILS)}"
    if rng.random() < 0.5:
        tail += f" The {group} ({first}{second}{third}) {rng.choice(lex.ACRONYM_TAILS)}"
    frame, tail = fill(rng, f"{frame}|{tail}").split("|")
    return Cloze("acronym", frame, third, rng.choice((first, second)), tail)


def title(rng: Random) -> Cloze:
    """A name of two to four words, again and again: what followed a word before follows it now.

    Args:
        rng: the random source.

    Returns:
        Text without an answer to test.
    """
    words = " ".join(rng.sample(lex.ACRONYM_WORDS, rng.randint(2, 4)))
    frames = rng.sample(lex.TITLE_FRAMES, rng.randint(2, 4))
    return Cloze("title", fill(rng, " ".join(frames)).replace("{title}", words))


def counting(rng: Random) -> Cloze:
    """Numbers in order, from a random start."""
    length = rng.randint(4, 12)
    start = rng.randint(0, 100 - length)
    return Cloze("counting", "Count: " + " ".join(lex.NUMBERS[start : start + length]) + ".")


def prose(rng: Random) -> Cloze:
    """One to three short sentences without names."""
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
    return Cloze("prose", fill(rng, " ".join(sentences)))
