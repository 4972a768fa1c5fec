"""Circuits of edges: against plain runs, path patching, and a slow twin."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import interp.runs.edges
from interp.patching import Receivers, measure, path_patch
from interp.runs.edge_senders import ablated_senders
from interp.runs.edges import run_circuits
from interp.runs.graph import Graph
from interp.runs.readout import Readout
from tests.helpers import random_model, random_task, unaligned, unchecked
from tests.naive import edges as naive

TINY = {"n_layers": 2, "n_heads": 2, "d_model": 8, "d_mlp": 12}
ABLATIONS = ["counterfactual", "zero", "mean", "group mean", "resample"]


def run(model, task, circuits, ablation="counterfactual", metrics=None, reference=None):
    task = task.right_padded()
    with torch.inference_mode():
        senders = ablated_senders(model, task, None, ablation, reference)
        return run_circuits(senders, Readout(model, task, metrics), circuits)


def random_circuits(graph, seed=0, fractions=(0.15, 0.4, 0.6, 0.85)):
    rng = np.random.default_rng(seed)
    return np.stack([graph.exists & (rng.random(graph.exists.shape) < f) for f in fractions])


def pairs(graph, circuit):
    senders, receivers = graph.sender_names, graph.receiver_names
    return {(senders[s], receivers[r]) for s, r in zip(*np.nonzero(circuit), strict=True)}


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_all_edges_are_the_model(ablation):
    model, task = random_model(), random_task()
    others = replace(task, corrupted_tokens=random_task(seed=4).corrupted_tokens)
    reference = others if ablation == "resample" else None
    metrics = ["logit_diff", "kl_divergence", "rank"]
    found = run(model, task, Graph.of(model).exists[None], ablation, metrics, reference)
    plain = measure(model, task, metrics)
    for name in metrics:
        np.testing.assert_allclose(found[name][0], plain[name], atol=2e-5)


def test_no_edges_are_the_corrupted_run():
    model, task = random_model(), random_task()
    none = np.zeros_like(Graph.of(model).exists)[None]
    found = run(model, task, none)["logit_diff"][0]
    assert np.array_equal(
        found, run(model, task, none, "resample", reference=task)["logit_diff"][0]
    )
    corrupted = measure(model, task, side="corrupted")["logit_diff"]
    np.testing.assert_allclose(found, corrupted, atol=2e-6)


@pytest.mark.parametrize("ablation", ABLATIONS)
@torch.no_grad()
def test_circuits_are_those_of_the_twin(ablation, monkeypatch):
    model, task = random_model(**TINY), random_task(3, (5, 3))
    graph = Graph.of(model)
    circuits = random_circuits(graph)
    expected = [
        [
            naive.circuit_logit_diff(model, task, i, pairs(graph, circuit), ablation)
            for i in range(len(task))
        ]
        for circuit in circuits
    ]
    again = [0, 1, 2, 3, 2, 0]
    reference = task if ablation == "resample" else None
    for memory in (1 << 27, 1, 8000):  # all at once, one by one, some at a time
        monkeypatch.setattr(interp.runs.edges, "MEMORY", memory)
        found = run(model, task, circuits[again], ablation, reference=reference)["logit_diff"]
        np.testing.assert_allclose(found, np.array(expected)[again], atol=2e-5)


def test_what_circuits_share_is_run_once(monkeypatch):
    """Circuits that differ in one last edge are one run up to the last layer."""
    model, task = random_model(), random_task()
    graph = Graph.of(model)
    seen = []
    real = interp.runs.edges.mlp_post
    monkeypatch.setattr(
        interp.runs.edges, "mlp_post", lambda block, x: seen.append(len(x)) or real(block, x)
    )
    last = np.flatnonzero(graph.exists[:, -1])
    circuits = np.repeat(graph.exists[None], len(last), 0)
    circuits[np.arange(len(last)), last, -1] = False
    found = run(model, task, circuits)["logit_diff"]
    assert seen == [1] * model.config.n_layers
    alone = [run(model, task, one[None])["logit_diff"][0] for one in circuits[::5]]
    torch.testing.assert_close(found[::5], torch.stack(alone))


@pytest.mark.parametrize(
    ("receiver", "receivers"),
    [
        ("2.1.q", Receivers("q", heads=["2.1"])),
        ("2.0.k", Receivers("k", heads=["2.0"])),
        ("1.3.v", Receivers("v", heads=["1.3"])),
        ("m1", Receivers("mlp_in", layers=[1])),
        ("logits", Receivers()),
    ],
)
@pytest.mark.parametrize(("site", "senders"), [("z", ["0.2", "1.1"]), ("mlp_out", ["m0", "m1"])])
def test_cutting_one_edge_is_path_patching_it(receiver, receivers, site, senders):
    model, task = random_model(), random_task()
    graph = Graph.of(model)
    exact = path_patch(model, task, receivers, site=site, mlps="frozen")["logit_diff"]
    for sender in senders:
        s, r = graph.sender_names.index(sender), graph.receiver_names.index(receiver)
        if not graph.exists[s, r]:
            continue
        circuit = graph.exists.copy()
        circuit[s, r] = False
        where = {"layer": graph.senders[s].layer}
        if site == "z":
            where["head"] = graph.senders[s].head
        found = run(model, task, circuit[None])["logit_diff"][0]
        np.testing.assert_allclose(found, exact.sel(where), atol=2e-5)


def test_what_does_not_fit_is_refused():
    model, task = random_model(), random_task()
    none = np.zeros_like(Graph.of(model).exists)[None]
    with unchecked(), pytest.raises(ValueError, match="expected an ablation among"):
        ablated_senders(model, task, None, "median", None)
    with pytest.raises(ValueError, match="make it with Graph.of"):
        ablated_senders(model, task, Graph(1, 1), "zero", None)
    with pytest.raises(ValueError, match="use ablation='resample'"):
        run(model, task, none, reference=task)
    with pytest.raises(ValueError, match="use ablation='counterfactual'"):
        run(model, task, none, "resample")
    with pytest.raises(ValueError, match="do not have the same length"):
        run(model, unaligned(task), none)
    assert len(run(model, unaligned(task), none, "mean")["logit_diff"][0]) == len(task)
