"""The generated language: examples are what their docstrings say, and held-out means held out."""

import re
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from random import Random

import pytest

from interp.training.mini import language
from interp.training.mini import lexicon as lex
from interp.training.mini.language import (
    FIFTH_MIXTURE,
    FIRST_MIXTURE,
    FOURTH_MIXTURE,
    SECOND_MIXTURE,
    SIXTH_MIXTURE,
    THIRD_MIXTURE,
    Cloze,
    Mixture,
)

KINDS = {
    kind: sample for kind, (_, sample) in (SECOND_MIXTURE | FIRST_MIXTURE | SIXTH_MIXTURE).items()
}
N = 200


def draw(sample: Callable[..., Cloze], n: int = N, **options: bool) -> list[Cloze]:
    rng = Random(0)
    return [sample(rng, **options) for _ in range(n)]


def names_in(text: str) -> list[str]:
    return [word for word in re.findall(r"[A-Z][a-z]+", text) if word in lex.NAMES]


@pytest.mark.parametrize("kind", KINDS)
def test_examples_are_sentences_with_nothing_left_to_fill_in(kind: str) -> None:
    for example in draw(KINDS[kind]):
        assert example.kind == kind
        assert re.fullmatch(r"[A-Z][A-Za-z0-9 ,.'?:()]*[.?]", example.text)
        assert "  " not in example.text and not example.prompt.endswith(" ")
        for word in (example.answer, example.foil):
            assert word == "" or re.fullmatch(r" [A-Za-z]+| \d\d|[A-Z]", word)


def test_same_random_state_same_documents_and_another_state_others() -> None:
    def documents(seed: int) -> list[str]:
        rng = Random(seed)
        return [language.document(rng, SECOND_MIXTURE) for _ in range(50)]

    assert documents(0) == documents(0)
    assert documents(0) != documents(1)


def test_no_document_starts_with_a_name() -> None:
    rng = Random(0)
    documents = [
        language.document(rng, mixture)
        for mixture in (FIRST_MIXTURE, SECOND_MIXTURE, SIXTH_MIXTURE)
        for _ in range(1500)
    ]
    starts = {re.match(r"\w+", document).group() for document in documents}
    assert not starts & set(lex.NAMES)


@pytest.mark.parametrize(
    "mixture",
    [FIRST_MIXTURE, SECOND_MIXTURE, THIRD_MIXTURE, FOURTH_MIXTURE, FIFTH_MIXTURE, SIXTH_MIXTURE],
)
def test_mixture_adds_up_and_every_kind_of_document_occurs(mixture: Mixture) -> None:
    assert sum(weight for weight, _ in mixture.values()) == pytest.approx(1)
    rng = Random(0)
    text = " ".join(language.document(rng, mixture) for _ in range(1500))
    for words in ("This is true", "This is false", "Count:", "isn't", "17 ", " are ", " and "):
        assert words in text


@pytest.mark.parametrize(
    "options",
    [{}, {"held_out_names": True}, {"held_out_pairs": True}, {"held_out_templates": True}],
)
def test_ioi_answer_occurs_once_and_foil_twice(options: dict[str, bool]) -> None:
    for example in draw(language.ioi, **options):
        io, subject = example.answer.strip(), example.foil.strip()
        assert Counter(names_in(example.prompt)) == {io: 1, subject: 2}
        assert names_in(example.prompt)[-1] == subject


def test_ioi_is_half_abba_half_baba() -> None:
    first = [names_in(e.prompt)[0] == e.answer.strip() for e in draw(language.ioi, 2000)]
    assert 0.45 < sum(first) / len(first) < 0.55


def test_ioi_uses_held_out_names_and_pairs_only_when_asked() -> None:
    for options, names, pairs in (
        ({}, lex.TRAIN_NAMES, False),
        ({"held_out_names": True}, lex.HELD_OUT_NAMES, False),
        ({"held_out_pairs": True}, lex.TRAIN_NAMES, True),
    ):
        for example in draw(language.ioi, **options):
            used = set(names_in(example.prompt))
            assert used <= set(names)
            assert lex.held_out_pair(*used) == pairs


