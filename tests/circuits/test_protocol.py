"""The paper's protocol: our routines against a twin of its code paths, on `mini` and random models.

Both must agree to 1e-5 of the scale of what is measured.
"""

import numpy as np
import pytest
import torch

import interp
from interp.circuits import Circuit, Member, faithfulness
from interp.heads import copy_scores
from interp.patching import Receivers, Selection, path_attention, path_patch
from interp.tasks import ioi
from tests.helpers import random_model, random_task
from tests.naive import ioi as naive


@pytest.fixture(scope="module")
def mini():
    model = interp.load("mini")
    return model, ioi(model.tokenizer, 10, seed=5)


@pytest.fixture(scope="module", params=["mini", "random"])
def case(request, mini):
    """Model and task; the roles that stand for S2 and END."""
    if request.param == "mini":
        return mini
    return random_model(), random_task(8, lengths=(9, 7))


def close(ours, expected):
    """To 1e-5 of the largest value."""
    ours, expected = np.asarray(ours, dtype=float), np.asarray(expected, dtype=float)
    np.testing.assert_allclose(ours, expected, atol=1e-5 * max(1.0, np.abs(expected).max()))


@torch.inference_mode()
@pytest.mark.parametrize(
    ("site", "position"), [("logits", "END"), ("q", "END"), ("v", "S2"), ("k", "S2")]
)
def test_four_passes(case, site, position):
    model, task = case
    last = model.config.n_layers - 1
    if site == "logits":
        receivers, hooks = Receivers(), [(f"blocks.{last}.hook_resid_post", None)]
    else:
        heads = [(last, 1), (last, 2), (last - 1, 0)]
        receivers = Receivers(site, heads=heads, positions=[position])
        hooks = [(f"blocks.{layer}.attn.hook_{site}", head) for layer, head in heads]
    there = Selection(positions=[position])
    ours = path_patch(model, task, receivers, there).logit_diff
    mlps = path_patch(model, task, receivers, there, site="mlp_out").logit_diff
    for layer, head in [(0, 0), (0, 3), (1, 2), (last - 1, 1), (last, 0)]:
        expected = naive.path_patching(model, task, (layer, head), hooks, position)
        close(ours.sel(layer=layer, head=head), expected)
    for layer in (0, last - 1):
        expected = naive.path_patching(model, task, (layer, None), hooks, position)
        close(mlps.sel(layer=layer), expected)


@torch.inference_mode()
def test_attention_by_patched_paths(case):
    model, task = case
    last = model.config.n_layers - 1
    senders, receivers = [(0, 1), (2, 3)], [(last - 1, 1), (last, 2)]
    ours = path_attention(model, task, senders, receivers, keys=["S2", "END"])
    for layer, head in receivers:
        for key in ("S2", "END"):
            label = f"{layer}.{head}"
            expected = naive.path_attention(model, task, senders, (layer, head), key)
            close(ours.patched.sel(head=label, key=key), expected)
            clean = naive.path_attention(model, task, [], (layer, head), key)
            close(ours.clean.sel(head=label, key=key), clean)
    assert float(abs(ours.patched - ours.clean).max()) > 1e-3


@torch.inference_mode()
def test_faithfulness_by_means_of_each_template(case):
    model, task = case
    heads = [(0, 0, "S2"), (1, 1, "S2"), (1, 3, "END"), (model.config.n_layers - 1, 2, "END")]
    circuit = Circuit(model.name, [Member(head, "other") for head in heads])
    ours = faithfulness(model, task, circuit, reference="own", blocks=0).logit_diff
    close(ours.sel(run="circuit"), naive.kept(model, task, heads))
    close(ours.sel(run="full"), naive.removed(model, task, []))


@torch.inference_mode()
@pytest.mark.parametrize(("name", "sign"), [("copy", 1), ("anti_copy", -1)])
def test_copy_score(mini, name, sign):
    model, task = mini
    ours = copy_scores(model, task)[name]
    n_heads = model.config.n_heads
    for layer, head in [(i, h) for i in (1, 3, 4) for h in range(0, n_heads, 3)]:
        for role in ("IO", "S1", "S2"):
            expected = naive.copies(model, task, layer, head, role, norm=layer, sign=sign)
            np.testing.assert_array_equal(ours.sel(layer=layer, head=head, role=role), expected)


@torch.inference_mode()
def test_copy_score_is_the_papers_where_the_layer_norm_is(mini):
    """The authors' code takes block 1's layer norm for every head, which is layer 1's own."""
    model, task = mini
    ours = copy_scores(model, task)["copy"].sel(layer=1, role="IO")
    expected = [
        naive.copies(model, task, 1, head, "IO", norm=1) for head in range(model.config.n_heads)
    ]
    np.testing.assert_array_equal(ours.transpose("head", "prompt"), torch.stack(expected))


def test_what_is_not_there_is_refused():
    model, task = random_model(), random_task()
    with pytest.raises(ValueError, match="receivers are an empty list"):
        path_attention(model, task, [(0, 0)], [])
    with pytest.raises(ValueError, match=r"no Head 7\.0"):
        path_attention(model, task, [(0, 0)], [(7, 0)])
    with pytest.raises(ValueError, match="no role 'IO'"):
        path_attention(model, task, [(0, 0)], [(1, 0)], keys=["IO"])
