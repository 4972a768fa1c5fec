"""The tasks beside IOI: laws of their prompts, under both vocabularies."""

import inspect
from collections import Counter

import pytest
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

import interp
from interp.tasks import Task, acronym, agreement, greater_than, induction, pronoun
from interp.tasks.agreement import NOUNS, PREPOSITIONS, VERBS
from interp.tasks.greater_than import SPANS
from interp.tasks.pronoun import HE, SHE
from interp.training.mini import lexicon
from tests.checkpoints import write_tokenizer
from tests.tasks.conftest import GPT2

MAKERS = [greater_than, induction, pronoun, agreement, acronym]


@pytest.fixture(scope="module", params=["mini", "gpt2"])
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerBase:
    """The bundled model's tokenizer, and GPT-2's where it is at hand."""
    if request.param == "mini":
        return interp.load("mini").tokenizer
    if not GPT2.is_dir():
        pytest.skip(f"GPT-2's tokenizer is not at {GPT2}")
    return AutoTokenizer.from_pretrained(GPT2)


def token(task: Task, role: str, side: str = "clean") -> torch.Tensor:
    """The token at a role of every prompt."""
    return task.tokens(side)[torch.arange(len(task)), task.roles(side)[role]]


def ids(tokenizer: PreTrainedTokenizerBase, *words: str) -> list[int]:
    return [row[0] for row in tokenizer(list(words))["input_ids"]]


@pytest.mark.parametrize("make", MAKERS)
def test_the_seed_decides(make, tokenizer):
    one, again, other = (
        make(tokenizer, 12, seed=3),
        make(tokenizer, 12, seed=3),
        make(tokenizer, 12),
    )
    assert (one.clean, one.corrupted) == (again.clean, again.corrupted)
    assert one.clean != other.clean
    assert len(one) == 12 and one.aligned
    assert one.name == make.__name__


@pytest.mark.parametrize("make", MAKERS)
def test_a_pair_differs_and_starts_with_no_special_token(make, tokenizer):
    task = make(tokenizer, 20)
    assert all(
        clean != corrupted for clean, corrupted in zip(task.clean, task.corrupted, strict=True)
    )
    for i, text in enumerate(task.clean):
        assert tokenizer.decode(task.clean_tokens[i][task.attention_mask[i]]) == text


@pytest.mark.parametrize("make", MAKERS)
def test_at_least_one_prompt(make, tokenizer):
    with pytest.raises(ValueError, match="n must be at least 1; it is 0"):
        make(tokenizer, 0)


def test_greater_than_answers_are_the_later_years(tokenizer):
    task = greater_than(tokenizer, 30, seed=1)
    starts = [int(tokenizer.decode(t)) for t in token(task, "YY")]
    for i, yy in enumerate(starts):
        years = [
            [int(tokenizer.decode(t)) for t in row[i] if t >= 0] for row in (task.answer, task.foil)
        ]
        assert years == [[*range(yy + 1, 100)], [*range(yy, -1, -1)]]
    assert len(set(starts)) > 10


def test_greater_than_partner_starts_in_the_year_01(tokenizer):
    task = greater_than(tokenizer, 30)
    assert {int(tokenizer.decode(t)) for t in token(task, "YY", "corrupted")} == {1}
    changed = task.clean_tokens != task.corrupted_tokens
    assert changed.sum(-1).tolist() == [1] * 30
    assert torch.equal(changed.int().argmax(-1), task.positions["YY"])
    assert torch.equal(token(task, "XX"), token(task, "END"))
    assert torch.equal(task.positions["YY"], task.positions["XX"] + 1)
    assert set(Counter(task.group).values()) == {10}


def test_greater_than_needs_years_in_two_tokens(tmp_path):
    write_tokenizer(tmp_path, ["<|endoftext|>", "The", "war", "lasted", "from", "to"])
    with pytest.raises(ValueError, match="needs such years"):
        greater_than(AutoTokenizer.from_pretrained(tmp_path), 3)