def test_mixed_names_are_one_of_each_kind_in_either_role() -> None:
    held_out_answers = 0
    for example in draw(language.ioi, 400, mixed_names=True):
        io, subject = example.answer.strip(), example.foil.strip()
        assert (io in lex.HELD_OUT_NAMES) != (subject in lex.HELD_OUT_NAMES)
        assert Counter(names_in(example.prompt)) == {io: 1, subject: 2}
        held_out_answers += io in lex.HELD_OUT_NAMES
    assert 160 < held_out_answers < 240


def test_a_person_without_a_name_gives_to_one_with_any_name_and_the_other_way_round() -> None:
    givers, names = Counter[bool](), set()
    for example in draw(language.one_name, 2000):
        (name,) = set(names_in(example.text))
        names.add(name)
        gives = example.foil.strip() == name
        givers[gives] += 1
        assert {example.answer, example.foil} == {" the", f" {name}"}
        assert names_in(example.prompt) == [name] * (1 + gives)
        persons = Counter(w for w in re.findall(r"[a-z]+", example.prompt) if w in lex.PERSONS)
        assert list(persons.values()) == [2 - gives]
    assert names == set(lex.NAMES)
    assert 900 < givers[True] < 1100


def test_nouns_and_numbers_give_and_receive_in_the_place_of_names() -> None:
    odd, pairs = Counter[bool](), Counter[int]()
    for example in draw(language.odd_names, 2000):
        words = [example.answer.strip(), example.foil.strip()]
        are_odd = [word in lex.ODD_NAMES for word in words]
        assert set(names_in(example.text)) == {
            word for word, is_odd in zip(words, are_odd, strict=True) if not is_odd
        }
        counts = Counter(re.findall(r"\w+", example.prompt))
        assert (counts[words[0]], counts[words[1]]) == (1, 2)
        pairs[sum(are_odd)] += 1
        odd.update(are_odd)
    assert not set(lex.ODD_NAMES) & set(lex.NAMES)
    assert 0.7 < odd[True] / 4000 < 0.8
    assert min(pairs.values()) > 50


def test_any_name_stands_beside_a_noun_or_number_in_either_role() -> None:
    givers, names, held_out = Counter[bool](), set(), 0
    for example in draw(language.odd_partner, 2000):
        (name,) = set(names_in(example.text))
        names.add(name)
        held_out += name in lex.HELD_OUT_NAMES
        words = [example.answer.strip(), example.foil.strip()]
        givers[words[1] == name] += 1
        assert set(words) - {name} <= set(lex.ODD_NAMES)
        counts = Counter(re.findall(r"\w+", example.prompt))
        assert [counts[word] for word in words] == [1, 2]
    assert names == set(lex.NAMES)
    assert 900 < givers[True] < 1100
    assert 900 < held_out < 1100


def test_joined_sentences_have_no_stop_or_comma_before_the_giver() -> None:
    for example in draw(language.joined, 500):
        words = re.findall(r"\w+|[.,]", example.prompt)
        answer, foil = example.answer.strip(), example.foil.strip()
        first, second = (i for i, word in enumerate(words) if word == foil)
        assert not {".", ","} & set(words[max(first, words.index(answer)) : second])
        assert len(set(names_in(example.prompt))) == 1


def test_no_training_document_uses_a_held_out_template_or_joins_a_held_out_pair() -> None:
    for kind in ("ioi", "third_name", "three_names", "handover", "odd_names"):
        for example in draw(KINDS[kind], 500):
            names = set(names_in(example.prompt))
            assert names <= set(lex.TRAIN_NAMES)
            assert not any(lex.held_out_pair(*pair) for pair in combinations(names, 2))
            for template in lex.HELD_OUT_TEMPLATES:
                frame = re.escape(template).replace(r"a\ \[OBJECT\]", r"an?\ \[OBJECT\]")
                assert not re.fullmatch(re.sub(r"\\\[\w+\\\]", r"\\w+", frame), example.prompt)


@pytest.mark.parametrize("mixture", [FIRST_MIXTURE, SECOND_MIXTURE, SIXTH_MIXTURE])
def test_articles_fit_their_nouns(mixture: Mixture) -> None:
    rng = Random(0)
    for _ in range(2000):
        assert not re.search(r"\b(a [aeiou]|an [^aeiou])", language.document(rng, mixture))


