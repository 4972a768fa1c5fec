"""Loading: the same function as Hugging Face's model, no second copy, and its own tokenizer."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

from interp.model.hf_layout import CheckpointError
from interp.model.loading import load
from tests.checkpoints import WORDS, edit_weights, write_checkpoint, write_tokenizer

TOKENS = torch.tensor([[1, 2, 3, 4, 5, 6, 1, 30], [6, 5, 4, 3, 2, 1, 0, 49]])
LINUX = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads /proc, as on Linux")


def drop_prefix(tensors: dict[str, Tensor]) -> None:
    for name in list(tensors):
        tensors[name.removeprefix("transformer.")] = tensors.pop(name)


def assert_same_function(directory: Path, reference: GPT2LMHeadModel) -> None:
    with torch.inference_mode():
        expected = reference(TOKENS).logits.log_softmax(-1)
        torch.testing.assert_close(
            load(directory)(TOKENS).log_softmax(-1), expected, atol=2e-5, rtol=0
        )


@pytest.mark.parametrize("prefix", [True, False])
@pytest.mark.parametrize(
    "config",
    [
        {},
        {"tie_word_embeddings": False},
        {"activation_function": "gelu", "n_inner": 24},
        {"activation_function": "relu", "layer_norm_epsilon": 0.1},
    ],
    ids=["tied", "untied", "gelu-narrow", "relu-eps"],
)
def test_log_probabilities_are_hugging_faces(
    tmp_path: Path, config: dict[str, Any], prefix: bool
) -> None:
    reference = write_checkpoint(tmp_path, **config)
    if not prefix:
        edit_weights(tmp_path, drop_prefix)
    assert_same_function(tmp_path, reference)


def test_shards_are_read(tmp_path: Path) -> None:
    reference = write_checkpoint(tmp_path / "whole")
    reference.save_pretrained(tmp_path / "shards", max_shard_size="10KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    assert not (tmp_path / "shards" / "model.safetensors").exists()
    assert_same_function(tmp_path / "shards", reference)


def test_masks_stored_by_old_transformers_are_ignored(tmp_path: Path) -> None:
    reference = write_checkpoint(tmp_path)

    def add_buffers(tensors: dict[str, Tensor]) -> None:
        tensors["transformer.h.0.attn.bias"] = torch.ones(1, 1, 32, 32, dtype=torch.uint8)
        tensors["transformer.h.1.attn.masked_bias"] = torch.tensor(-1e4)

    edit_weights(tmp_path, add_buffers)
    assert_same_function(tmp_path, reference)


def test_tied_embeddings_are_one_parameter_also_when_stored_twice(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    edit_weights(
        tmp_path, lambda t: t.update({"lm_head.weight": t["transformer.wte.weight"].clone()})
    )
    model = load(tmp_path)
    assert model.unembed.weight is model.embed.W_E
    assert model.embed.W_E.requires_grad
    assert not model.unembed.b_U.requires_grad
    edit_weights(tmp_path, lambda t: t["lm_head.weight"].add_(1))
    with pytest.raises(CheckpointError, match=r"lm_head\.weight differs"):
        load(tmp_path)


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_become_float32_unless_a_dtype_is_given(
    tmp_path: Path, stored: torch.dtype
) -> None:
    reference = write_checkpoint(tmp_path).to(stored)
    reference.save_pretrained(tmp_path)
    c_fc = reference.transformer.h[1].mlp.c_fc.weight
    assert {p.dtype for p in load(tmp_path).parameters()} == {torch.float32}
    assert torch.equal(load(tmp_path).blocks[1].mlp.W_in, c_fc.float())
    as_stored = load(tmp_path, dtype=stored)
    assert {p.dtype for p in as_stored.parameters()} == {stored}
    assert torch.equal(as_stored.blocks[1].mlp.W_in, c_fc)


def test_device_and_dtype_are_checked(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    assert load(tmp_path, device="meta").device.type == "meta"
    with pytest.raises(ValueError, match=r"floating-point.*int64"):
        load(tmp_path, dtype=torch.int64)


def mapped_ranges(path: Path) -> list[tuple[int, int]]:
    lines = [line for line in Path("/proc/self/maps").read_text().splitlines() if str(path) in line]
    return [tuple(int(end, 16) for end in line.split()[0].split("-")) for line in lines]  # type: ignore[misc]


def status_kib(field: str) -> int:
    return int(re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())[1])  # type: ignore[index]


@LINUX
def test_parameters_lie_in_the_mapped_file_and_writing_leaves_the_file(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, tie_word_embeddings=False)
    path = (tmp_path / "model.safetensors").resolve()
    model, before = load(tmp_path), path.read_bytes()
    ranges = mapped_ranges(path)
    for name, parameter in model.named_parameters():
        inside = any(low <= parameter.data_ptr() < high for low, high in ranges)
        assert inside or name == "unembed.b_U", name
    with torch.no_grad():
        model.embed.W_E.zero_()
    assert path.read_bytes() == before


@LINUX
def test_loading_half_a_gigabyte_takes_no_second_copy(tmp_path: Path) -> None:
    """GPT-2 small's size: RSS may grow by the mapped file, private memory hardly at all."""
    with torch.device("meta"):
        reference = GPT2LMHeadModel(GPT2Config())
    reference.to_empty(device="cpu").tie_weights()
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.fill_(0.01)
    reference.save_pretrained(tmp_path)
    del reference, parameter
    size = (tmp_path / "model.safetensors").stat().st_size / 1024  # KiB
    assert size > 450_000
    try:
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    except OSError:
        pytest.skip("the kernel does not let a process reset its peak memory")
    private, resident = status_kib("RssAnon"), status_kib("VmRSS")
    model = load(tmp_path)
    (tmp_path / "model.safetensors").unlink()  # pytest keeps its folders, the mapping keeps itself
    assert status_kib("RssAnon") - private < 0.05 * size
    assert status_kib("VmHWM") - resident < 1.1 * size
    assert model.config.n_layers == 12


