"""Lenses and head scores read the same prompts, however they are given, and say what they read."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

import interp
from interp.heads import (
    attention_between,
    attention_patterns,
    attention_projection,
    attention_scores,
    copy_scores,
    next_token_projection,
)
from interp.lens import compare_lenses, direct_logit_attribution, logit_lens
from interp.lens.tuned import TunedLens
from tests.helpers import random_model, random_task

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
TEXT = " Yesterday Mary and John met"
TEXTS = [TEXT, " Mary gave John", " Mary and Mary and Mary"]

READINGS = {
    "logit_lens": lambda model, prompt: logit_lens(model, prompt, answer=7, foil=9),
    "direct_logit_attribution": lambda model, prompt: direct_logit_attribution(
        model, prompt, answer=7, foil=9
    ),
    "attention_patterns": attention_patterns,
    "attention_scores": attention_scores,
    "compare_lenses": lambda model, prompt: compare_lenses(
        model, prompt, TunedLens.identity(model)
    ),
}


@pytest.fixture(scope="module")
def mini():
    return interp.load("mini")


def left_padded(task):
    """The same prompts with their padding at the left."""
    width = task.clean_tokens.shape[1]
    shift = width - task.lengths  # prompt
    index = (torch.arange(width) - shift[:, None]) % width
    return replace(
        task,
        clean_tokens=task.clean_tokens.gather(1, index),
        corrupted_tokens=task.corrupted_tokens.gather(1, index),
        attention_mask=task.attention_mask.gather(1, index),
        positions={role: at + shift for role, at in task.positions.items()},
    )


def same(one, two):
    """Values and labels are the same."""
    arrays = [x if isinstance(x, xr.Dataset) else x.to_dataset(name="it") for x in (one, two)]
    assert set(arrays[0]) == set(arrays[1])
    for name, left in arrays[0].items():
        right = arrays[1][name]
        assert left.dims == right.dims and left.shape == right.shape, name
        if left.dtype.kind == "f":
            np.testing.assert_allclose(left, right, err_msg=str(name), **CLOSE)
        else:
            assert (left.values == right.values).all(), name


@pytest.mark.parametrize("read", READINGS.values(), ids=READINGS)
def test_a_text_is_its_token_ids_in_every_form(mini, read):
    tokens = mini.to_tokens(TEXT)
    whole = read(mini, TEXT)
    ids = tokens[0].tolist()
    forms = [tokens, tokens[0], tokens.int(), ids, tuple(ids), np.array(ids), np.array([ids])]
    for form in forms:
        same(whole, read(mini, form))


@pytest.mark.parametrize("read", READINGS.values(), ids=READINGS)
def test_several_texts_are_each_text_by_itself(mini, read):
    """At the last token of each; padding of the shorter ones enters nothing."""
    found = read(mini, TEXTS)
    assert found.sizes["prompt"] == 3
    for i, text in enumerate(TEXTS):
        alone, one = read(mini, text), found.isel(prompt=i)
        if "position" in alone.dims:
            alone = alone.isel(position=-1, drop=True)
        if "prompt" in alone.dims:
            alone = alone.isel(prompt=0)
        if "answer" in alone.dims:
            alone = alone.isel(answer=0)
        if "query" in one.dims:
            n = alone.sizes["key"]
            assert bool(one.isel(query=slice(n, None)).isnull().all())
            assert bool(one.isel(key=slice(n, None)).isnull().all())
            one = one.isel(query=slice(n), key=slice(n))
            assert one.key_token.values.tolist() == alone.key_token.values.tolist()
            np.testing.assert_allclose(one.value_norm, alone.value_norm, **CLOSE)
        same(one, alone)


def test_rows_of_ids_are_texts(mini):
    rows = mini.to_tokens([" Mary and John met", " John and Mary met"])
    for form in (rows, rows.tolist(), rows.numpy()):
        same(logit_lens(mini, form), logit_lens(mini, [" Mary and John met", " John and Mary met"]))


def test_each_of_several_texts_has_its_own_answer(mini):
    ids = [11, 12, 13]
    for read in (logit_lens, direct_logit_attribution):
        found = read(mini, TEXTS, answer=ids, foil=[14, 14, 15])
        for i, text in enumerate(TEXTS):
            alone = read(mini, text, answer=ids[i], foil=[14, 14, 15][i])
            if "position" in alone.dims:
                alone = alone.isel(position=-1, drop=True)
            else:
                alone = alone.isel(answer=0)
            same(found.isel(prompt=i), alone)
        with pytest.raises(ValueError, match="answer has 2 tokens for 3 texts"):
            read(mini, TEXTS, answer=[1, 2])


@pytest.mark.parametrize("position", ["END", 2, 0])
def test_a_position_of_a_text_is_read_there(mini, position):
    every = logit_lens(mini, TEXT, answer=" Mary")
    at = len(every.position) - 1 if position == "END" else int(position)
    found = logit_lens(mini, TEXT, answer=" Mary", position=position)
    same(found, every.sel(position=[at]))
    assert found.position.values.tolist() == [at]
    assert found.token.values.tolist() == [every.token.values[at]]


@pytest.mark.parametrize("read", [logit_lens, direct_logit_attribution])
def test_a_position_that_a_prompt_lacks_is_an_error(mini, read):
    for position, error, message in (
        (3, ValueError, "not in every prompt: prompt 1, the shortest, has 3 tokens"),
        (-1, ValueError, "counted from 0; 'END' is each prompt's last"),
        ("IO", ValueError, "no role 'IO'"),
        (True, TypeError, "expected a position"),
    ):
        with pytest.raises(error, match=message):
            read(mini, TEXTS, position=position, answer=3)
    with pytest.raises(ValueError, match="no role 'IO'"):
        read(mini, TEXT, position="IO", answer=3)


def test_the_side_of_the_padding_changes_nothing():
    model, task = random_model(), random_task()
    other = left_padded(task)
    assert not other.attention_mask[:, 0].all()
    for read in (
        logit_lens,
        lambda model, task: logit_lens(model, task, position="S2", site="z"),
        lambda model, task: direct_logit_attribution(model, task, by="source", position="S2"),
        lambda model, task: direct_logit_attribution(model, task, by="source_role"),
        attention_between,
        attention_patterns,
        attention_scores,
        lambda model, task: attention_projection(model, task, roles=["S2"]),
        lambda model, task: copy_scores(model, task, roles=["S2"], k=9),
    ):
        same(read(model, task), read(model, other))


def test_what_follows_a_repeated_token_is_looked_for_in_real_tokens():
    model = random_model()
    tokens = torch.tensor([[1, 2, 3, 1, 2, 3, 0, 0], [4, 5, 4, 5, 6, 7, 4, 5]])
    task = random_task(2, (6, 8))
    both = replace(task, clean_tokens=tokens)
    found = next_token_projection(model, both)
    for i, n in enumerate((6, 8)):
        alone = next_token_projection(model, tokens[i : i + 1, :n])
        np.testing.assert_allclose(found.isel(prompt=[i]), alone, **CLOSE)


def test_one_and_two_tokens_are_prompts_too(mini):
    for text, n in ((" Mary", 1), (" Mary gave", 2)):
        patterns = attention_patterns(mini, text)
        assert patterns.sizes["key"] == n
        np.testing.assert_allclose(patterns.sum("key"), 1, **CLOSE)
        assert logit_lens(mini, text).sizes["position"] == n
        parts = direct_logit_attribution(mini, text, answer=[" and"]).sum("component")
        expected = mini(text)[0, -1, mini.to_single_token(" and")].item()
        assert float(parts.item()) == pytest.approx(expected, abs=1e-4)


def test_answers_of_a_text_are_given_once(mini):
    with pytest.raises(ValueError, match="answer  Mary is given twice"):
        direct_logit_attribution(mini, TEXT, answer=[" Mary", " Mary"])


def test_results_carry_their_question(mini):
    task = interp.tasks.ioi(mini.tokenizer, 4)
    found = logit_lens(mini, task, site="z", layers=[1, 3])
    asked = interp.results.Question.of(found)
    assert asked.technique == "logit_lens" and asked.site == "z" and "[1, 3]" in asked.options
    assert asked.prompts == task.fingerprint
    assert asked.model_fingerprint == mini.fingerprint()
    other = interp.results.Question.of(logit_lens(mini, task, site="z", layers=[1, 2]))
    assert asked.fingerprint != other.fingerprint
    parts = interp.results.Question.of(direct_logit_attribution(mini, task, by="head"))
    assert parts.technique == "direct_logit_attribution" and "head" in parts.options