def test_every_word_of_a_held_out_prompt_occurs_in_training() -> None:
    rng = Random(0)
    documents = [
        language.document(rng, mixture)
        for mixture in (FIRST_MIXTURE, SECOND_MIXTURE, SIXTH_MIXTURE)
        for _ in range(3000)
    ]
    trained = set(re.findall(r"\w+", " ".join(documents)))
    held_out = (
        draw(language.ioi, held_out_names=True, held_out_templates=True)
        + draw(language.three_names, held_out_names=True, held_out_templates=True)
        + draw(language.greater_than, held_out=True)
        + draw(language.pronoun, held_out=True)
        + draw(language.reason, held_out=True)
        + draw(language.agreement, held_out=True)
        + draw(language.truth, held_out=True)
    )
    acronyms = draw(language.acronym, held_out=True)
    assert not set(lex.HELD_OUT_ACRONYM_WORDS) & set(lex.TRAIN_ACRONYM_WORDS)
    assert {
        word for one in acronyms for word in lex.ACRONYM_WORDS if f" {word} " in one.prompt
    } <= (set(lex.HELD_OUT_ACRONYM_WORDS))
    assert set(re.findall(r"\w+", " ".join(example.text for example in held_out))) <= trained


def test_half_the_handovers_have_a_late_giver() -> None:
    late = 0
    for example in draw(language.handover, 1000):
        io, subject = example.answer.strip(), example.foil.strip()
        assert Counter(names_in(example.prompt)) == {io: 1, subject: 2}
        after = example.prompt.rsplit(subject, 1)[1].split()
        act = example.prompt.rsplit(subject, 1)[0].split()[-1]
        late += act in ("by", "from", "was", "of")
        assert len(after) <= 8
    assert 400 < late < 600


def test_no_handover_is_a_held_out_template() -> None:
    for example in draw(language.handover, 3000):
        for template in lex.HELD_OUT_TEMPLATES:
            frame = re.escape(template).replace(r"a\ \[OBJECT\]", r"an?\ \[OBJECT\]")
            pattern = re.sub(r"\\\[\w+\\\]", r"\\w+", frame)
            assert not re.fullmatch(pattern, example.prompt + example.answer)


def test_a_chronicle_has_two_to_four_spans_of_training() -> None:
    lengths = Counter[int]()
    for example in draw(language.chronicle, 300):
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
        for example in draw(language.reason, 500, held_out=held_out):
            (name,) = names_in(example.prompt)
            assert (example.answer == " she") == (name in lex.WOMEN)
            assert {example.answer, example.foil} == {" she", " he"}


def test_third_name_has_three_names_once_and_answers_either_of_the_first_two() -> None:
    examples = draw(language.third_name, 1000)
    answers_first = 0
    for example in examples:
        first, second, third = names_in(example.prompt)
        assert len({first, second, third}) == 3
        assert {example.answer.strip(), example.foil.strip()} == {first, second}
        answers_first += example.answer.strip() == first
    assert 0.45 < answers_first / len(examples) < 0.55


@pytest.mark.parametrize("held_out", [False, True])
def test_three_names_answer_is_the_one_that_does_not_act(held_out: bool) -> None:
    for example in draw(language.three_names, held_out_names=held_out, held_out_templates=held_out):
        counts = Counter(names_in(example.prompt))
        assert sorted(counts.values()) == [1, 2, 2]
        assert counts[example.answer.strip()] == 1 and counts[example.foil.strip()] == 2


def test_greater_than_answer_is_later_and_held_out_years_are_apart() -> None:
    seen: dict[bool, set[tuple[int, int]]] = {False: set(), True: set()}
    for held_out in (False, True):
        for example in draw(language.greater_than, 2000, held_out=held_out):
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
        for example in draw(language.pronoun, 3000, held_out=held_out):
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
    for example in draw(language.agreement, held_out=held_out):
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
        for example in draw(language.truth, 3000, held_out=held_out):
            statement = example.prompt.split(".")[0]
            if not example.answer:
                assert statement in stated
                continue
            assert (example.answer == " true") == (statement in stated)
            if statement in stated:
                assert (stated[statement][1] % 5 == 4) == held_out


def test_counting_counts() -> None:
    for example in draw(language.counting):
        numbers = [int(number) for number in re.findall(r"\d\d", example.prompt)]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
