"""The generated language: documents are sentences, and what is held out is in none of them."""

import re
from itertools import combinations
from random import Random

import pytest

from interp.training.mini import document, people, skills
from interp.training.mini import lexicon as lex
from interp.training.mini.language import MIXTURE


def documents(n: int, seed: int = 0) -> list[str]:
    rng = Random(seed)
    return ["".join(document(rng)) for _ in range(n)]


@pytest.fixture(scope="module")
def many() -> list[str]:
    return documents(12000)


@pytest.mark.parametrize("kind", MIXTURE)
def test_texts_are_sentences_with_nothing_left_to_fill_in(kind: str) -> None:
    rng = Random(0)
    for _ in range(300):
        example = MIXTURE[kind][1](rng)
        assert example.kind in (kind, "ioi")
        assert re.fullmatch(r"[A-Z][A-Za-z0-9 ,.'?:()]*[.?]", example.text)
        assert not re.search(r"  | [,.)]|[,.][A-Za-z]|\.\.", example.text), example.text
        assert not example.prompt.endswith(" ")
        for word in (example.answer, example.foil):
            assert word == "" or re.fullmatch(r" [A-Za-z]+| \d\d|[A-Z]", word)


def test_same_random_state_same_documents_and_another_state_others() -> None:
    assert documents(50) == documents(50)
    assert documents(50) != documents(50, seed=1)


def test_no_document_starts_with_a_name(many: list[str]) -> None:
    assert not {re.match(r"\w+", text).group() for text in many} & set(lex.NAMES)


def test_mixture_adds_up_and_every_kind_of_document_occurs(many: list[str]) -> None:
    assert sum(weight for weight, _ in MIXTURE.values()) == pytest.approx(1)
    text = " ".join(many)
    for words in ("This is true", "This is false", "Count:", "isn't", "17 ", " are ", " and "):
        assert words in text


def test_no_training_document_uses_a_held_out_template_or_joins_a_held_out_pair() -> None:
    templates = [
        re.compile(
            re.sub(
                r"\\\[\w+\\\]",
                r"\\w+",
                re.escape(template).replace(r"a\ \[OBJECT\]", r"an?\ \[OBJECT\]"),
            )
        )
        for template in lex.HELD_OUT_TEMPLATES
    ]
    rng = Random(0)
    for kind in ("ioi", "aside", "roll_call", "gifts", "third_name", "three_names"):
        for _ in range(500):
            text = MIXTURE[kind][1](rng).text
            names = set(re.findall(r"[A-Z][a-z]+", text)) & set(lex.NAMES)
            assert len(names) < 2 or names <= set(lex.TRAIN_NAMES)
            assert not any(lex.held_out_pair(*pair) for pair in combinations(names, 2))
            assert not any(template.match(text) for template in templates)


def test_articles_fit_their_nouns(many: list[str]) -> None:
    for text in many:
        assert not re.search(r"\b(a [aeiou]|an [^aeiou])", text)


def test_every_word_of_a_held_out_prompt_occurs_in_training(many: list[str]) -> None:
    rng, trained = Random(1), set(re.findall(r"\w+", " ".join(many)))
    held_out = [
        sample(rng, **options).text
        for sample, options in (
            (people.ioi, {"held_out_names": True, "held_out_templates": True}),
            (people.three_names, {"held_out_names": True, "held_out_templates": True}),
            (skills.greater_than, {"held_out": True}),
            (skills.pronoun, {"held_out": True}),
            (skills.reason, {"held_out": True}),
            (skills.agreement, {"held_out": True}),
            (skills.truth, {"held_out": True}),
        )
        for _ in range(200)
    ]
    assert set(re.findall(r"\w+", " ".join(held_out))) <= trained
    assert not set(lex.HELD_OUT_ACRONYM_WORDS) & set(lex.TRAIN_ACRONYM_WORDS)
