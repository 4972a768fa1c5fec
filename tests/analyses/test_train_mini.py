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
from interp.training import validation_loss

TINY = GPT2Config(n_layers=2, n_heads=2, d_model=8, d_mlp=16, d_vocab=2048, n_ctx=128)


def make(folder: Path, seed: int = 0) -> HookedGPT2:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(train_mini, "BATCH_TOKENS", 640)
        return train_mini.run(
            folder, steps=(2, 1, 1, 1, 1, 1), seed=seed, shape=TINY, n_documents=1000, n_prompts=8,
            checkpoints=folder / "checkpoint",
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
    assert "2 steps of 640 tokens" in card and "1 steps of" in card and "MISSED" in card


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


def test_initial_weights_give_activations_of_gpt2s_size() -> None:
    config = GPT2Config(n_layers=2, n_heads=2, d_model=48, d_mlp=192, d_vocab=500, n_ctx=64)
    model = train_mini._widen_initial_weights(HookedGPT2(config))
    assert model.W_Q.std().item() == pytest.approx(0.02 * 4, rel=0.05)  # sqrt(768 / 48) = 4
    assert model.W_E.std().item() == pytest.approx(0.02 * 8, rel=0.05)


def test_a_head_that_writes_nothing_is_the_one_that_the_loss_can_best_do_without() -> None:
    model = train_mini._widen_initial_weights(HookedGPT2(TINY))
    with torch.no_grad():
        model.blocks[1].attn.W_O[0] = 0
    batches = [torch.randint(0, TINY.d_vocab, (3, 9), generator=torch.Generator().manual_seed(0))]
    silent, speaking = train_mini.losses_without_heads(model, 1, batches)
    whole = validation_loss(model, batches)
    assert silent == pytest.approx(whole, abs=1e-6)
    assert abs(speaking - whole) > 1e-4
    attn = model.blocks[1].attn
    _, cache = model.run_with_cache(batches[0], names_filter="blocks.1.attn.hook_z")
    mean = cache["blocks.1.attn.hook_z"][:, :, 1].mean((0, 1))  # what the head says all the time,
    with torch.no_grad():  # which a bias says as well
        attn.b_O += mean @ attn.W_O[1]
        attn.W_O[1] = 0
    assert speaking == pytest.approx(validation_loss(model, batches), abs=1e-5)