def test_tokenizer_is_the_checkpoints_own(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, words=WORDS)
    assert load(tmp_path).tokenizer("John gave Mary")["input_ids"] == [2, 3, 1]
    (tmp_path / "tokenizer_config.json").unlink()  # tokenizer.json alone is enough
    alone = load(tmp_path).tokenizer
    assert alone("John gave Mary")["input_ids"] == [2, 3, 1]
    assert (alone.eos_token, alone.eos_token_id) == ("<|endoftext|>", 0)


def test_vocabulary_and_merges_are_a_tokenizer_too(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    vocabulary = {"<|endoftext|>": 0, "a": 1, "b": 2, "ab": 3}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    with pytest.raises(CheckpointError, match=r"half a tokenizer: it lacks merges\.txt"):
        load(tmp_path)
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n")
    tokenizer = load(tmp_path).tokenizer
    assert tokenizer("abb")["input_ids"] == [3, 2]
    assert tokenizer.eos_token_id == 0


def test_without_a_tokenizer_the_model_takes_ids(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    model = load(tmp_path)
    assert model.tokenizer is None
    assert model(TOKENS).shape == (2, 8, 50)


def test_wrong_tokenizers_are_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    write_tokenizer(tmp_path, [f"word{i}" for i in range(51)])
    with pytest.raises(CheckpointError, match="51 tokens, the embedding only 50"):
        load(tmp_path)
    for damaged in ("{}", '{"version": "1.0", "model": {"type": "BPE"}}', "{"):
        (tmp_path / "tokenizer.json").write_text(damaged)
        with pytest.raises(CheckpointError, match="tokenizer cannot be read"):
            load(tmp_path)


def test_gpt2s_own_tokenizer_reads_as_with_transformers(tmp_path: Path, shared: Path) -> None:
    real = shared / "gpt2-tokenizer"
    write_checkpoint(tmp_path, vocab_size=50257, bos_token_id=50256, eos_token_id=50256)
    expected = AutoTokenizer.from_pretrained(real)
    texts = ["When Mary and John", " don't  17 32\n\tcaf\u00e9 \U0001f600", "<|endoftext|> a"]
    for files in (("tokenizer.json",), ("vocab.json", "merges.txt")):
        for file in files:
            shutil.copy(real / file, tmp_path)
        tokenizer = load(tmp_path).tokenizer
        assert tokenizer(texts)["input_ids"] == expected(texts)["input_ids"]
        assert tokenizer.decode(tokenizer(texts[1])["input_ids"]) == texts[1]
        assert tokenizer.eos_token_id == tokenizer.bos_token_id == 50256
        (tmp_path / files[0]).unlink()
