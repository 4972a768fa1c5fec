"""The skills beside names: answers are right, and held-out means held out."""

import re
from collections import Counter
from collections.abc import Callable
from random import Random

import pytest

from interp.training.mini import Cloze, skills
from interp.training.mini import lexicon as lex

N = 200


def draw(sample: Callable[..., Cloze], n: int = N, **options: bool) -> list[Cloze]:
    rng = Random(0)
    return [sample(rng, **options) for _ in range(n)]


def names_in(text: str) -> list[str]:
    return [word for word in re.findall(r"[A-Z][a-z]+", text) if word in lex.NAMES]


def test_a_chronicle_has_two_to_four_spans_of_training() -> None:
    lengths = Counter[int]()
    for example in draw(skills.chronicle, 300):
        sentences = re.split(r"\. ?", example.text)[:-1]
        lengths[len(sentences)] += 1
        for sentence in sentences:
            century, year, again, last = map(int, re.findall(r"\d\d", sentence))
            assert century == again != lex.HELD_OUT_CENTURY
            assert (century + year) % 6 != 0 and year < last
            assert not set(lex.HELD_OUT_SPANS) & set(sentence.split())
    assert set(lengths) == {2, 3, 4}


def test_reasons_are_no_frame_of_the_first_part_and_held_out_ones_are_apart() -> None:
    assert not set(lex.TRAIN_REASONS) & set(lex.HELD_OUT_REASONS)
    assert {link for _, link in lex.TRAIN_REASONS} == {link for _, link in lex.HELD_OUT_REASONS}
    assert {deed for deed, _ in lex.TRAIN_REASONS} == {deed for deed, _ in lex.HELD_OUT_REASONS}
    for deed, link in (*lex.TRAIN_REASONS, *lex.HELD_OUT_REASONS):
        assert not any(frame.endswith(f"{deed} {link}") for frame in lex.PRONOUN_FRAMES)
    for held_out in (False, True):
        for example in draw(skills.reason, 500, held_out=held_out):
            (name,) = names_in(example.prompt)
            assert (example.answer == " she") == (name in lex.WOMEN)
            assert {example.answer, example.foil} == {" she", " he"}


def test_greater_than_answer_is_later_and_held_out_years_are_apart() -> None:
    seen: dict[bool, set[tuple[int, int]]] = {False: set(), True: set()}
    for held_out in (False, True):
        for example in draw(skills.greater_than, 2000, held_out=held_out):
            century, year, again = map(int, re.findall(r"\d\d", example.prompt))
            assert century == again
            assert int(example.foil) <= year < int(example.answer)
            assert (century == lex.HELD_OUT_CENTURY) <= held_out
            seen[held_out].add((century, year))
            span = set(lex.SPANS) & set(example.prompt.split())
            assert span <= set(lex.HELD_OUT_SPANS if held_out else lex.TRAIN_SPANS)
    assert not seen[False] & seen[True]


def test_pronoun_is_that_of_the_name_and_held_out_prompts_are_apart() -> None:
    seen: dict[bool, set[tuple[str, str]]] = {False: set(), True: set()}
    for held_out in (False, True):
        for example in draw(skills.pronoun, 3000, held_out=held_out):
            (name,) = names_in(example.prompt)
            assert (example.answer == " she") == (name in lex.WOMEN)
            assert {example.answer, example.foil} == {" she", " he"}
            (frame,) = [
                frame
                for frame in lex.PRONOUN_FRAMES
                if re.fullmatch(re.sub(r"\{\w+\}", r"\\w+", frame), example.prompt)
            ]
            seen[held_out].add((frame, name))
    assert not seen[False] & seen[True]


@pytest.mark.parametrize("held_out", [False, True])
def test_agreement_is_with_the_subject_not_with_the_noun_between(held_out: bool) -> None:
    plural = {many for _, many in lex.NOUNS}
    subjects = lex.HELD_OUT_SUBJECTS if held_out else lex.TRAIN_SUBJECTS
    clashes = 0
    for example in draw(skills.agreement, held_out=held_out):
        words = example.prompt.split()
        subject, between = words[1], words[-1]
        assert subject in {form for noun in subjects for form in noun}
        assert (example.answer in (" are", " were", " have")) == (subject in plural)
        clashes += (subject in plural) != (between in plural)
    assert clashes == N if held_out else clashes > N / 2


def test_truth_labels_are_right_and_held_out_facts_are_never_judged_in_training() -> None:
    stated = {
        frame.format(subject=subject, value=value): (frame, i)
        for frame, facts in lex.FACTS.items()
        for i, (subject, value) in enumerate(facts)
    }
    for held_out in (False, True):
        for example in draw(skills.truth, 3000, held_out=held_out):
            statement = example.prompt.split(".")[0]
            if not example.answer:
                assert statement in stated
                continue
            assert (example.answer == " true") == (statement in stated)
            if statement in stated:
                assert (stated[statement][1] % 5 == 4) == held_out


def test_counting_counts() -> None:
    for example in draw(skills.counting):
        numbers = [int(number) for number in re.findall(r"\d\d", example.prompt)]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_titles_come_back() -> None:
    for example in draw(skills.title):
        groups = re.findall(r"[Tto]he(?: old)? ((?:[A-Z][a-z]+ ?)+)", example.text)
        words = [group.strip() for group in groups if group.split()[0] in lex.ACRONYM_WORDS]
        assert 2 <= len(words) <= 4 and len(set(words)) == 1
        assert 2 <= len(words[0].split()) <= 4


def test_acronyms_are_the_initials_of_words_of_their_own_half() -> None:
    for held_out, own in ((False, lex.TRAIN_ACRONYM_WORDS), (True, lex.HELD_OUT_ACRONYM_WORDS)):
        for example in draw(skills.acronym, held_out=held_out):
            words = re.search(r"((?:[A-Z][a-z]+ ){3})\(", example.prompt)[1].split()
            assert set(words) <= set(own)
            assert "".join(word[0] for word in words) == example.prompt[-2:] + example.answer
            assert example.foil in example.prompt[-2:] and example.foil != example.answer
