"""The whole recipe, on a model far too small to learn: the files are right and reproducible."""

from pathlib import Path

import pytest
import torch
import typer
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from analyses import evaluate_mini, train_mini
from interp import GPT2Config, HookedGPT2
from interp.model.loading import load

TINY = GPT2Config(n_layers=2, n_heads=2, d_model=8, d_mlp=16, d_vocab=2048, n_ctx=128)


def make(
    folder: Path, seed: int = 0, resume: bool = False, checkpoints: Path | None = None
) -> HookedGPT2:
    return train_mini.run(
        folder, steps=3, seed=seed, shape=TINY, n_documents=3000, n_prompts=8, resume=resume,
        checkpoints=checkpoints or folder / "checkpoint",
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mini")
    make(folder)
    return folder


def test_recipe_writes_a_model_that_both_libraries_open_and_a_card(folder: Path) -> None:
    model, theirs = load(folder), AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokens = torch.tensor([tokenizer("When Mary and John went")["input_ids"]])
    with torch.inference_mode():
        torch.testing.assert_close(theirs(tokens).logits, model(tokens))
    assert len(tokenizer) == model.config.d_vocab
    assert tokenizer.model_max_length == model.config.n_ctx
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "3 steps of 2560 tokens" in card and "MISSED" in card


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_gives_the_same_file_and_no_other_does(
    folder: Path, tmp_path: Path, seed: int
) -> None:
    make(tmp_path, seed)
    ours, theirs = ((path / "model.safetensors").read_bytes() for path in (folder, tmp_path))
    assert (ours == theirs) == (seed == 0)


def test_evaluation_prints_the_figures_and_fails_when_one_is_missed(folder: Path) -> None:
    app = typer.Typer()
    app.command()(evaluate_mini.main)
    result = CliRunner().invoke(app, ["--model", str(folder), "--n", "8"])
    assert result.exit_code == 1
    for words in ("greater-than", "probability", "induction", "agreement", ">= 0.99"):
        assert words in result.output


def test_a_finished_run_is_resumed_to_the_same_file(folder: Path, tmp_path: Path) -> None:
    make(tmp_path, resume=True, checkpoints=folder / "checkpoint")
    ours, theirs = ((path / "model.safetensors").read_bytes() for path in (folder, tmp_path))
    assert ours == theirs