def test_greater_than_leaves_out_years_that_gpt2_has_whole(gpt2_tokenizer):
    task = greater_than(gpt2_tokenizer, 300)
    centuries = {
        tokenized.strip() for tokenized in gpt2_tokenizer.batch_decode(token(task, "XX")[:, None])
    }
    assert centuries == {str(century) for century in range(11, 19)} - centuries_without_01(
        gpt2_tokenizer
    )


def centuries_without_01(tokenizer: PreTrainedTokenizerBase) -> set[str]:
    return {str(c) for c in range(11, 20) if len(tokenizer(f" {c}01")["input_ids"]) != 2}


def test_induction_continues_what_stood_before(tokenizer):
    task = induction(tokenizer, 25, length=12, repeated=5)
    assert task.lengths.tolist() == [17] * 25
    for i, row in enumerate(task.clean_tokens.tolist()):
        first = int(task.positions["FIRST"][i])
        assert len(set(row[:12])) == 12
        assert row[12:] == row[first - 4 : first + 1]
        assert row[first + 1] == int(task.answer[i])
        assert int(task.foil[i]) in row[:12] and int(task.foil[i]) not in row[12:]
    assert len(set(task.positions["FIRST"].tolist())) > 4  # no fixed distance


def test_induction_partner_answers_the_foil(tokenizer):
    task = induction(tokenizer, 25)
    assert torch.equal(token(task, "FIRST+1"), task.answer)
    assert torch.equal(token(task, "FIRST+1", "corrupted"), task.foil)
    assert torch.equal(token(task, "FIRST"), token(task, "END"))
    assert (task.clean_tokens != task.corrupted_tokens).sum(-1).tolist() == [2] * 25


@pytest.mark.parametrize(("length", "repeated"), [(4, 3), (6, 0), (1, 1)])
def test_induction_needs_something_else_to_say(length, repeated, tokenizer):
    with pytest.raises(ValueError, match="repeated must be from 1 to length - 2"):
        induction(tokenizer, 3, length=length, repeated=repeated)


def test_induction_needs_words(tmp_path):
    write_tokenizer(tmp_path)
    with pytest.raises(ValueError, match="0 tokens that are words; sequences of 16"):
        induction(AutoTokenizer.from_pretrained(tmp_path), 3)


def test_pronouns_follow_the_name(tokenizer):
    task = pronoun(tokenizer, 28)
    she, he = ids(tokenizer, " she", " he")
    names = {t: name for name in SHE for t in ids(tokenizer, f" {name}")}
    for i in range(len(task)):
        is_she = int(token(task, "NAME")[i]) in names
        assert (int(token(task, "NAME", "corrupted")[i]) in names) is not is_she
        assert (int(task.answer[i]), int(task.foil[i])) == ((she, he) if is_she else (he, she))
        assert task.order[i] == ("she" if is_she else "he")
    assert set(Counter(zip(task.group, task.order, strict=True)).values()) == {2}
    assert (task.clean_tokens != task.corrupted_tokens).sum(-1).tolist() == [1] * 28


@pytest.mark.parametrize(
    ("distractor", "orders"),
    [
        ("other", {"SP": 6, "PS": 6}),
        ("same", {"SS": 6, "PP": 6}),
        ("mixed", dict.fromkeys(("SP", "PS", "SS", "PP"), 6)),
    ],
)
def test_agreement_is_with_the_subject(distractor, orders, tokenizer):
    task = agreement(tokenizer, sum(orders.values()), distractor=distractor)
    assert Counter(task.order) == orders
    singular, plural = (
        ids(tokenizer, " is", " was", " has"),
        ids(tokenizer, " are", " were", " have"),
    )
    nouns = dict(NOUNS)
    for i, order in enumerate(task.order):
        words = task.clean[i].split()
        assert (words[1] in nouns) == (order[0] == "S")
        assert (words[-1] in nouns) == (order[1] == "S")
        expected = [singular, plural] if order[0] == "S" else [plural, singular]
        assert [task.answer[i].tolist(), task.foil[i].tolist()] == expected
        changed = [a != b for a, b in zip(words, task.corrupted[i].split(), strict=True)]
        assert changed == [False, True, *[False] * (len(words) - 2)]
    assert tokenizer.decode(token(task, "SUBJECT")[0]).strip() == task.clean[0].split()[1]


