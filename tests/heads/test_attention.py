"""Attention between roles is read off the right cells of the pattern."""

import pytest
import torch

from interp.heads import attention_between, attention_projection, copy_scores
from tests.helpers import random_model, random_task


@torch.inference_mode()
def test_cells_of_the_pattern():
    model, task = random_model(), random_task()
    found = attention_between(model, task)
    assert found.dims == ("layer", "head", "query", "key", "prompt")
    _, cache = model.run_with_cache(task.clean_tokens, task.attention_mask)
    for i in range(len(task)):
        for query, key in [("END", "S2"), ("S2", "END"), ("END", "END")]:
            q, k = int(task.positions[query][i]), int(task.positions[key][i])
            expected = cache["pattern", 1][i, :, q, k]
            cell = torch.tensor(found.sel(layer=1, query=query, key=key, prompt=i).values)
            torch.testing.assert_close(cell, expected)


def test_causality():
    found = attention_between(random_model(), random_task(4, (8,)), queries=["S2"], keys=["END"])
    assert float(found.max()) == 0


def test_unknown_role():
    with pytest.raises(ValueError, match="no role"):
        attention_between(random_model(), random_task(), queries=["S9"])


def test_roles_are_a_list_of_the_tasks_roles_each_once():
    model, task = random_model(), random_task()
    for wrong, error, message in (
        ([], ValueError, "is an empty list"),
        (["END", "END"], ValueError, "role END is given twice"),
        ("END", TypeError, "must be a list"),
        (["IO"], ValueError, "no role 'IO'"),
    ):
        for side in ("queries", "keys"):
            with pytest.raises(error, match=message):
                attention_between(model, task, **{side: wrong})
        for score in (copy_scores, attention_projection):
            with pytest.raises(error, match=message):
                score(model, task, roles=wrong)
    found = attention_between(model, task, queries=["END"], keys=["END", "S2"])
    assert found["query"].values.tolist() == ["END"] and found.sizes["key"] == 2
