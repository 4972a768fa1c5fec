"""What heads do at their roles, and the classes that follow."""

from dataclasses import replace

import pytest
import torch
import xarray as xr

from interp.circuits import Link
from interp.circuits.behavior import class_of, node_behavior
from interp.parts import Head, Node
from tests.helpers import random_model, random_task


def test_behavior_is_read_off_the_patterns():
    model, task = random_model(), random_task(5, lengths=(9,))
    found = node_behavior(model, task, ["1.2@END", "2.0@S2"])
    _, cache = model.run_with_cache(task.clean_tokens)
    for node, (layer, head, role) in enumerate([(1, 2, "END"), (2, 0, "S2")]):
        for i in range(5):
            at, tokens = int(task.positions[role][i]), task.clean_tokens[i].tolist()
            row = cache["pattern", layer][i, head, at].tolist()
            earlier = [k for k in range(at) if tokens[k] == tokens[at]]
            expected = {
                "previous": row[at - 1] if at else 0.0,
                "duplicate": sum(row[k] for k in earlier),
                "induction": sum(row[k + 1] for k in earlier),
                "answer": sum(row[k] for k in range(at + 1) if tokens[k] == task.answer[i]),
                "foil": sum(row[k] for k in range(at + 1) if tokens[k] == task.foil[i]),
            }
            for name, value in expected.items():
                assert float(found[name][node, i]) == pytest.approx(value, abs=1e-5), name


HEAD = Node(Head(1, 0), "END")
NOTHING = dict.fromkeys(
    ("previous", "duplicate", "induction", "answer", "foil", "copy", "anti_copy",
     "writes_answer", "writes_foil"), 0.0
)  # fmt: skip
FOR, AGAINST = {"writes_answer": 1.0}, {"writes_answer": -1.0}
MOVER = {Node(Head(2, 0), "END"): "name mover"}


@pytest.mark.parametrize(
    ("looks", "told", "kind"),
    [
        ({"previous": 0.9}, [("2.0.k", -1.0)], "previous token"),
        ({"duplicate": 0.3, "previous": 0.2}, [("2.0.v", -1.0)], "duplicate token"),
        ({"induction": 0.9, "answer": 0.9}, [("logits", -1.0)], "induction"),
        ({"induction": 0.3, "answer": 0.6, **FOR}, [("logits", -1.0)], "name mover"),
        ({"previous": 0.9, **FOR}, [("logits", -1.0)], "mover"),
        ({"answer": 0.6, **AGAINST}, [("logits", 1.0)], "negative name mover"),
        ({"answer": 0.6, **FOR}, [("logits", 1.0)], "other"),
        (
            {"foil": 0.6, "writes_foil": -2.2, "writes_answer": -0.1},
            [("logits", -1.0)],
            "S suppressor",
        ),
        ({"answer": 0.6, "writes_foil": -2.2, **FOR}, [("logits", -1.0)], "S suppressor"),
        ({"answer": 0.6, "writes_foil": -0.9, **FOR}, [("logits", -1.0)], "name mover"),
        ({"foil": 0.6, "writes_foil": 2.0}, [("logits", 1.0)], "other"),
        ({"answer": 0.6}, [("logits", -1.0)], "other"),
        ({"foil": 0.6}, [("2.0.q", -1.0), ("logits", -0.5)], "S-inhibition"),
        ({"foil": 0.6, **FOR}, [("2.0.q", -0.4), ("logits", -0.5)], "mover"),
        ({"foil": 0.1}, [("2.0.q", -1.0)], "other"),
        ({"copy": 0.8}, [("2.0.v", -1.0)], "mover"),
        ({"copy": 0.3}, [("2.0.v", -1.0)], "other"),
        ({"previous": 0.1}, [("2.5.k", -1.0)], "other"),
    ],
)
def test_classes_follow_from_behavior(looks, told, kind):
    behavior = xr.Dataset({name: xr.DataArray(x) for name, x in {**NOTHING, **looks}.items()})
    links = [Link(f"1.0@END -> {to}@END", effect) for to, effect in told]
    assert class_of(HEAD, behavior, links, MOVER, 0.2) == kind


def test_what_heads_write_is_their_output_on_each_tokens_direction():
    model, task = random_model(), replace(random_task(5), candidates=torch.arange(20))
    found = node_behavior(model, task, ["1.2@END", "2.0@S2"])
    with torch.no_grad():
        _, cache = model.run_with_cache(task.clean_tokens)
    for i in range(5):
        end = int(task.positions["END"][i])
        out = (cache["blocks.1.attn.hook_z"][i, end, 2] @ model.W_O[1, 2]).detach()
        scale = cache["ln_final.hook_scale"][i, end]
        normal = (out - out.mean()) / scale * model.ln_final.w
        own = {int(task.answer[i]), int(task.foil[i])}
        others = [token for token in range(20) if token not in own]
        for name, token in (("writes_answer", task.answer[i]), ("writes_foil", task.foil[i])):
            direction = model.W_U[:, token] - model.W_U[:, others].mean(-1)
            assert float(found[name][0, i]) == pytest.approx((normal @ direction).item(), abs=1e-4)
            assert float(found[name][1, i]) == 0
