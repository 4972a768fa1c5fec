"""Places: masks of roles and indices, never at padding."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.patching import Selection, patch
from interp.runs.places import Places, positions_mask, require_positions
from tests.helpers import random_model, random_task, unaligned, unchecked

POSITIONS = st.sampled_from(["S2", "END"]) | st.integers(0, 6)


@given(
    st.lists(st.integers(1, 7), min_size=1, max_size=4),
    st.none() | st.lists(POSITIONS, max_size=4, unique=True),
    st.sampled_from(["clean", "corrupted"]),
    st.booleans(),
)  # fmt: skip
def test_the_mask_is_true_at_the_positions_that_a_text_has(lengths, chosen, side, elsewhere):
    """Whatever is asked for: an index is True in the texts that are so long, and only there."""
    task = random_task(len(lengths), tuple(lengths))
    task = unaligned(task) if elsewhere else task
    longest = int(task.mask(side).sum(-1).max())
    if chosen is not None:
        chosen = [one for one in chosen if isinstance(one, str) or one < longest]
    mask = positions_mask(task, chosen, side)
    for i in range(len(task)):
        length = int(task.mask(side)[i].sum())
        at = range(length) if chosen is None else [
            int(task.roles(side)[one][i]) if isinstance(one, str) else one for one in chosen
        ]  # fmt: skip
        assert mask[i].nonzero()[:, 0].tolist() == sorted({p for p in at if p < length})


def test_an_index_in_the_padding_of_a_short_prompt_is_nowhere():
    """Its tokens there are padding, which a patch must not touch, and its value is NaN."""
    task = random_task(4, (6, 4))
    assert positions_mask(task, [4]).any(-1).tolist() == [True, False, True, False]
    found = patch(random_model(), task, "resid_pre", Selection(positions=[4])).logit_diff
    assert found.isnull().all(("layer", "position")).values.tolist() == [False, True, False, True]
    whole = patch(random_model(), task, "resid_pre", Selection(over=["layer"], positions=[4, "S2"]))
    alone = patch(random_model(), task, "resid_pre", Selection(over=["layer"], positions=["S2"]))
    short = whole.logit_diff.isel(prompt=[1, 3]), alone.logit_diff.isel(prompt=[1, 3])
    assert short[0].values == pytest.approx(short[1].values, abs=1e-6)


def test_places_of_some_prompts():
    where = torch.arange(2 * 1 * 3 * 4).view(2, 1, 3, 4) % 3 == 0
    some = Places(where, where[:, 0]).of(torch.tensor([2, 0]), 2)
    assert torch.equal(some.where, where[:, :, [2, 0], :2])
    assert torch.equal(some.sources, where[:, 0, [2, 0], :2])
    assert Places(where).of(torch.tensor([1]), 4).sources is None


@pytest.mark.parametrize(
    ("positions", "error", "message"),
    [
        ("END", TypeError, "positions are a list of roles or indices"),
        (3, TypeError, "positions are a list"),
        ([], ValueError, "positions are an empty list"),
        ([1.5], TypeError, "roles .text. or indices"),
        ([True], TypeError, "roles .text. or indices"),
        (["END", "END"], ValueError, "position END is given twice"),
        ([1, 1], ValueError, "position 1 is given twice"),
    ],
)
def test_what_is_no_list_of_positions_is_refused(positions, error, message):
    with unchecked(), pytest.raises(error, match=message):
        require_positions(positions)


def test_positions_that_there_are_not():
    task = random_task(3, (6, 4))
    refused = {"S9": "no role 'S9'; it has", 6: "up to 6 tokens", -1: "no prompt"}
    for position, message in refused.items():
        with pytest.raises(ValueError, match=message):
            positions_mask(task, [position])
    longer = unaligned(replace(task, positions=task.positions))
    assert (
        positions_mask(longer, [7], "corrupted").any() and not positions_mask(longer, [5])[1].any()
    )
    with pytest.raises(ValueError, match="position 7 is in no prompt"):
        positions_mask(longer, [7], "clean")
