"""The recipe of `mini-ioi`, for two steps: the model, its circuit, its card, and a run again."""

from pathlib import Path
from random import Random

import pytest
import torch

import interp
from analyses import train_mini_ioi
from interp.circuits import Circuit
from interp.parts import as_head
from interp.training.mini.algorithm import PROGRAM, Draw


def make(folder: Path) -> interp.HookedGPT2:
    return train_mini_ioi.run(folder, steps=2, rows=12, n_prompts=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two steps") / "mini-ioi"
    make(folder)
    return folder


def test_it_writes_the_model_its_circuit_and_its_card(folder: Path) -> None:
    model = interp.load(folder)
    circuit = Circuit.load(folder / "circuit.json")
    circuit.require_model(model)
    parts = train_mini_ioi.parts_of(interp.load("mini"))
    assert {as_head(member.part) for member in circuit.heads_of("name mover")} == {
        (head.layer, head.head) for head in parts.movers
    }
    card = (folder / "README.md").read_text(encoding="utf-8")
    for words in (
        "2 steps of 12 sentences",
        "learning rate 0.001",
        "S-inhibition, at END",
        "avoid",
    ):
        assert words in card
    assert not torch.equal(model.W_Q, interp.load("mini").W_Q)


def test_the_same_seed_gives_the_same_weights(folder: Path, tmp_path: Path) -> None:
    make(tmp_path / "mini-ioi")
    ours, theirs = (
        (path / "model.safetensors").read_bytes() for path in (folder, tmp_path / "mini-ioi")
    )
    assert ours == theirs


def test_a_model_without_such_heads_is_refused() -> None:
    mini = interp.load("mini")
    with torch.no_grad():
        for block in mini.blocks:
            block.attn.W_Q.zero_()
            block.attn.b_QKV.zero_()
    with pytest.raises(ValueError, match="no head that attends from END to S2"):
        train_mini_ioi.parts_of(mini, n=20)


def test_the_program_says_the_name_that_is_not_repeated() -> None:
    a, b, c = (torch.tensor([token]) for token in (5, 6, 7))
    for giver, wanted in ((a, {6: 1.0}), (b, {5: 1.0}), (c, {5: 0.5, 6: 0.5})):
        values = PROGRAM({"name 1": a, "name 2": b, "name 3": giver})
        (answer,) = PROGRAM.answer(values, 9)
        assert {i: float(p) for i, p in enumerate(answer) if p} == wanted
        other = PROGRAM({"name 1": a, "name 2": b, "name 3": giver}, {"avoid": a})
        assert PROGRAM.answer(other, 9)[0, 6] == 1


def test_three_prompts_of_one_sentence_differ_in_their_names_alone() -> None:
    tokenizer = interp.load("mini").tokenizer
    base, source, other = Draw(tokenizer)(Random(0), 24)
    rows = torch.arange(24)
    for side in (base, source, other):
        for role, name in (("N1", "name 1"), ("N2", "name 2"), ("S2", "name 3")):
            assert torch.equal(side.tokens[rows, side.positions[role]], side.inputs[name])
        differs = side.tokens != base.tokens
        for role in ("N1", "N2", "S2"):
            differs[rows, side.positions[role]] = False
        assert not differs.any()
    named = torch.stack([other.inputs[f"name {i}"] for i in (1, 2, 3)], 1)
    assert all(len(set(row.tolist())) == 3 for row in named)  # nothing is repeated there
