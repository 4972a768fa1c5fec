"""Texts in which the same people come back: what heads that move names are learned from.

A name is wanted at many places of a text, and it is always one of the few that the text has; so a
head that looks from such a place to the names so far pays everywhere. Which of them is wanted is
told by repetition, hardly ever by recency or by where a name stands: the one that has not returned.

    kind         who is wanted                                          Source of the skill
    ioi          of two, the one who does not give                      Wang et al. 2022, section 2
    aside        as ioi, with a third person between giver and receiver
    exchange     as ioi, and then they give to each other again and again
    roll_call    of two to five, each in turn: one who has not been called
    gifts        of four, two of whom give: one who has neither given nor received
    third_name   a third person gives: either of two                    Wang et al. 2022, ABC
    three_names  of three, the one who does not act                     Wang et al. 2022, appendix
    belonging    none of them: his or her somebody, by who gives
    story        of one to three, any, at places of all kinds
"""

import re
from dataclasses import replace
from itertools import combinations
from random import Random

from interp.training.mini import lexicon as lex
from interp.training.mini.cloze import Cloze, fill


def draw_names(
    rng: Random, names: tuple[str, ...], count: int, held_out_pairs: bool = False
) -> list[str]:
    """Different names, every two of which are a held-out pair, or none."""
    while True:
        drawn = rng.sample(names, count)
        if all(lex.held_out_pair(*pair) == held_out_pairs for pair in combinations(drawn, 2)):
            return drawn


def draw_cast(rng: Random, count: int) -> list[str]:
    """The people of a training text: names that may meet or, in a third of the texts, odd ones.

    Odd casts have any one name, half of the time one that never meets another, among words that are
    no names. What counts there is which word came back, whatever the words are; and so a model
    cannot learn that some names never receive.
    """
    if count == 1:
        return [rng.choice(lex.NAMES)]
    if rng.random() < 0.67:
        return draw_names(rng, lex.TRAIN_NAMES, count)
    name = rng.choice(rng.choice((lex.TRAIN_NAMES, lex.HELD_OUT_NAMES)))
    return rng.sample([name, *rng.sample(lex.STRANGERS, count - 1)], count)


def _slots(template: str) -> str:
    """A template of the IOI task with its place and object written as our own slots."""
    return template.replace("[PLACE]", "{place}").replace("[OBJECT]", "{object}")


def _either_order(rng: Random, template: str) -> str:
    """The BABA template or, by a swap of its first [B] and first [A], its ABBA form."""
    if rng.random() >= 0.5:
        return template
    head, tail = template.split("[A]", 1)
    return head.replace("[B]", "[A]", 1) + "[B]" + tail


def _frame(rng: Random, group: str, act: str) -> str:
    """A fresh template of our grammar: `group` does something, then `act` happens."""
    settings = lex.SETTINGS if rng.random() < 0.5 else lex.MORE_SETTINGS
    if rng.random() < 0.45:
        return f"{rng.choice(lex.SUBORDINATORS)} {group} {rng.choice(settings)}, {act}"
    openers = lex.OPENERS if rng.random() < 0.7 else lex.PLACE_OPENERS
    opening = f"{rng.choice(openers)} {group} {rng.choice(settings)}"
    if rng.random() < 0.3:
        return f"{opening} {rng.choice(('and', 'and then', 'while', 'so'))} {act}"
    linker = rng.choice(lex.LINKERS if act.startswith("[") else lex.LINKERS[3:])
    return f"{opening}. {linker} {act}" if linker else f"{opening}. {act}"


def _two_name_template(rng: Random, held_out: bool) -> str:
    """A BABA or ABBA template that ends in " [A]"; only names and slots are open."""
    if held_out:
        template = rng.choice(lex.HELD_OUT_TEMPLATES)
    elif rng.random() < 0.3:
        template = rng.choice(lex.TRAIN_TEMPLATES)
    else:
        template = _frame(rng, "[B] and [A]", f"{_handover(rng)} [A]")
    return _slots(_either_order(rng, template))


