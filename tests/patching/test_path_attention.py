"""Attention after path patching against whole runs in which every head's z is frozen."""

import numpy as np
import pytest
import torch

from interp.parts import Head
from interp.patching import path_attention
from tests.helpers import random_model, random_task, unaligned
from tests.naive.ioi import path_attention as naive

SENDERS = {
    "one": ["0.1"],
    "both layers": ["0.1", "1.2", "0.3"],
    "with others too late": ["0.1", "1.2", "2.0", "2.3"],
    "none early enough": ["2.0"],
}


@pytest.mark.parametrize("senders", SENDERS.values(), ids=SENDERS)
@torch.inference_mode()
def test_attention_is_that_of_frozen_runs(senders):
    model, task = random_model(), random_task(7)
    receivers = ["2.2", "1.0", "2.1"]
    found = path_attention(model, task, senders, receivers, keys=["END", "S2"])
    assert found.patched.dims == ("head", "key", "prompt")
    assert found["head"].values.tolist() == receivers  # in the order that was asked for
    sent = [Head(*map(int, one.split("."))) for one in senders]
    for label in receivers:
        receiver = tuple(map(int, label.split(".")))
        for key in ("END", "S2"):
            for name, some in (("patched", sent), ("clean", [])):
                expected = naive(model, task, some, receiver, key)
                ours = found[name].sel(head=label, key=key)
                np.testing.assert_allclose(ours, expected, atol=1e-5)
    changed = np.abs(found.patched - found.clean).max(("key", "prompt"))
    early = {label: any(one.layer < int(label[0]) for one in sent) for label in receivers}
    for label in receivers:
        assert (float(changed.sel(head=label)) > 1e-4) == early[label]


def test_every_role_is_a_key_by_default_and_nothing_is_left_behind():
    model, task = random_model(), random_task(3, (6,))
    found = path_attention(model, task, ["0.0"], [(1, 1)])
    assert found["key"].values.tolist() == list(task.positions)
    assert found.clean.attrs["unit"] == "probability" and not model.user_hooks()
    assert float(found.clean.min()) >= 0 and float(found.patched.max()) <= 1


@pytest.mark.parametrize(
    ("senders", "receivers", "keys", "message"),
    [
        ([], ["1.0"], None, "senders are an empty list"),
        (["0.0"], [], None, "receivers are an empty list"),
        (["7.0"], ["1.0"], None, r"no Head 7\.0"),
        (["0.0"], ["1.7"], None, r"no Head 1\.7"),
        (["0.0"], ["1.0"], ["IO"], "no role 'IO'"),
        (["0.0"], ["1.0"], [], "keys are an empty list"),
        (["0.0"], ["1.0"], ["END", "END"], "role END is given twice"),
        (["0.0", (0, 0)], ["1.0"], None, "head 0.0 is given twice"),
        (["0.0"], ["m1"], None, "expected a head"),
    ],
)
def test_what_there_is_not_is_refused(senders, receivers, keys, message):
    with pytest.raises(ValueError, match=message):
        path_attention(random_model(), random_task(2), senders, receivers, keys=keys)


def test_prompts_that_end_elsewhere_are_refused():
    with pytest.raises(ValueError, match="must end at the same position"):
        path_attention(random_model(), unaligned(random_task(3, (6,))), ["0.0"], ["1.0"])
