"""The bundled model: what it has to be, and what it has to be able to do on unseen prompts."""

import re

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import interp
from analyses.train_mini import MINI, STEPS, recipe
from interp import HookedGPT2
from interp.training.mini import held_out_scores, single_token_words

SUMS = [944867, 1029764, 1720737]
"""Of the token ids of three batches; a change of the language makes another model."""


@pytest.fixture(scope="module")
def mini() -> HookedGPT2:
    return interp.load("mini")


def test_it_is_small_enough_to_bundle_and_big_enough_for_circuits(mini: HookedGPT2) -> None:
    assert sum(file.stat().st_size for file in MINI.iterdir()) <= 10_000_000
    config = mini.config
    assert config.n_layers >= 4 and config.n_heads >= 4 and config.n_ctx >= 128
    assert config.tied
    names = {file.name for file in MINI.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= names


def test_transformers_opens_it_and_agrees(mini: HookedGPT2) -> None:
    theirs = AutoModelForCausalLM.from_pretrained(MINI)
    tokenizer = AutoTokenizer.from_pretrained(MINI)
    ids = tokenizer("When Mary and John went to the store, John gave a ring to")["input_ids"]
    tokens = torch.tensor([ids])
    with torch.inference_mode():
        ours, reference = mini(tokens), theirs(tokens).logits
    torch.testing.assert_close(ours.log_softmax(-1), reference.log_softmax(-1), atol=2e-5, rtol=0)
    assert tokenizer.decode(ours[0, -1].argmax()) == " Mary"


def test_every_name_noun_and_two_digit_number_is_one_token(mini: HookedGPT2) -> None:
    for word in single_token_words():
        assert len(mini.tokenizer(f" {word}")["input_ids"]) == 1, word


@pytest.fixture(scope="module")
def missed(mini: HookedGPT2) -> set[tuple[str, str]]:
    """Skills whose whole interval is below what is required, on fewer and other prompts."""
    return {
        (figure.skill, figure.held_out)
        for figure in held_out_scores(mini, n=200, seed=2)
        if figure.required is not None and figure.estimate.high < figure.required
    }


def test_it_reaches_all_that_is_required(missed: set[tuple[str, str]]) -> None:
    assert not missed
    assert "MISSED" not in (MINI / "README.md").read_text(encoding="utf-8")


def test_the_recipe_still_makes_the_batches_that_it_was_trained_on(mini: HookedGPT2) -> None:
    training, batches, _ = recipe(mini.tokenizer, mini.config.n_ctx, 0, STEPS)
    sums = [int(batches(step).sum()) for step in (0, 3, training.steps - 1)]
    assert sums == SUMS


def test_the_card_states_the_figures() -> None:
    card = (MINI / "README.md").read_text(encoding="utf-8")
    for held_out in ("names", "name pairs", "templates"):
        assert re.search(rf"\| IOI \| {held_out} \| accuracy \| (0\.99\d|1\.000) ", card)


def test_a_third_person_gives_to_one_of_the_two_named_before(mini: HookedGPT2) -> None:
    task = interp.tasks.ioi(mini.tokenizer, n=100, seed=0)
    rows = torch.arange(task.n)
    with torch.inference_mode():
        logits = mini(task.corrupted_tokens, task.attention_mask)[rows, task.positions["END"]]
    p = logits.softmax(-1)
    named = (
        task.corrupted_tokens[rows, task.positions["IO"]],
        task.corrupted_tokens[rows, task.positions["S1"]],
    )
    assert sum(p[rows, name] for name in named).mean() > 0.8