def _handover(rng: Random) -> str:
    """What [B] does before the receiver is named, with open slots."""
    kind = rng.random()
    if kind < 0.35:
        return rng.choice(lex.NEAR_HANDOVERS)
    if kind < 0.7:
        return f"[B] {rng.choice(lex.HANDOVERS)}"
    return rng.choice(lex.LATE_HANDOVERS if kind < 0.85 else lex.MORE_HANDOVERS)


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
        held_out_names: take both names from those that never meet another in training.
        held_out_pairs: take two training names that never meet in training.
        held_out_templates: take a template that training never uses.
        mixed_names: take one training name and one that never meets another, in either role.

    Returns:
        Cloze with IO as answer and S as foil.
    """
    if mixed_names:
        io, subject = rng.sample((rng.choice(lex.TRAIN_NAMES), rng.choice(lex.HELD_OUT_NAMES)), 2)
    else:
        names = lex.HELD_OUT_NAMES if held_out_names else lex.TRAIN_NAMES
        io, subject = draw_names(rng, names, 2, held_out_pairs)
    return _ioi(rng, io, subject, held_out_templates)


def _ioi(rng: Random, io: str, subject: str, held_out_templates: bool = False) -> Cloze:
    template = fill(rng, _two_name_template(rng, held_out_templates))
    prompt = template.removesuffix(" [A]").replace("[A]", io).replace("[B]", subject)
    return Cloze("ioi", prompt, f" {io}", f" {subject}", rng.choice(lex.ENDINGS))


def any_ioi(rng: Random) -> Cloze:
    """As `ioi`, of any cast."""
    io, subject = draw_cast(rng, 2)
    return _ioi(rng, io, subject)


def aside(rng: Random) -> Cloze:
    """An indirect-object sentence with a new person between the giver and the receiver.

    The last name there is not the one to avoid.

    Args:
        rng: the random source.

    Returns:
        Cloze with IO as answer and S as foil.
    """
    io, subject, other = draw_cast(rng, 3)
    example = _ioi(rng, io, subject)
    before, after = example.prompt.rsplit(subject, 1)
    words = rng.choice(lex.ASIDES).replace("{name}", other)
    return replace(example, kind="aside", prompt=f"{before}{subject}, {words},{after}")


def exchange(rng: Random) -> Cloze:
    """Two people who give to each other, two to six times.

    Args:
        rng: the random source.

    Returns:
        Cloze whose answer is the one who does not give the last time, and whose foil does.
    """
    cast = draw_cast(rng, 2)
    links = (". Then", ". Later", ". Afterwards", ". Next", " and then", ", and")
    text = ""
    for turn in range(rng.randint(2, 6)):
        giver, receiver = rng.sample(cast, 2)
        act = f"{_handover(rng)} [A]".replace("[B]", giver).replace("[A]", receiver)
        if turn:
            text += f"{rng.choice(links)} {act}"
        else:
            text = _frame(rng, _listed(rng, rng.sample(cast, 2)), act)
    prompt = fill(rng, text.removesuffix(f" {receiver}"))
    return Cloze("exchange", prompt, f" {receiver}", f" {giver}", rng.choice(lex.ENDINGS))


def _listed(rng: Random, names: list[str]) -> str:
    """The names in a row: "A, B and C", or "A and B and C"."""
    comma = " and " if rng.random() < 0.2 else ", "
    return f"{comma.join(names[:-1])} and {names[-1]}"


def roll_call(rng: Random) -> Cloze:
    """Two to five people are named, and then called one after the other.

    Args:
        rng: the random source.

    Returns:
        Cloze whose answer is the last, and whose foil is one of those called before.
    """
    cast = draw_cast(rng, rng.choices((2, 3, 4, 5), (35, 35, 20, 10))[0])
    order = rng.sample(cast, len(cast))
    if rng.random() < 0.6:
        joint = rng.choice(lex.CALL_JOINTS)
        called = f"{joint} ".join(order[:-1])
        act = f"{rng.choice(lex.CALLS)} {called}{rng.choice((joint, *lex.LAST_JOINTS))}"
    else:
        deeds = (f"{name} {rng.choice(lex.CALLED_DEEDS)}." for name in order[:-1])
        act = " ".join([*deeds, rng.choice(lex.LAST_CALLS)])
    prompt = fill(rng, _frame(rng, _listed(rng, cast), act)).removesuffix(" ")
    foil = rng.choice(order[:-1])
    return Cloze("roll_call", prompt, f" {order[-1]}", f" {foil}", rng.choice(lex.ENDINGS))


def gifts(rng: Random) -> Cloze:
    """Four people, two of whom give to the two others, in two clauses.

    Args:
        rng: the random source.

    Returns:
        Cloze whose answer is the last receiver, and whose foil is the last giver.
    """
    cast = draw_cast(rng, 4)
    first, receiver, second, answer = rng.sample(cast, 4)
    link = rng.choice((" and", " while", ", and then", ". Then", ". Later"))
    act = (
        f"{first} {rng.choice(lex.HANDOVERS)} {receiver}{link} {second} {rng.choice(lex.HANDOVERS)}"
    )
    prompt = fill(rng, _frame(rng, _listed(rng, cast), act))
    return Cloze("gifts", prompt, f" {answer}", f" {second}", rng.choice(lex.ENDINGS))


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
    first, second, third = draw_names(rng, names, 3)
    template = fill(rng, _two_name_template(rng, held_out_templates)).removesuffix(" [A]")
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
        template = _frame(rng, "[A], [B] and [C]", f"[B] and [C] {rng.choice(lex.HANDOVERS)} [A]")
    answer, foil, other = draw_names(rng, names, 3)
    listed = rng.sample((answer, foil, other), 3)
    clause, tail = template.split("[A], [B] and [C]", 1)
    tail = tail.removesuffix(" [A]").replace("[B]", foil).replace("[C]", other)
    prompt = fill(rng, f"{_slots(clause)}{listed[0]}, {listed[1]} and {listed[2]}{_slots(tail)}")
    return Cloze("three_names", prompt, f" {answer}", f" {foil}", rng.choice(lex.ENDINGS))


def belonging(rng: Random) -> Cloze:
    """One of one to three people gives to somebody of his or her own.

    Which of the two words it is depends on the giver alone; so a head that looks from the place of
    the receiver back to the giver pays.

    Args:
        rng: the random source.

    Returns:
        Cloze with " his" or " her" as answer and the other as foil.
    """
    count = rng.randint(1, 3)
    names = lex.NAMES if count == 1 else lex.TRAIN_NAMES
    giver, *others = draw_names(rng, names, count)
    act = rng.choice(
        tuple(f"[B] {act}" for act in lex.HANDOVERS)
        if rng.random() < 0.7
        else (*lex.LATE_HANDOVERS, *lex.MORE_HANDOVERS)
    )
    if count == 1:
        frame = f"{rng.choice(lex.PRONOUN_OPENERS)} {act}"
    else:
        group = _listed(rng, rng.sample([giver, others[0]] if count == 2 else others, 2))
        frame = _frame(rng, group, act)
    prompt = fill(rng, frame).replace("[B]", giver)
    answer, foil = (" her", " his") if giver in lex.WOMEN else (" his", " her")
    rest = f" {rng.choice(lex.KIN)}{rng.choice(lex.ENDINGS)}"
    return Cloze("belonging", prompt, answer, foil, rest)


def story(rng: Random) -> Cloze:
    """Two to five sentences about one to three people, who stand at places of all kinds.

    Args:
        rng: the random source.

    Returns:
        Text without an answer to test.
    """
    cast = draw_cast(rng, rng.choices((1, 2, 3), (50, 35, 15))[0])
    sentences = []
    for frame in rng.sample(lex.STORY_FRAMES, rng.randint(2, 5)):
        who = rng.sample(cast, len(cast))
        sentences.append(re.sub(r"\{name\}", lambda _: who[0], frame))  # noqa: B023
    return Cloze("story", fill(rng, " ".join(sentences)))
