"""Saving: Hugging Face reads back the very bits, and a failure costs nothing that was there."""

import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import interp
from interp.model.hf_layout import CheckpointError
from tests.checkpoints import WORDS, write_checkpoint
from tests.helpers import random_model

TOKENS = torch.tensor([[1, 2, 3, 4, 5, 6, 1, 30]])


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_transformers_reads_back_the_very_bits(
    tmp_path: Path, tied: bool, dtype: torch.dtype
) -> None:
    theirs = write_checkpoint(tmp_path / "a", tie_word_embeddings=tied, n_inner=24).to(dtype)
    interp.load(tmp_path / "a", dtype=dtype).save(tmp_path / "b")
    back, info = AutoModelForCausalLM.from_pretrained(
        tmp_path / "b", output_loading_info=True, attn_implementation="eager"
    )
    assert not any(info.values()), info
    assert back.dtype == dtype
    expected = theirs.state_dict()
    assert back.state_dict().keys() == expected.keys()
    for name, tensor in back.state_dict().items():
        assert torch.equal(tensor.view(torch.uint8), expected[name].view(torch.uint8)), name
    assert (back.lm_head.weight is back.transformer.wte.weight) == tied
    assert torch.equal(back(TOKENS).logits, theirs(TOKENS).logits)


def test_a_model_of_ours_is_the_same_function_in_transformers(tmp_path: Path) -> None:
    ours = random_model(eps=0.1, act_fn="relu", tied=False)  # type: ignore[arg-type]
    ours.save(tmp_path / "new" / "checkpoint")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "new" / "checkpoint")
    torch.testing.assert_close(
        ours(TOKENS).log_softmax(-1), theirs(TOKENS).logits.log_softmax(-1), atol=2e-5, rtol=0
    )


def test_saving_again_writes_the_same_bytes(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a", words=WORDS)
    interp.load(tmp_path / "a").save(tmp_path / "b")
    interp.load(tmp_path / "b").save(tmp_path / "c")
    assert contents(tmp_path / "b") == contents(tmp_path / "c")
    stored = {name: load_file(tmp_path / name / "model.safetensors") for name in "ab"}
    assert stored["a"].keys() == stored["b"].keys()


def test_config_and_tokenizer_travel_along(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a", words=WORDS)
    model = interp.load(tmp_path / "a")
    model.save(tmp_path / "b")
    again = interp.load(tmp_path / "b")
    assert again.config == model.config
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "b")
    assert tokenizer("John gave Mary")["input_ids"] == [2, 3, 1]
    assert (
        tokenizer.eos_token,
        json.loads((tmp_path / "b/config.json").read_text())["eos_token_id"],
    ) == (
        "<|endoftext|>",
        0,
    )


def test_replaces_the_checkpoint_that_the_model_is_mapped_from(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, words=WORDS)
    (tmp_path / "README.md").write_text("the card")
    model = interp.load(tmp_path)
    with torch.no_grad():
        model.blocks[1].mlp.b_in += 1
    expected = model.blocks[1].mlp.b_in.clone()
    model.tokenizer = None
    model.save(tmp_path)
    again = interp.load(tmp_path)
    assert torch.equal(again.blocks[1].mlp.b_in, expected)
    assert torch.equal(model.blocks[1].mlp.b_in, expected)
    assert again.tokenizer is None  # that of the earlier checkpoint is gone
    assert (tmp_path / "README.md").read_text() == "the card"
    assert not list(tmp_path.glob(".saving-*"))


def test_weights_are_as_readable_as_the_config(tmp_path: Path) -> None:
    random_model().save(tmp_path)
    modes = {(tmp_path / name).stat().st_mode for name in ("config.json", "model.safetensors")}
    assert len(modes) == 1


@contextmanager
def file_size_limit(n_bytes: int) -> Iterator[None]:
    """No file may grow beyond this: the write fails half-way, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "old", words=WORDS)
    before = contents(tmp_path / "old")
    model = interp.load(tmp_path / "old")
    with torch.no_grad():
        model.embed.W_E += 1
    for target in ("old", "new"):
        with (
            file_size_limit(20_000),
            pytest.raises(OSError, match=rf"could not write.*{target}.*unchanged"),
        ):
            model.save(tmp_path / target)
    assert contents(tmp_path / "old") == before
    assert not (tmp_path / "new").exists()
    model.save(tmp_path / "new")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", '{"model_type": "llama"}', "not that of a GPT-2"),
        ("config.json", '{"port": 80}', "not that of a GPT-2"),
        ("config.json", "[1]", "not that of a GPT-2"),
        ("config.json", "port: 80", "not that of a GPT-2"),
        ("model.safetensors.index.json", "{}", "sharded"),
    ],
)
def test_other_peoples_files_are_not_overwritten(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(CheckpointError, match=message):
        random_model().save(tmp_path)
    assert contents(tmp_path) == {name: content.encode()}


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.touch()
    with pytest.raises(NotADirectoryError, match="save needs a directory"):
        random_model().save(path)


def test_what_gpt2_cannot_hold_is_refused(tmp_path: Path) -> None:
    model = random_model()
    with torch.no_grad():
        model.unembed.b_U[3] = 0.5
    with pytest.raises(CheckpointError, match=r"unembed\.b_U"):
        model.save(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_unembedding_untied_by_hand_is_not_lost_silently(tmp_path: Path) -> None:
    model = random_model()
    model.unembed.weight = torch.nn.Parameter(model.embed.W_E + 1)
    with pytest.raises(CheckpointError, match=r"config\.tied"):
        model.save(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_processed_weights_without_a_bias_are_saved_untied(tmp_path: Path) -> None:
    model = random_model(tied=False)
    with torch.no_grad():
        model.ln_final.b.zero_()
    processed: Any = interp.process_weights(model)
    processed.save(tmp_path)
    torch.testing.assert_close(interp.load(tmp_path)(TOKENS), processed(TOKENS))


@pytest.mark.parametrize("failing", range(6))
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_when_a_file_cannot_be_moved_none_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int, error: type[BaseException]
) -> None:
    write_checkpoint(tmp_path / "a", words=WORDS)
    before = contents(tmp_path / "a")
    replace, calls = os.replace, []

    def move(source: Any, target: Any) -> None:
        calls.append(source)
        if len(calls) == failing + 1:
            raise error("no more room")
        replace(source, target)

    monkeypatch.setattr(os, "replace", move)
    with pytest.raises(error):
        random_model().save(tmp_path / "a")
    assert contents(tmp_path / "a") == before
    if failing < 2:  # into an empty place there are two files to move
        calls.clear()
        with pytest.raises(error):
            random_model().save(tmp_path / "new")
        assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_could_not_be_loaded_are_not_saved(tmp_path: Path, value: float) -> None:
    write_checkpoint(tmp_path)
    before, model = contents(tmp_path), random_model()
    with torch.no_grad():
        model.ln_final.b[3] = value
    with pytest.raises(CheckpointError, match=r"ln_final\.b holds NaN or infinite"):
        model.save(tmp_path)
    assert contents(tmp_path) == before