def test_agreement_knows_its_distractors(tokenizer):
    with pytest.raises(ValueError, match="distractor must be one of .*'none'"):
        inspect.unwrap(agreement)(tokenizer, 3, distractor="none")


@pytest.mark.parametrize("corruption", ["all", "word"])
def test_acronyms_are_the_initials_of_the_words(corruption, tokenizer):
    task = acronym(tokenizer, 40, corruption=corruption)
    assert len(set(task.lengths.tolist())) == 1
    for side, third in (("clean", task.answer), ("corrupted", task.foil)):
        letters = {}
        for role in ("C1", "C2", "C3", "A1", "END"):
            texts = tokenizer.batch_decode(token(task, role, side)[:, None])
            letters[role] = [text.strip() for text in texts]
            assert all(len(text) == 1 and text.isupper() for text in letters[role])
            assert all(text.startswith(" ") == role.startswith("C") for text in texts)
        assert letters["C1"] == letters["A1"] and letters["C2"] == letters["END"]
        assert letters["C3"] == tokenizer.batch_decode(third[:, None])
        assert all(len({*three}) == 3 for three in zip(*list(letters.values())[:3], strict=True))
    assert set(tokenizer.batch_decode(token(task, "BRACKET")[:, None])) <= {"(", " ("}
    pairs = zip(task.clean, task.corrupted, strict=True)
    for ours, theirs in ((a.split(), b.split()) for a, b in pairs):
        changed = [a != b for a, b in zip(ours, theirs, strict=True)]
        all_but_the = [False, True, True, True, True]
        assert changed == (all_but_the if corruption == "all" else [False] * 3 + [True, False])
        if corruption == "all":
            assert not {w[0] for w in ours[1:4]} & {w[0] for w in theirs[1:4]}
    firsts = [text.split("(")[1] for text in task.clean]
    assert len({(text, int(t)) for text, t in zip(firsts, task.answer, strict=True)}) == 40


def test_acronyms_without_a_partner_are_not_drawn(gpt2_tokenizer):
    assert len(acronym(gpt2_tokenizer, 800, corruption="word")) == 800


def test_acronyms_are_one_token_a_letter_together_with_the_answer(gpt2_tokenizer):
    task = acronym(gpt2_tokenizer, 50)
    for text, answer in zip(task.clean, task.answer, strict=True):
        whole = gpt2_tokenizer(text + gpt2_tokenizer.decode(answer))["input_ids"]
        assert whole == [*gpt2_tokenizer(text)["input_ids"], int(answer)]


@pytest.mark.parametrize("words", [(), ("Bank", "Gate", "Oil", "Mitten", "Zipper", "bank", "Of")])
def test_acronyms_need_words(words, tokenizer):
    with pytest.raises(ValueError, match=f"of {len(words)} words .*pass more words"):
        acronym(tokenizer, 3, words=words)


def test_acronyms_know_their_corruptions(tokenizer):
    with pytest.raises(ValueError, match="corruption must be one of .*'none'"):
        inspect.unwrap(acronym)(tokenizer, 3, corruption="none")


def test_prompts_are_in_the_language_of_the_bundled_model():
    assert set(SPANS) <= set(lexicon.SPANS)
    assert set(NOUNS) <= set(lexicon.NOUNS)
    assert set(PREPOSITIONS) <= set(lexicon.PREPOSITIONS)
    assert set(VERBS) == set(lexicon.VERB_PAIRS)
    mini = acronym(interp.load("mini").tokenizer, 500)
    words = {word for text in mini.clean for word in text.split()[1:4]}
    assert len(words) > 50 and words <= set(lexicon.ACRONYM_WORDS)
    women, men = set(SHE), set(HE)
    assert women <= lexicon.WOMEN and men <= set(lexicon.NAMES) - lexicon.WOMEN
