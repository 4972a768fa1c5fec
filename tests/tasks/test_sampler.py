"""Tasks that were drawn can draw more: a reference sample of their own."""

from collections import Counter
from dataclasses import replace

import pytest

import interp
from interp.tasks import acronym, agreement, from_table, greater_than, induction, ioi, pronoun
from interp.tasks.sampler import BLOCKS, REFERENCE_PROMPTS, without_blocks


@pytest.fixture(scope="module")
def mini():
    """The bundled model, whose tokenizer knows the words of every task."""
    return interp.load("mini")


MAKERS = (ioi, acronym, agreement, greater_than, induction, pronoun)


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_the_reference_is_of_one_size_and_has_every_group(make, mini):
    few, many = make(mini.tokenizer, 2, seed=3), make(mini.tokenizer, 60, seed=3)
    for task in (few, many):
        assert len(task.reference) == REFERENCE_PROMPTS
        assert set(task.group) <= set(task.reference.group)
        assert min(Counter(task.reference.group).values()) >= 10
    assert few.reference.fingerprint == many.reference.fingerprint
    assert make(mini.tokenizer, 2, seed=4).reference.fingerprint != few.reference.fingerprint


def test_more_prompts_have_the_options_of_the_task(mini):
    task = ioi(mini.tokenizer, n=3, seed=1, corruption="flip", order="abba")
    assert set(task.reference.order) == {"ABBA"}
    again = task.sampler.draw(3, seed=1)
    assert again.fingerprint == task.fingerprint
    differs = task.reference.corrupted_tokens != task.reference.clean_tokens
    assert differs.sum(-1).tolist() == [1] * len(task.reference)


def test_a_task_that_was_changed_draws_nothing(mini):
    task = ioi(mini.tokenizer, n=6, seed=1)
    for kept in (task[:2], task.to("cpu"), task.right_padded()):
        assert kept.reference is task.reference
    assert replace(task, corrupted_tokens=task.clean_tokens).reference is None
    frame = task.to_dataframe(mini.tokenizer)
    columns = ["clean", "corrupted", "answer", "foil"]
    assert from_table(mini.tokenizer, frame[columns]).reference is None


def test_blocks_leave_out_every_prompt_once(mini):
    task = ioi(mini.tokenizer, n=100, seed=0)
    blocks = without_blocks(task, 5)
    left = Counter(text for one in blocks for text in one.clean)
    assert len(blocks) == 5 and all(left[text] == 4 * n for text, n in Counter(task.clean).items())
    assert all(75 <= len(one) <= 85 for one in blocks)
    assert all(
        Counter(one.clean) == Counter(t for p in one.pieces for t in p.clean) for one in blocks
    )
    reference = task.reference
    assert len(reference.pieces) == BLOCKS and len(reference) == REFERENCE_PROMPTS
    for i, one in enumerate(without_blocks(reference)):
        assert set(one.group) == set(reference.group)
        assert one.pieces == (*reference.pieces[:i], *reference.pieces[i + 1 :])
