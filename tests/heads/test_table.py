"""The head table joins the scores of the functions it calls."""

import numpy as np
import pytest
import torch

from interp.heads import (
    attention_scores,
    copy_scores,
    head_table,
    ranked,
    repeated_random_tokens,
)
from interp.heads.table import score_names
from tests.helpers import random_model, random_task


def test_it_joins_the_scores():
    model, task = random_model(), random_task()
    table = head_table(model, task, roles=["S2"], seed=4)
    scores = attention_scores(model, repeated_random_tokens(model, seed=4))
    np.testing.assert_allclose(table["induction"], scores["induction"].mean("prompt"), rtol=1e-5)
    copies = copy_scores(model, task, roles=["S2"])["copy"].mean(("role", "prompt"))
    np.testing.assert_allclose(table["copy"], copies, rtol=1e-5)
    expected = {"attention_to_S2", "correlation", "eigenvalue", "entropy", "anti_copy"}
    assert expected <= set(score_names(table))
    for name in ("induction", "attention_to_S2", "copy"):
        assert bool((table[f"{name}_low"] <= table[name] + 1e-6).all())
        assert bool((table[name] <= table[f"{name}_high"] + 1e-6).all())
    assert (table["induction_low"] < table["induction_high"]).all()
    assert len(table.to_dataframe()) == 12


def test_without_a_task():
    table = head_table(random_model())
    assert "copy" not in table and "eigenvalue" in table
    assert "task" not in table.attrs


def test_ranked():
    table = head_table(random_model())
    frame = ranked(table, "induction", n=5)
    assert len(frame) == 5 and frame["induction"].is_monotonic_decreasing
    best = table["induction"].argmax(("layer", "head"))
    assert frame["head"][0] == f"{int(best['layer'])}.{int(best['head'])}"
    assert len(ranked(table, "entropy")) == 12
    with pytest.raises(ValueError, match="no score 'love'; it has previous_token"):
        ranked(table, "love")


def test_what_cannot_be_scored_is_left_out():
    model = random_model()
    tokens = torch.tensor([[1, 2, 1, 2], [1, 2, 3, 4], [5, 5, 6, 6]])
    table, scores = head_table(model, tokens=tokens), attention_scores(model, tokens)
    for name in ("duplicate_token", "induction"):
        some = scores[name].isel(prompt=[0, 2])
        np.testing.assert_allclose(table[name], some.mean("prompt"), rtol=1e-5)
        assert bool((table[f"{name}_low"] <= table[name] + 1e-6).all())
    never = head_table(model, tokens=tokens[1:2])
    assert bool(never["induction"].isnull().all()) and bool(never["entropy"].notnull().all())
    assert bool(never["entropy_low"].isnull().all())  # one prompt has no interval


def test_a_table_says_what_it_is_of():
    task = random_task()
    attrs = head_table(random_model(), task, roles=["S2"], seed=4).attrs
    assert attrs["technique"] == "head_table" and attrs["seed"] == "4"
    assert attrs["prompts"] == task.fingerprint and "S2" in attrs["options"]
