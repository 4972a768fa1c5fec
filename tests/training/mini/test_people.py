"""Texts about people: the right one is wanted, and held-out means held out."""

import re
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from random import Random

import pytest

from interp.training.mini import Cloze, people
from interp.training.mini import lexicon as lex

N = 200


def draw(sample: Callable[..., Cloze], n: int = N, **options: bool) -> list[Cloze]:
    rng = Random(0)
    return [sample(rng, **options) for _ in range(n)]


def names_in(text: str) -> list[str]:
    return [word for word in re.findall(r"[A-Z][a-z]+", text) if word in lex.NAMES]


def words_in(text: str) -> list[str]:
    """Everything that may be one of a cast: names, nouns, numbers."""
    return [w for w in re.findall(r"\w+", text) if w in lex.NAMES or w in lex.STRANGERS]


def test_a_third_of_the_casts_are_one_name_among_other_words_half_of_those_held_out() -> None:
    rng, odd, held_out = Random(0), 0, 0
    for _ in range(3000):
        cast = people.draw_cast(rng, 3)
        names = [one for one in cast if one in lex.NAMES]
        assert len(set(cast)) == 3 and set(cast) <= {*lex.NAMES, *lex.STRANGERS}
        if len(names) == 1:
            odd += 1
            held_out += names[0] in lex.HELD_OUT_NAMES
        else:
            assert len(names) == 3 and set(names) <= set(lex.TRAIN_NAMES)
            assert not any(lex.held_out_pair(*pair) for pair in combinations(names, 2))
    assert 0.28 < odd / 3000 < 0.38
    assert 0.42 < held_out / odd < 0.58
    assert {people.draw_cast(rng, 1)[0] for _ in range(3000)} == set(lex.NAMES)


@pytest.mark.parametrize("sample", [people.any_ioi, people.aside])
def test_the_receiver_is_the_one_who_has_not_come_back(sample: Callable[[Random], Cloze]) -> None:
    for example in draw(sample, 500):
        counts = Counter(re.findall(r"\w+", example.prompt))
        assert (counts[example.answer.strip()], counts[example.foil.strip()]) == (1, 2)


def test_an_aside_names_someone_between_giver_and_receiver() -> None:
    pattern = r"(knew|friend of|seen|with|unlike)"
    for example in draw(people.aside):
        _, after = example.prompt.rsplit(example.foil, 1)
        assert re.search(pattern, after) and len(words_in(after.split(",")[1])) == 1
        assert example.answer not in after


def test_a_roll_call_ends_with_the_only_one_who_has_not_been_called() -> None:
    sizes = Counter[int]()
    for example in draw(people.roll_call, 1000):
        counts = Counter(words_in(example.prompt))
        answer, foil = example.answer.strip(), example.foil.strip()
        assert counts[answer] == 1 and counts[foil] >= 2
        sizes[len(re.findall(r",| and |\. ", example.prompt))] += 1
    assert len(sizes) > 3


def test_of_four_two_give_to_the_others() -> None:
    for example in draw(people.gifts):
        counts = Counter(re.findall(r"\w+", example.text))
        assert counts[example.answer.strip()] == counts[example.foil.strip()] == 2


def test_stories_have_one_to_three_people() -> None:
    names = Counter(len(set(names_in(example.text))) for example in draw(people.story, 1000))
    assert set(names) <= {0, 1, 2, 3} and names[1] > 500 and names[2] > 50


@pytest.mark.parametrize(
    "options",
    [{}, {"held_out_names": True}, {"held_out_pairs": True}, {"held_out_templates": True}],
)
def test_ioi_answer_occurs_once_and_foil_twice(options: dict[str, bool]) -> None:
    for example in draw(people.ioi, **options):
        io, subject = example.answer.strip(), example.foil.strip()
        assert Counter(names_in(example.prompt)) == {io: 1, subject: 2}
        assert names_in(example.prompt)[-1] == subject


def test_ioi_is_half_abba_half_baba() -> None:
    first = [names_in(e.prompt)[0] == e.answer.strip() for e in draw(people.ioi, 2000)]
    assert 0.45 < sum(first) / len(first) < 0.55


def test_ioi_uses_held_out_names_and_pairs_only_when_asked() -> None:
    for options, names, pairs in (
        ({}, lex.TRAIN_NAMES, False),
        ({"held_out_names": True}, lex.HELD_OUT_NAMES, False),
        ({"held_out_pairs": True}, lex.TRAIN_NAMES, True),
    ):
        for example in draw(people.ioi, **options):
            used = set(names_in(example.prompt))
            assert used <= set(names)
            assert lex.held_out_pair(*used) == pairs


def test_mixed_names_are_one_of_each_kind_in_either_role() -> None:
    held_out_answers = 0
    for example in draw(people.ioi, 400, mixed_names=True):
        io, subject = example.answer.strip(), example.foil.strip()
        assert (io in lex.HELD_OUT_NAMES) != (subject in lex.HELD_OUT_NAMES)
        assert Counter(names_in(example.prompt)) == {io: 1, subject: 2}
        held_out_answers += io in lex.HELD_OUT_NAMES
    assert 160 < held_out_answers < 240


def test_third_name_has_three_names_once_and_answers_either_of_the_first_two() -> None:
    examples = draw(people.third_name, 1000)
    answers_first = 0
    for example in examples:
        first, second, third = names_in(example.prompt)
        assert len({first, second, third}) == 3
        assert {example.answer.strip(), example.foil.strip()} == {first, second}
        answers_first += example.answer.strip() == first
    assert 0.45 < answers_first / len(examples) < 0.55


@pytest.mark.parametrize("held_out", [False, True])
def test_three_names_answer_is_the_one_that_does_not_act(held_out: bool) -> None:
    for example in draw(people.three_names, held_out_names=held_out, held_out_templates=held_out):
        counts = Counter(names_in(example.prompt))
        assert sorted(counts.values()) == [1, 2, 2]
        assert counts[example.answer.strip()] == 1 and counts[example.foil.strip()] == 2


def test_belongings_are_those_of_the_giver() -> None:
    counts = Counter[int]()
    for example in draw(people.belonging, 1000):
        names = names_in(example.prompt)
        giver = names[-1]
        assert {example.answer, example.foil} == {" his", " her"}
        assert (example.answer == " her") == (giver in lex.WOMEN)
        counts[len(set(names))] += 1
    assert set(counts) == {1, 2, 3} and min(counts.values()) > 250
