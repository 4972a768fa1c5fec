"""Induction by hand: ... A B ... A -> B, with a previous-token head and an induction head.

    previous token   attends to the token before, writes which it was into "before"
    induction        at A the second time, attends to where "before" is A, copies the token there

Nothing in the prompts except the repetition says what comes next.

Source: Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"; Olsson et al. 2022
(arXiv 2209.11895).
"""

import random

import torch

from interp.circuits.known.byhand import Workbench
from interp.circuits.known.circuits import KnownCircuit, Plan
from interp.circuits.known.words import word_tokenizer
from interp.model import HookedGPT2
from interp.tasks import Task
from interp.tasks.tokens import encode_pairs

START = "list"
WORDS = (
    *("apple", "river", "stone", "cloud", "tiger", "lemon", "chair"),
    *("piano", "honey", "torch", "maple", "rabbit", "candle", "anchor"),
)
_LENGTH = 8  # tokens between the first and the last
_SHARP, _REST = 16.0, 8.0  # scores of the key that is looked for, and of the first token


def build(seed: int) -> tuple[HookedGPT2, Plan]:
    """Build the model and its circuit.

    Args:
        seed: seed of the rotation, and of the places of heads in their layers
    """
    tokenizer, n = word_tokenizer([START, *WORDS]), len(WORDS)
    bench = Workbench(
        "induction by hand",
        tokenizer,
        dict.fromkeys(("word", "before", "out", "junk"), n),
        n_layers=3,
        n_heads=3,
        d_head=24,
        n_ctx=_LENGTH + 2,
        seed=seed,
    )
    for i, word in enumerate(WORDS):
        token = tokenizer.convert_tokens_to_ids(word)
        bench.embed(token, "word", i)
        bench.unembed(token, "out", i, 8.0)

    plan = Plan()
    previous = bench.head(0).match("position", "position", _SHARP, back=1).move("word", "before")
    induction = bench.head(1).match("word", "before", _SHARP).look("position", _REST, at=0)
    induction.move("word", "out")
    before, after = (
        plan.add([previous], "previous token", "A1+1"),
        plan.add([induction], "induction", "END"),
    )
    plan.link(None, "A1", before, "A1+1", "v")
    plan.link(before, "A1+1", after, "END", "k")
    plan.link(None, "END", after, "END", "q")
    plan.link(None, "A1+1", after, "END", "v")
    plan.link(after, "END", None, "END")

    bench.head(0).match("position", "position", _SHARP, back=1).move("word", "junk")
    bench.head(1).match("word", "before", _SHARP).look("position", _REST, at=0).move("word", "junk")
    bench.head(2).match("position", "position", _SHARP, back=1).move("before", "junk")
    bench.head(2).look("word", 1.0).raise_all("out", 0.3)
    return bench.model, plan


def draw(model: HookedGPT2, n: int, seed: int) -> Task:
    """Draw prompts: each word once, except the last, which occurred before.

    The answer is the word that followed it there, the foil the word after some other one. In the
    corrupted partner, other words stand at A1, A1+1 and END, and no word occurs twice.

    Args:
        model: the model
        n: number of prompts
        seed: seed of the words and places

    Returns:
        The task, with roles A1, A1+1 and END; prompts with the same place of A1 form a group.
    """
    rng = random.Random(f"induction by hand {seed}")
    clean, corrupted, answers, foils, places = [], [], [], [], []
    for i in range(n):
        words = rng.sample(WORDS, _LENGTH + 3)
        words, fresh = words[:_LENGTH], words[_LENGTH:]
        at = i % (_LENGTH - 3) + 1  # early enough that A1+1 is not END
        partner = [*words[: at - 1], *fresh[:2], *words[at + 1 :]]
        other = rng.choice([p for p in range(1, _LENGTH) if p not in (at - 1, at)])
        clean.append(" ".join([START, *words, words[at - 1]]))
        corrupted.append(" ".join([START, *partner, fresh[2]]))
        answers.append(words[at])
        foils.append(words[other])
        places.append(at)
    tokens, others, mask = encode_pairs(model.tokenizer, clean, corrupted)
    where = torch.tensor(places)
    return Task(
        "induction by hand",
        tuple(clean),
        tuple(corrupted),
        clean_tokens=tokens,
        corrupted_tokens=others,
        attention_mask=mask,
        answer=torch.tensor(model.tokenizer.convert_tokens_to_ids(answers)),
        foil=torch.tensor(model.tokenizer.convert_tokens_to_ids(foils)),
        positions={"A1": where, "A1+1": where + 1, "END": torch.full((n,), _LENGTH + 1)},
        group=tuple(f"A1 at {at}" for at in places),
        template=("",) * n,
        order=("",) * n,
    )


def known(n: int, seed: int) -> KnownCircuit:
    """Model, task and circuit."""
    model, plan = build(seed)
    task = draw(model, n, seed)
    return KnownCircuit(model, task, plan.circuit(model, task))
