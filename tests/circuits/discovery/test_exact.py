"""Exact edge patching: against runs of all edges but one, and on circuits that are known."""

import numpy as np
import pytest
import torch

import interp.runs.edge_patching
from interp.circuits import EdgeCircuit, auc, known_circuit
from interp.circuits.discovery import eap_ig_inputs, exact_cost, exact_edges
from interp.patching import measure
from interp.runs.edge_senders import ablated_senders
from interp.runs.edges import run_circuits
from interp.runs.readout import Readout
from tests.circuits.discovery.helpers import small


@pytest.mark.parametrize("ablation", ["counterfactual", "zero", "group mean"])
def test_it_is_brute_force(ablation, monkeypatch):
    monkeypatch.setattr(interp.runs.edge_patching, "ROWS_PER_RUN", 40)
    monkeypatch.setattr(interp.runs.edge_patching, "MEMORY", 3000)
    model, task = small()
    metrics = ["logit_diff", "rank"]
    scores = exact_edges(model, task, metrics=metrics, ablation=ablation)
    graph = scores.graph
    cut = np.repeat(graph.exists[None], graph.n_edges, 0)
    cut[np.arange(graph.n_edges), graph.sender, graph.receiver] = False
    with torch.inference_mode():
        senders = ablated_senders(model, task.right_padded(), graph, ablation, None)
        found = run_circuits(senders, Readout(model, task, metrics), cut)
    whole = measure(model, task, metrics)
    lost = whole["logit_diff"].values - found["logit_diff"].numpy()
    np.testing.assert_allclose(scores.by_prompt(), lost, atol=1e-5)
    assert np.abs(lost).max() > 0.1
    higher = found["rank"].numpy() - whole["rank"].values
    np.testing.assert_array_equal(scores.by_prompt("rank"), higher)  # a lower rank is better


@pytest.mark.parametrize("name", ["induction", "duplicate"])
def test_hand_set_circuits_are_found(name):
    known = known_circuit(name, n=12)
    exact = exact_edges(known.model, known.task)
    truth = EdgeCircuit.of_circuit(exact.graph, known.circuit).kept
    assert auc(np.abs(exact.mean()), truth) == 1.0
    gradients = eap_ig_inputs(known.model, known.task, steps=10)
    assert auc(np.abs(gradients.mean()), truth) == 1.0


def test_the_cost_is_told_first():
    model, task = small()
    cost = exact_cost(model, task)
    assert cost.edges == 46 and "46 edges" in str(cost)
    # of two layers, the attention of each counts 2/2 and 1/2, the MLPs 4/3/2 and 1/3/2
    assert cost.forwards == pytest.approx(6 * 1 + 3 * 2 / 3 + 24 * 1 / 2 + 6 * 1 / 6)
    with pytest.raises(ValueError, match="at_most allows 0 s"):
        exact_edges(model, task, at_most=0.0)
