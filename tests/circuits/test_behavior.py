"""What heads do at their roles, and the classes that follow."""

import pytest
import xarray as xr

from interp.circuits import (
    Link,
)
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
    ("previous", "duplicate", "induction", "answer", "foil", "copy", "anti_copy"), 0.0
)
MOVER = {Node(Head(2, 0), "END"): "name mover"}


@pytest.mark.parametrize(
    ("looks", "told", "kind"),
    [
        ({"previous": 0.9}, [("2.0.k", -1.0)], "previous token"),
        ({"duplicate": 0.3, "previous": 0.2}, [("2.0.v", -1.0)], "duplicate token"),
        ({"induction": 0.9, "answer": 0.9}, [("logits", -1.0)], "induction"),
        ({"induction": 0.3, "answer": 0.6}, [("logits", -1.0)], "name mover"),
        ({"previous": 0.9}, [("logits", -1.0)], "name mover"),
        ({"answer": 0.6}, [("logits", 1.0)], "negative name mover"),
        ({"foil": 0.6}, [("2.0.q", -1.0), ("logits", -0.5)], "S-inhibition"),
        ({"foil": 0.6}, [("2.0.q", -0.4), ("logits", -0.5)], "name mover"),
        ({"foil": 0.1}, [("2.0.q", -1.0)], "other"),
        ({"copy": 0.8}, [("2.0.v", -1.0)], "name mover"),
        ({"copy": 0.3}, [("2.0.v", -1.0)], "other"),
        ({"previous": 0.1}, [("2.5.k", -1.0)], "other"),
    ],
)
def test_classes_follow_from_behavior(looks, told, kind):
    behavior = xr.Dataset({name: xr.DataArray(x) for name, x in {**NOTHING, **looks}.items()})
    links = [Link(f"1.0@END -> {to}@END", effect) for to, effect in told]
    assert class_of(HEAD, behavior, links, MOVER, 0.2) == kind
