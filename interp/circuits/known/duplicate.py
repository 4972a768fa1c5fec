"""Duplicate-token detection by hand: which of the words occurs twice?

duplicate token   attends to an earlier copy of its word, else to the first token; writes what
                  it found into "twice", so that only the second of two copies has something
                  there
mover             from the last token attends to whatever has something in "twice", copies the
                  word there
"""

import random

import torch

from interp.circuits.known.byhand import Workbench
from interp.circuits.known.circuits import KnownCircuit, Plan
from interp.circuits.known.induction import START, WORDS
from interp.circuits.known.words import word_tokenizer
from interp.model import HookedGPT2
from interp.tasks import Task
from interp.tasks.tokens import encode_pairs

LAST = "twice"
_LENGTH = 7
_SHARP, _REST = 16.0, 8.0
_PLACES = ((1, 3), (2, 5), (1, 6), (3, 6), (2, 4))  # of the two copies


def build(seed: int) -> tuple[HookedGPT2, Plan]:
    """Build the model and its circuit.

    Args:
        seed: seed of the rotation, and of the places of heads in their layers
    """
    tokenizer, n = word_tokenizer([START, LAST, *WORDS]), len(WORDS)
    bench = Workbench(
        "duplicate by hand",
        tokenizer,
        dict.fromkeys(("word", "twice", "out", "junk"), n),
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
    duplicate = bench.head(0).match("word", "word", _SHARP)
    duplicate.match("position", "position", -2 * _SHARP)  # not itself
    duplicate.look("position", _REST, at=0).move("word", "twice")
    mover = bench.head(2).look("twice", _SHARP).look("position", _REST, at=0).move("word", "out")
    first = plan.add([duplicate], "duplicate token", "X2")
    second = plan.add([mover], "mover", "END")
    plan.link(None, "X2", first, "X2", "q")
    plan.link(None, "X1", first, "X2", "k")
    plan.link(first, "X2", second, "END", "k")
    plan.link(None, "X2", second, "END", "v")
    plan.link(second, "END", None, "END")

    bench.head(0).match("position", "position", _SHARP, back=1).move("word", "junk")
    bench.head(1).look("twice", _SHARP).look("position", _REST, at=0).move("word", "junk")
    bench.head(1).look("word", 1.0).move("word", "junk")
    bench.head(2).look("word", 1.0).raise_all("out", 0.3)
    return bench.model, plan


def draw(model: HookedGPT2, n: int, seed: int) -> Task:
    """Draw prompts: each word once, except one that occurs twice, and then a closing word.

    The answer is the word that occurs twice, the foil any other. In the corrupted partner, other
    words stand at X1 and X2, and no word occurs twice.

    Args:
        model: the model
        n: number of prompts
        seed: seed of the words

    Returns:
        The task, with roles X1, X2 and END; prompts with the same places of X1 and X2 form a group.
    """
    rng = random.Random(f"duplicate by hand {seed}")
    clean, corrupted, answers, foils = [], [], [], []
    places = [_PLACES[i % len(_PLACES)] for i in range(n)]
    for first, second in places:
        words = rng.sample(WORDS, _LENGTH + 2)
        words, fresh = words[:_LENGTH], words[_LENGTH:]
        partner = list(words)
        words[second] = words[first]
        partner[first], partner[second] = fresh
        clean.append(" ".join([START, *words, LAST]))
        corrupted.append(" ".join([START, *partner, LAST]))
        answers.append(words[first])
        foils.append(rng.choice([word for word in words if word != words[first]]))
    tokens, others, mask = encode_pairs(model.tokenizer, clean, corrupted)
    first, second = torch.tensor(places).T + 1
    return Task(
        "duplicate by hand",
        tuple(clean),
        tuple(corrupted),
        clean_tokens=tokens,
        corrupted_tokens=others,
        attention_mask=mask,
        answer=torch.tensor(model.tokenizer.convert_tokens_to_ids(answers)),
        foil=torch.tensor(model.tokenizer.convert_tokens_to_ids(foils)),
        positions={"X1": first, "X2": second, "END": torch.full((n,), _LENGTH + 1)},
        group=tuple(f"X1 at {a}, X2 at {b}" for a, b in places),
        template=("",) * n,
        order=("",) * n,
    )


def known(n: int, seed: int) -> KnownCircuit:
    """Model, task and circuit."""
    model, plan = build(seed)
    task = draw(model, n, seed)
    return KnownCircuit(model, task, plan.circuit(model, task))
