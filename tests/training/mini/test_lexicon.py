"""The language's words: what is held out is held out, and what is used exists."""

import pytest

from interp.training.mini import lexicon as lex


def test_names_and_templates_are_split_into_training_and_held_out() -> None:
    for train, held_out, everything in (
        (lex.TRAIN_NAMES, lex.HELD_OUT_NAMES, lex.NAMES),
        (lex.TRAIN_SPANS, lex.HELD_OUT_SPANS, lex.SPANS),
        (lex.TRAIN_SUBJECTS, lex.HELD_OUT_SUBJECTS, lex.NOUNS),
        (lex.TRAIN_PRONOUN_FRAMES, lex.HELD_OUT_PRONOUN_FRAMES, lex.PRONOUN_FRAMES),
    ):
        assert train and held_out
        assert not set(train) & set(held_out)
        assert set(train) | set(held_out) == set(everything)


def test_every_woman_is_a_name_and_each_half_of_the_names_has_both_genders() -> None:
    assert set(lex.NAMES) >= lex.WOMEN
    for names in (lex.TRAIN_NAMES, lex.HELD_OUT_NAMES):
        assert 0.3 < sum(name in lex.WOMEN for name in names) / len(names) < 0.7


def test_one_pair_of_training_names_in_eight_is_held_out_whatever_the_order() -> None:
    names = lex.TRAIN_NAMES
    pairs = [(a, b) for a in names for b in names if a != b]
    held_out = [lex.held_out_pair(a, b) for a, b in pairs]
    assert 0.1 < sum(held_out) / len(pairs) < 0.15
    assert held_out == [lex.held_out_pair(b, a) for a, b in pairs]


def test_facts_have_one_value_a_subject_and_several_values_a_relation() -> None:
    for facts in lex.FACTS.values():
        subjects = [subject for subject, _ in facts]
        assert len(set(subjects)) == len(subjects)
        assert len({value for _, value in facts}) > 1


@pytest.mark.parametrize(("subject", "value"), [("France", "Paris"), ("Peru", "Lima")])
def test_capitals_are_the_real_ones(subject: str, value: str) -> None:
    assert (subject, value) in lex.FACTS["The capital of {subject} is {value}"]
