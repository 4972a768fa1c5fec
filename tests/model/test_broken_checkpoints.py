"""What is not a GPT-2 in safetensors is refused, with a clear error and before any work."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from interp.model.hf_layout import CheckpointError
from interp.model.hub import MODEL_NAMES, ModelNotFoundError
from interp.model.loading import load
from tests.checkpoints import edit_json, edit_weights, write_checkpoint

FILES = ("config.json", "tokenizer.json", "model.safetensors")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model_type": "llama"}, "'llama'"),
        ({"model_type": "gpt_neo"}, "'gpt_neo'"),
        ({"model_type": None}, "None"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx=True"),
        ({"scale_attn_weights": False}, "scale_attn_weights=False"),
        ({"add_cross_attention": True}, "add_cross_attention=True"),
        ({"activation_function": "silu"}, "activation_function='silu'.*gelu_new"),
        ({"n_layer": None}, "n_layer.*None"),
        ({"n_embd": "32"}, r"n_embd.*'32'"),
        ({"n_head": 3}, "multiple of n_heads"),
        ({"n_positions": 0}, "n_ctx must be at least 1"),
        ({"n_inner": -4}, "d_mlp must be at least 1"),
        ({"layer_norm_epsilon": "small"}, "layer_norm_epsilon.*'small'"),
    ],
)
def test_foreign_configs_are_refused_before_the_weights_are_looked_for(
    tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    write_checkpoint(tmp_path)
    edit_json(tmp_path / "config.json", **fields)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path)


@pytest.mark.parametrize("content", ["{", "[1, 2]", b"\xff\xfe"], ids=["cut", "list", "binary"])
def test_unreadable_json_is_refused(tmp_path: Path, content: str | bytes) -> None:
    data = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "config.json").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load(tmp_path)


def test_truncated_weights_are_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    path = tmp_path / "model.safetensors"
    whole = path.read_bytes()
    for kept in (len(whole) - 1, len(whole) // 2, 100, 4, 0):
        path.write_bytes(whole[:kept])
        with pytest.raises(CheckpointError, match=rf"\({kept} bytes\) is truncated"):
            load(tmp_path)
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n")
    with pytest.raises(CheckpointError, match="git lfs pull"):
        load(tmp_path)


W_IN = "transformer.h.1.mlp.c_fc.weight"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.pop(W_IN), r"missing h\.1\.mlp\.c_fc\.weight"),
        (lambda t: t.update(score=torch.zeros(2, 32)), "unexpected score"),
        (
            lambda t: t.update({W_IN: t[W_IN].T.contiguous()}),
            r"h\.1\.mlp\.c_fc\.weight has shape \(128, 32\), expected \(32, 128\)",
        ),
        (lambda t: t.update({W_IN: t[W_IN].to(torch.int8)}), "stored as I8"),
        (lambda t: t[W_IN][3, 5].fill_(torch.nan), r"h\.1\.mlp\.c_fc\.weight holds NaN"),
        (lambda t: t["transformer.wte.weight"][0, 0].fill_(-torch.inf), r"wte\.weight holds NaN"),
        (lambda t: t.clear(), r"missing wte\.weight.*and \d+ more"),
    ],
    ids=["missing", "unexpected", "mis-shaped", "integers", "nan", "infinite", "empty"],
)
def test_wrong_tensors_are_named(
    tmp_path: Path, edit: Callable[[dict[str, Tensor]], object], message: str
) -> None:
    write_checkpoint(tmp_path)
    edit_weights(tmp_path, edit)
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path)


def test_untied_checkpoint_without_its_unembedding_is_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    edit_json(tmp_path / "config.json", tie_word_embeddings=False)
    with pytest.raises(CheckpointError, match=r"missing lm_head\.weight"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt"])
def test_pickles_are_not_opened(tmp_path: Path, name: str) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "exploded"),)

    write_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError, match=rf"pickle \({name}\).*\n.*\n.*\n.*save_pretrained"):
        load(tmp_path)
    assert not (tmp_path / "exploded").exists()


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"expected config\.json.*found nothing"):
        load(tmp_path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ModelNotFoundError, match=r"found notes\.txt"):
        load(tmp_path)
    write_checkpoint(tmp_path)
    with pytest.raises(ModelNotFoundError, match="is a file; give the directory"):
        load(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ModelNotFoundError, match=r"no model\.safetensors"):
        load(tmp_path)


def test_shards_must_be_there_and_beside_the_index(tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    write_checkpoint(tmp_path / "whole").save_pretrained(shards, max_shard_size="10KB")
    missing = sorted(shards.glob("*.safetensors"))[1]
    missing.unlink()
    with pytest.raises(ModelNotFoundError, match=f"lacks {missing.name}"):
        load(shards)
    for weight_map in (
        {"wte.weight": "../whole/model.safetensors"},
        {},
        None,
        {"wte.weight": "a/b"},
    ):
        edit_json(shards / "model.safetensors.index.json", weight_map=weight_map)
        with pytest.raises(CheckpointError, match="same directory"):
            load(shards)


def test_unknown_names_list_the_models_and_the_nearest() -> None:
    for wrong, near in {
        "gpt-2": "gpt2",
        "openai-community/gpt2-XL": "gpt2-xl",
        "mimi": "mini",
    }.items():
        with pytest.raises(ModelNotFoundError) as caught:
            load(wrong)
        assert f"Did you mean {near!r}?" in str(caught.value)
        assert all(name in str(caught.value) for name in MODEL_NAMES)
    with pytest.raises(ModelNotFoundError) as caught:
        load("no/such/folder")
    assert "Did you mean" not in str(caught.value)
