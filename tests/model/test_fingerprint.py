"""The fingerprint: the same for the same weights, another after any change, however it was made."""

import copy
import pickle

import pytest
import torch

import interp
from interp.model import fingerprint
from tests.helpers import random_model

CHANGES = {
    "in place": lambda w: w.mul_(2),
    "one entry": lambda w: w.view(-1)[7].add_(1e-3),
    "through .data": lambda w: w.data[0].fill_(9),
    "two entries exchanged through .data": lambda w: w.data.view(-1)[:2].copy_(
        w.data.view(-1)[:2].flip(0)
    ),
    "rows exchanged through .data": lambda w: w.data[:2].copy_(w.data[:2].flip(0)),
    "columns exchanged through .data": lambda w: w.data[..., :4].copy_(
        w.data[..., :4].roll(
            2, -1
        )  # by pairs: two numbers of four bytes are summed as one of eight
    ),
    "through numpy": lambda w: w.detach().numpy().fill(0.5),
    "another sign of zero": lambda w: w.data.view(-1)[:1].copy_(torch.tensor([-0.0])),
}


def wide_model(seed=0, **sizes):
    """Wide enough that its embedding is above the size below which every call hashes."""
    return random_model(seed, **{"d_model": 64, "d_mlp": 256, "d_vocab": 500, **sizes})


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("name", ["embed.W_E", "blocks.1.mlp.W_in", "unembed.b_U", "ln_final.w"])
def test_every_change_shows_and_its_reversal_too(change, name):
    model = wide_model()
    weight = model.state_dict(keep_vars=True)[name]
    with torch.no_grad():
        weight.copy_(torch.randn(weight.shape))
        weight.view(-1)[0] = 0.0
    before, saved = model.fingerprint(), weight.detach().clone()
    assert model.fingerprint() == before
    with torch.no_grad():
        change(weight)
        assert model.fingerprint() != before
        weight.copy_(saved)
    assert model.fingerprint() == before


def test_it_is_of_the_weights_alone(tmp_path):
    model = wide_model()
    mark = model.fingerprint()
    assert len(mark) == 16
    assert set(mark) <= set("0123456789abcdef")
    model(torch.tensor([[1, 2]]), return_type="loss").backward()
    model.name = "another name"
    with model.hooks([("blocks.0.hook_resid_pre", lambda x, hook: 0 * x)]):
        assert model.fingerprint() == mark
    model.save(tmp_path)
    twins = (interp.load(tmp_path), copy.deepcopy(model), pickle.loads(pickle.dumps(model)))
    assert [twin.fingerprint() for twin in twins] == [mark] * 3
    assert wide_model(1).fingerprint() != mark
    assert wide_model(n_heads=2).fingerprint() != mark
    assert wide_model(act_fn="relu").fingerprint() != mark
    assert model.double().fingerprint() != mark
    assert model.float().fingerprint() == mark


def test_layout_does_not_count():
    weight = torch.randn(300, 200)
    assert fingerprint.digest([("W", weight)]) == fingerprint.digest([("W", weight.T.clone().T)])
    assert fingerprint.digest([("W", weight)]) != fingerprint.digest([("V", weight)])
    assert fingerprint.digest([("W", weight)]) != fingerprint.digest([("W", weight.view(200, 300))])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_every_number_format(dtype):
    model = wide_model(d_vocab=501).to(dtype)
    mark = model.fingerprint()
    model.embed.W_E.data[500, 63] += 1
    assert model.fingerprint() != mark


def test_weights_made_under_inference_mode():
    with torch.inference_mode():
        model = wide_model()
        mark = model.fingerprint()
        model.embed.W_E[3] = 0
        assert model.fingerprint() != mark
    assert wide_model().fingerprint() == mark


def test_unchanged_weights_are_not_hashed_again(monkeypatch):
    model = wide_model()
    hashed = []
    sha256 = fingerprint.hashlib.sha256
    monkeypatch.setattr(
        fingerprint.hashlib, "sha256", lambda x: hashed.append(memoryview(x).nbytes) or sha256(x)
    )
    model.fingerprint()
    embedding = 500 * 64 * 4
    assert hashed.count(embedding) == 1  # tied to the unembedding, and hashed once
    hashed.clear()
    model.fingerprint()
    assert embedding not in hashed
    with torch.no_grad():
        model.embed.W_E[0] = 1
    model.fingerprint()
    assert hashed.count(embedding) == 1
