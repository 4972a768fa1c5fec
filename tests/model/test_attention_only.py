"""Attention weights: those of the whole model, and from files that hold nothing else."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

import interp
from interp.model.hf_layout import CheckpointError
from tests.helpers import hugging_face_gpt2, random_model

NAMES = ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V", "b_O", "ln1_w", "ln1_b", "W_pos")


@pytest.fixture
def whole(tmp_path):
    """A whole checkpoint with heads of width 64."""
    hugging_face_gpt2(n_layer=2, n_head=2, n_embd=128).save_pretrained(tmp_path / "whole")
    return tmp_path / "whole"


@pytest.fixture
def bare(tmp_path, whole):
    """Of the same checkpoint the attention, layer norms and positions alone, and no config."""
    path = tmp_path / "bare"
    path.mkdir()
    tensors = load_file(whole / "model.safetensors")
    kept = {n: t for n, t in tensors.items() if "wte" not in n and not n.endswith("fc.weight")}
    assert len(kept) < len(tensors)
    save_file(kept, path / "model.safetensors", {"format": "pt"})
    return path


def equal(a, b):
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in NAMES)


def test_they_are_those_of_the_model(whole, bare):
    of_model = interp.AttentionWeights.of(interp.load(whole))
    assert equal(interp.load_attention(whole), of_model)
    assert equal(interp.load_attention(bare), of_model)
    assert interp.load_attention(bare).name == "bare"
    assert interp.load_attention("mini").name == "mini"
    assert interp.AttentionWeights.of(of_model) is of_model
    assert "2 layers of 2 heads" in repr(of_model)


def test_folded_weights_are_those_of_the_processed_model():
    model = random_model()
    folded = interp.AttentionWeights.of(model).folded()
    simple = interp.process_weights(model, fold_value_biases=False)
    x = torch.randn(5, 32)
    x = x - x.mean(-1, keepdim=True)  # what a layer norm lets through
    for letter in "QKV":
        read, expected = (getattr(one, f"W_{letter}") for one in (folded, simple))
        torch.testing.assert_close(x @ read[1, 2], x @ expected[1, 2], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(read.sum(-2), torch.zeros(3, 4, 8), atol=1e-4, rtol=0)
    for name in ("b_Q", "b_K", "b_V", "W_O", "b_O", "W_pos"):
        mine, expected = getattr(folded, name), getattr(simple, name)
        torch.testing.assert_close(mine, expected, atol=1e-5, rtol=1e-4, msg=name)
    again = folded.folded()
    for name in NAMES:
        torch.testing.assert_close(getattr(again, name), getattr(folded, name), msg=name)


def test_the_real_weights(shared):
    weights = interp.load_attention(shared / "gpt2-attention")
    assert weights.W_Q.shape == (12, 12, 768, 64) and weights.W_pos.shape == (1024, 768)
    assert weights.W_Q.dtype == torch.float32


def test_heads_are_what_config_or_caller_say(whole, bare):
    fields = json.loads((whole / "config.json").read_text())
    (bare / "config.json").write_text(json.dumps(fields | {"n_head": 4}))
    assert interp.load_attention(bare).n_heads == 4
    assert interp.load_attention(bare, n_heads=8).d_head == 16
    with pytest.raises(CheckpointError, match="pass n_heads"):
        interp.load_attention(bare, n_heads=7)


@pytest.mark.parametrize("lost", ["wpe.weight", "h.1.attn.c_proj.bias"])
def test_a_missing_tensor(bare, lost):
    file = bare / "model.safetensors"
    tensors = load_file(file)
    del tensors[f"transformer.{lost}"]
    save_file(tensors, file)
    with pytest.raises(CheckpointError, match=f"missing {lost}"):
        interp.load_attention(bare)


def test_damaged_values(bare):
    file = bare / "model.safetensors"
    tensors = load_file(file)
    tensors["transformer.h.0.ln_1.weight"][3] = torch.nan
    save_file(tensors, file)
    with pytest.raises(CheckpointError, match=r"h.0.ln_1.weight holds NaN"):
        interp.load_attention(bare)
