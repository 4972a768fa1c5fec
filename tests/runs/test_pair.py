"""The pair of runs where roles stand elsewhere in the partners, with parts of the model gone.

The twin runs each text alone, with what is ablated at its own roles, and puts in what stands at a
role of the other text at the same role of this one.
"""

import numpy as np
import pytest
import torch

from interp.parts import Logits, Node, Port, as_node
from interp.patching import (
    Ablation,
    NodePaths,
    Receivers,
    Selection,
    attribution_patch,
    effect,
    patch,
    path_patch,
)
from interp.runs.pair import base_of, other_side
from interp.runs.sites import SITES
from tests.helpers import apart, make_runs_small, on_sample, random_model, random_task, unaligned
from tests.naive import ablation as twin
from tests.naive import patching as naive
from tests.naive.node_paths import node_effect

GONE = ["0.1@S2", "1.3@END", "m1@S2", "m0.3@END"]
UNIT = {"head": 2, "neuron": 5, "": None}


@pytest.fixture(autouse=True)
def _small_runs(monkeypatch):
    make_runs_small(monkeypatch)


def ablated(model, task, i, value, side):
    return (value and twin.hooks(
        model, task, i, [as_node(one) for one in GONE], value, side=side,
        by_position=side == "corrupted",
    )) or []  # fmt: skip


@pytest.mark.parametrize(
    ("site", "direction", "value"),
    [  # every two of the three meet
        (site, ("denoising", "noising")[(i + j) % 2], value)
        for i, site in enumerate(site for site in SITES if site != "pattern")
        for j, value in enumerate([None, "zero", "group mean", "resample"])
    ],
)
@torch.inference_mode()
def test_patch_by_role(site, direction, value):
    model, task = random_model(), unaligned(apart(random_task(3, (6, 5))))
    gone = value and Ablation(GONE, value=value)
    unit = SITES[site].unit
    chosen = Selection(over=["layer", "role"], **({f"{unit}s": [UNIT[unit]]} if unit else {}))
    found = patch(model, task, site, chosen, direction=direction, ablation=gone)
    side = base_of(direction)
    other = other_side(side)
    for i in range(len(task)):
        here, there = (ablated(model, task, i, value, one) for one in (side, other))
        with model.hooks(fwd_hooks=there):
            cache = naive.activations(model, twin.text_of(task, i, other))
        assert float(found[f"logit_diff_{side}"][i]) == pytest.approx(
            twin.difference(model, task, i, here, side), abs=2e-5
        )
        assert float(found[f"logit_diff_{other}"][i]) == pytest.approx(
            twin.difference(model, task, i, there, other), abs=2e-5
        )
        for layer in range(3):
            name = naive.hook_name(site, layer)
            for role in ("S2", "END"):
                to, come = (int(task.roles(one)[role][i]) for one in (side, other))
                index = naive.index_of(site, UNIT[unit], to)
                new = cache[name][naive.index_of(site, UNIT[unit], come)]

                def put(activation, hook, index=index, new=new):
                    activation = activation.clone()
                    activation[index] = new
                    return activation

                expected = twin.difference(model, task, i, [*here, (name, put)], side)
                got = float(found.logit_diff.sel(layer=layer, role=role)[i])
                assert got == pytest.approx(expected, abs=3e-5), (layer, role)


@torch.inference_mode()
def test_several_roles_at_once_are_patched_together():
    model, task = random_model(), unaligned(apart(random_task(4, (6,))))
    both = Selection(over=["layer"], positions=["S2", "END"])
    found = patch(model, task, "resid_pre", both, direction="noising").logit_diff
    for i in range(4):
        cache = twin.cache_of(model, task, i, "corrupted")
        for layer in range(3):
            name = naive.hook_name("resid_pre", layer)

            def put(activation, hook, i=i, cache=cache):
                activation = activation.clone()
                for role in ("S2", "END"):
                    to, come = (int(task.roles(s)[role][i]) for s in ("clean", "corrupted"))
                    activation[:, to] = cache[hook.name][:, come]
                return activation

            expected = twin.difference(model, task, i, [(name, put)])
            assert float(found[layer, i]) == pytest.approx(expected, abs=2e-5)


def test_estimates_have_the_runs_of_the_patch():
    model, task = random_model(), unaligned(apart(random_task(4, (6, 5))))
    gone = Ablation(GONE, value="resample")
    parts = Selection(over=["layer", "head", "role"])
    for direction in ("denoising", "noising"):
        options = {"direction": direction, "ablation": gone}
        ours = attribution_patch(model, task, "z", parts, **options)
        exact = patch(model, task, "z", parts, **options)
        for side in ("clean", "corrupted"):
            np.testing.assert_allclose(
                ours[f"logit_diff_{side}"], exact[f"logit_diff_{side}"], atol=2e-5
            )
        last = {"layer": 2, "role": "END", "head": 1}
        assert float(np.abs(effect(ours).sel(last)).max()) > 1e-4


SENDERS = ["0.1@S2", "1.2@END", "m0@S2", "m1@END", "input@S2", "input@END", "0.0@END"]
PORTS = [
    [Port(as_node("2.3@END"), "k")],
    [Port(as_node("2.0@END"), "qv"), Port(as_node("m1@END"))],
    [Port(Node(Logits(), "END"))],
]


@pytest.mark.parametrize("value", [None, "zero", "resample"])
@pytest.mark.parametrize("ports", PORTS, ids=lambda ports: " ".join(map(str, ports)))
@torch.inference_mode()
def test_paths_between_nodes(ports, value):
    model, task = random_model(), unaligned(apart(random_task(3, (6, 5))))
    paths = NodePaths(model, task, ablation=value and Ablation(GONE, value=value))
    sent = paths.send(SENDERS)
    (found,) = paths.receive(sent, ports).values()
    gone = [
        [ablated(model, task, i, value, side) for side in ("clean", "corrupted")]
        for i in range(len(task))
    ]
    (base,) = paths.base.values()
    expected = [twin.difference(model, task, i, gone[i][0]) for i in range(len(task))]
    assert base == pytest.approx(np.array(expected), abs=2e-5)

    def effect_of(sender, i):
        return node_effect(model, task, i, sent.senders[sender], ports, gone=gone[i])

    values, expected = on_sample(np.asarray(found), (7, 3), effect_of)
    assert values == pytest.approx(expected, abs=3e-5)


@torch.inference_mode()
def test_paths_from_roles_to_heads():
    model, task = random_model(), unaligned(apart(random_task(3, (6, 5))))
    gone = Ablation(GONE, value="resample")
    into = Receivers("q", heads=["2.1"], positions=["END"])
    parts = Selection(over=["layer", "head"], positions=["END"])
    found = effect(path_patch(model, task, into, parts, ablation=gone))
    port = [Port(as_node("2.1@END"), "q")]
    paths = NodePaths(model, task, ablation=gone)
    sent = paths.send([(i, h, "END") for i in range(2) for h in range(4)])
    (same,) = paths.receive(sent, port).values()
    np.testing.assert_allclose(found[:2].values.reshape(8, -1), same, atol=2e-5)


@pytest.mark.parametrize("call", [patch, attribution_patch])
def test_more_than_roles_cannot_be_compared(call):
    model, task = random_model(), unaligned(apart(random_task(3, (6,))))
    some = Selection(over=["layer"], positions=[1, "END"])
    for selection in (Selection(), some, Selection(over=["layer"])):
        with pytest.raises(ValueError, match="patch by role"):
            call(model, task, "resid_pre", selection)
    with pytest.raises(ValueError, match="patch by role"):
        call(model, task, "pattern", Selection(positions=["END"]))
