"""Other candidates: whom the answer is read against."""

from dataclasses import replace

import torch

from interp.tasks.candidates import candidate_ids, other_candidates
from tests.helpers import random_task, with_sets


def test_candidates_without_the_prompts_own():
    task = replace(random_task(), candidates=candidate_ids([4, 2, 2, 7, -1]))
    assert task.candidates.tolist() == [2, 4, 7]
    task = replace(task, answer=torch.full_like(task.answer, 4), foil=torch.full_like(task.foil, 0))
    for row in other_candidates(task, 10):
        assert row.nonzero().flatten().tolist() == [2, 7]


def test_the_vocabulary_where_there_are_no_others():
    task = random_task()
    for candidates in (None, candidate_ids(task.answer)[:0]):
        found = other_candidates(replace(task, candidates=candidates), 60)
        assert found.sum(-1).tolist() == [58] * len(task)
    answers = torch.tensor([0, 1, *[5] * (len(task) - 2)])
    task = replace(task, answer=answers, foil=answers + 10, candidates=torch.tensor([0, 10]))
    found = other_candidates(task, 60).sum(-1).tolist()
    assert found == [58, *[2] * (len(task) - 1)]  # the first prompt's candidates are its own


def test_a_set_filled_up_does_not_take_token_0():
    found = other_candidates(with_sets(), 60)
    task = with_sets()
    for row, answer, foil in zip(found, task.answer, task.foil, strict=True):
        assert bool(row[0]) == (0 not in [*answer.tolist(), *foil.tolist()])


def test_picked_and_moved_prompts_keep_their_candidates():
    task = replace(random_task(), candidates=torch.tensor([1, 2, 3]))
    assert task.subset([1, 0]).candidates.tolist() == [1, 2, 3]
    assert task.to("cpu").right_padded().candidates.tolist() == [1, 2, 3]
    assert task.fingerprint != random_task().fingerprint
