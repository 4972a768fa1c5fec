"""Strict interchange intervention training: zero for a hand-set model, and what it teaches."""

from dataclasses import replace
from random import Random

import pytest
import torch
import torch.nn.functional as F

from interp.circuits.known import known_circuit
from interp.circuits.known.ioi import NAMES, TEMPLATES
from interp.model import GPT2Config, HookedGPT2
from interp.parts import as_head
from interp.tasks import ioi
from interp.training.interchange import (
    Cut,
    Program,
    Prompts,
    Site,
    interchange_accuracy,
    sites,
    strict_interchange_losses,
)

IOI = Program(
    {
        "duplicated": lambda x: x["S2"],
        "inhibited": lambda x: x["duplicated"],
        "moved": lambda x: torch.where(x["inhibited"] == x["S1"], x["IO"], x["S1"]),
    },
    lambda x, d_vocab: F.one_hot(x["moved"], d_vocab).float(),
)


@pytest.fixture(scope="module")
def by_hand():
    """The hand-set IOI model, its circuit by class, and base, source and other prompts."""
    known = known_circuit("ioi", n=24)
    known.model.unembed.weight.data *= 6  # so that it has no doubt
    where = {}
    for head in known.circuit.heads:
        layer, index = as_head(head.part)
        where.setdefault(head.kind, []).append(Site(layer, index, head.role))
    where["mover"] = where.pop("name mover") + where.pop("negative name mover")
    sides = [
        ioi(known.model.tokenizer, 24, seed=0, templates=TEMPLATES, names=NAMES, corruption=how)
        for how in ("flip", "abc")
    ]
    prompts = [
        _prompts(task, task.tokens(side))
        for task, side in ((sides[0], "clean"), (sides[0], "corrupted"), (sides[1], "corrupted"))
    ]
    return known.model, where, prompts


def _prompts(task, tokens):
    rows = torch.arange(len(task))
    inputs = {role: tokens[rows, task.positions[role]] for role in ("IO", "S1", "S2")}
    return Prompts(tokens, task.attention_mask, task.positions, inputs)


def _cuts(where):
    queries = tuple(replace(site, kind="q") for site in where["mover"])
    return [
        Cut(("duplicated",), tuple(where["duplicate token"])),
        Cut(("inhibited",), tuple(where["S-inhibition"])),
        Cut(("inhibited",), queries),
        Cut((), tuple(where["S-inhibition"]), held=queries),
        Cut(("moved",), tuple(where["mover"])),
    ]


def test_a_hand_set_circuit_has_no_loss(by_hand):
    model, where, prompts = by_hand
    circuit = [site for some in where.values() for site in some]
    losses = strict_interchange_losses(
        model, IOI, _cuts(where), circuit, *prompts, rng=Random(0), alone=0.5
    )
    assert set(losses) == {"behavior", "interchange", "strict"}
    for loss in losses.values():
        assert 0 <= loss.item() < 1e-3
    for cut in _cuts(where):
        assert interchange_accuracy(model, IOI, cut, *prompts, circuit=circuit) == 1


def test_a_wrong_correspondence_has_a_loss(by_hand):
    model, where, prompts = by_hand
    circuit = [site for some in where.values() for site in some]
    wrong = Cut(("inhibited",), tuple(where["duplicate token"][:0]) + sites("3.0@END"))
    losses = strict_interchange_losses(model, IOI, [wrong], circuit, *prompts, rng=Random(0))
    assert losses["interchange"] > 1
    assert interchange_accuracy(model, IOI, wrong, *prompts) == 0


def test_a_circuit_without_a_class_is_not_strict(by_hand):
    model, where, prompts = by_hand
    rest = [site for kind, some in where.items() if kind != "S-inhibition" for site in some]
    losses = strict_interchange_losses(
        model, IOI, _cuts(where), rest, *prompts, rng=Random(0), share=1.0
    )
    assert losses["strict"] > 0.2


def test_held_sites_close_a_way(by_hand):
    model, where, prompts = by_hand
    open_way = Cut((), tuple(where["S-inhibition"]))
    assert interchange_accuracy(model, IOI, open_way, *prompts) == 0
    assert interchange_accuracy(model, IOI, _cuts(where)[3], *prompts) == 1


def test_a_tiny_model_learns_where_a_variable_is():
    """The answer is a pair of tokens; head 0 shall carry the first, head 1 the second."""
    program = Program(
        {"first": lambda x: x["a"], "second": lambda x: x["b"]},
        lambda x, d_vocab: F.one_hot(3 * x["first"] + x["second"], d_vocab).float(),
    )
    config = GPT2Config(n_layers=1, n_heads=3, d_model=48, d_mlp=64, d_vocab=10, n_ctx=3)
    model = HookedGPT2(config, seed=0)
    for parameter in model.parameters():
        parameter.data *= 4 if parameter.ndim > 1 else 1  # for so narrow a model
    cuts = [Cut(("first",), sites("0.0@END")), Cut(("second",), sites("0.1@END"))]
    circuit = sites("0.0@END 0.1@END")

    def some(rng, n):
        tokens = torch.tensor([[rng.randrange(3), rng.randrange(3), 9] for _ in range(n)])
        end = {"END": torch.full((n,), 2)}
        return Prompts(tokens, tokens >= 0, end, {"a": tokens[:, 0], "b": tokens[:, 1]})

    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(200):
        rng = Random(step)
        losses = strict_interchange_losses(
            model, program, cuts, circuit, *(some(rng, 48) for _ in range(3)), rng=rng
        )
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    prompts = [some(Random(f"test {i}"), 100) for i in range(3)]
    for cut in cuts:
        assert interchange_accuracy(model, program, cut, *prompts, circuit=circuit) > 0.95
    swapped = replace(cuts[0], sites=cuts[1].sites)
    assert interchange_accuracy(model, program, swapped, *prompts) < 0.5


@pytest.mark.parametrize("text", ["5.0", "5@END", "5.0.r@END", "a.0@END", "5.0.q.v@END"])
def test_a_site_that_cannot_be_read(text):
    with pytest.raises(ValueError, match="expected a site"):
        Site.parse(text)


def test_prompts_and_sites_must_fit(by_hand):
    model, where, (base, source, other) = by_hand
    short = Prompts(source.tokens[:, :-1], source.mask[:, :-1], source.positions, source.inputs)
    with pytest.raises(ValueError, match="same lengths"):
        strict_interchange_losses(model, IOI, _cuts(where), (), base, short, other, rng=Random(0))
    with pytest.raises(ValueError, match="no head 9.0"):
        interchange_accuracy(model, IOI, Cut((), sites("9.0@END")), base, source, other)
    with pytest.raises(ValueError, match="no role 'S3'"):
        interchange_accuracy(model, IOI, Cut((), sites("1.0@S3")), base, source, other)
