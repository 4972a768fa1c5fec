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

TINY = GPT2Config(n_layers=1, n_heads=2, d_model=8, d_mlp=16, d_vocab=2048, n_ctx=128)


def make(folder: Path, **options: int) -> HookedGPT2:
    options = {"steps": 2, "n_prompts": 4, **options}
    return train_mini.run(folder / "mini", shape=TINY, checkpoints=folder / "checkpoint", **options)


def test_recipe_writes_a_model_that_both_libraries_open_and_a_card(tmp_path: Path) -> None:
    model = make(tmp_path)
    tokens = torch.tensor([[1, 2, 3]])
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "mini")
    with torch.inference_mode():
        torch.testing.assert_close(load(tmp_path / "mini")(tokens), model(tokens))
        torch.testing.assert_close(theirs(tokens).logits, model(tokens))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "mini")
    assert len(tokenizer) == model.config.d_vocab
    assert tokenizer.model_max_length == model.config.n_ctx
    card = (tmp_path / "mini" / "README.md").read_text(encoding="utf-8")
    assert "2 steps of 2560 tokens" in card and "MISSED" in card


def test_same_seed_same_file_another_seed_another(tmp_path: Path) -> None:
    files = []
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        make(tmp_path / folder, steps=1, seed=seed)
        files.append((tmp_path / folder / "mini" / "model.safetensors").read_bytes())
    assert files[0] == files[1] != files[2]


def test_evaluation_prints_the_figures_and_fails_when_one_is_missed(tmp_path: Path) -> None:
    make(tmp_path, steps=1)
    app = typer.Typer()
    app.command()(evaluate_mini.main)
    result = CliRunner().invoke(app, ["--model", str(tmp_path / "mini"), "--n", "4"])
    assert result.exit_code == 1
    for words in ("greater-than", "probability", "induction", "agreement", ">= 0.99"):
        assert words in result.output


def test_initial_weights_have_gpt2_sized_activations() -> None:
    config = GPT2Config(n_layers=2, n_heads=2, d_model=48, d_mlp=192, d_vocab=500, n_ctx=64)
    model = train_mini._widen_initial_weights(HookedGPT2(config))
    assert model.W_Q.std().item() == pytest.approx(0.02 * 4, rel=0.05)  # sqrt(768 / 48) = 4
    assert model.W_E.std().item() == pytest.approx(0.02 * 8, rel=0.05)
