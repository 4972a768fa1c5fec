"""Whole runs of a side: how prompts are put into batches, and what a run leaves."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import interp.runs.sides as module
from interp.runs.ablation import Ablation
from interp.runs.sides import at, batches, batches_within, run_side, run_to_end
from interp.runs.sites import SITES, hook_name
from tests.helpers import random_model, random_task, unaligned

KEYS = {
    "streams": [("resid_pre", 0), ("resid_post", 2), ("z", 1)],
    "neurons": [("mlp_post", 0), ("attn_out", 0)],
    "patterns": [("pattern", 2)],
}


def n_floats(model, key, longest):
    """Numbers that an activation has at each token."""
    c = model.config
    if key[0] == "pattern":
        return c.n_heads * longest
    return c.d_mlp if key[0] == "mlp_post" else c.d_model


@given(
    st.lists(st.integers(2, 9), min_size=1, max_size=9),
    st.sampled_from(sorted(KEYS)),
    st.integers(0, 40),
    st.integers(0, 99),
    st.sampled_from(["clean", "corrupted"]),
)  # fmt: skip
def test_batches_leave_no_more_than_the_memory_and_hold_what_goes_in(
    lengths, keys, tokens, rest, side
):
    """Memory for a number of tokens, exactly or with some bytes to spare."""
    model, task = random_model(), unaligned(random_task(len(lengths), tuple(lengths)))
    of, longest = task.mask(side).sum(-1), int(task.mask(side).sum(-1).max())
    at_each = sum(n_floats(model, key, longest) for key in KEYS[keys])
    memory = 2 * 4 * at_each * tokens + rest
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "MEMORY", memory)
        found = batches_within(model, task, side, KEYS[keys])

    def needed(prompts):
        """Bytes of two runs of some prompts, each padded to the longest."""
        return 2 * 4 * at_each * len(prompts) * int(of[prompts].max())

    every = torch.cat(found)
    assert sorted(every.tolist()) == list(range(len(task)))
    assert torch.equal(of[every], of.sort().values)  # by length, so that little is padding
    for i, prompts in enumerate(found):
        assert len(prompts) == 1 or needed(prompts) <= memory
        if i + 1 < len(found):
            assert needed(torch.cat([prompts, found[i + 1][:1]])) > memory


@given(st.integers(1, 20), st.integers(1, 9))
def test_batches_are_all_prompts_in_order(n, size):
    seen = []

    def count(steps):
        seen.extend(steps)
        return steps

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "PROMPTS", size)
        found = list(batches(random_task(n), count))
    assert found == seen and all(0 < one.stop - one.start <= size for one in found)
    assert [i for one in found for i in range(n)[one]] == list(range(n))
    assert len(found) == -(-n // size)


@pytest.mark.parametrize("side", ["clean", "corrupted"])
@torch.inference_mode()
def test_a_run_leaves_what_each_prompt_alone_leaves(side):
    """At its real tokens, whatever else is in the batch and however long the run is made."""
    model, task = random_model(), unaligned(random_task(4, (6, 4)))
    rows, keys = torch.tensor([2, 1, 3]), [(site, layer) for site in SITES for layer in (0, 2)]
    width = task.tokens(side).shape[1]
    for length in (None, width):
        stream, kept = run_side(model, task, rows, side, keys, length=length)
        assert set(kept) == set(keys)
        for i, prompt in enumerate(rows.tolist()):
            n = int(task.mask(side)[prompt].sum())
            final, cache = model.run_with_cache(task.tokens(side)[prompt, :n][None])
            expected = cache[hook_name("resid_post", 2)][0, -1]
            torch.testing.assert_close(stream[i], expected, atol=1e-5, rtol=1e-5)
            assert final.shape[1] == n
            for key in keys:
                alone = cache[hook_name(*key)][0]
                alone = alone.transpose(0, 1) if key[0] == "pattern" else alone
                ours = kept[key][i, :n]
                ours = ours[..., :n] if key[0] == "pattern" else ours
                torch.testing.assert_close(ours, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("side", ["clean", "corrupted"])
@torch.inference_mode()
def test_a_run_to_end_is_a_whole_run_read_at_end(side):
    model, task = random_model(), unaligned(random_task(5, (6, 4)))
    gone = Ablation(["0.1", "m1@END", "m2.3@S2"], value="mean").prepare(model, task, side)
    for rows in (torch.tensor([3, 0, 2]), torch.tensor([1]), torch.arange(5)):
        width = int(task.mask(side)[rows].sum(-1).max())
        for edits, hooks in ((None, ()), (gone.edits, gone.hooks(rows, width))):
            expected, _ = run_side(model, task, rows, side, hooks=hooks)
            found = run_to_end(model, task, rows, side, edits)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_one_position_of_each_prompt():
    activation = torch.arange(24).view(2, 3, 4)
    assert at(activation, torch.tensor([2, 0])).tolist() == [[8, 9, 10, 11], [12, 13, 14, 15]]
    assert at(activation[..., 0], torch.tensor([1, 1])).tolist() == [4, 16]
