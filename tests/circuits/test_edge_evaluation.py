"""Faithfulness of circuits of edges, CPR and CMD: hand-computed, and on known circuits."""

import numpy as np
import pytest
import xarray as xr

from interp.circuits import (
    FRACTIONS,
    EdgeCircuit,
    Graph,
    cmd,
    cpr,
    edge_curve,
    edge_faithfulness,
    faithfulness_by_prompt,
    fraction_kept,
    known_circuit,
    normalized_faithfulness,
    random_circuits,
)
from interp.circuits.discovery import eap
from interp.patching import measure
from tests.circuits.discovery.helpers import small


@pytest.mark.parametrize("name", ["induction", "ioi"])
def test_known_circuits_do_the_task_and_random_ones_do_not(name):
    known = known_circuit(name, n=16)
    graph = Graph.of(known.model)
    circuit = EdgeCircuit.of_circuit(graph, known.circuit)
    chance = random_circuits(graph, len(circuit), 3)
    found = edge_faithfulness(known.model, known.task, {"hand": circuit, **chance})
    ratio = normalized_faithfulness(found)
    assert float(ratio["mean"].sel(run="hand")) == pytest.approx(1.0, abs=0.02)
    assert float(ratio["mean"].sel(run=list(chance)).max()) < 0.6
    assert found["edges"].sel(run="hand") == len(circuit)
    cut = edge_faithfulness(
        known.model, known.task, circuit - EdgeCircuit.of(graph, [next(iter(circuit))])
    )
    assert fraction_kept(cut).mean < 0.9


def test_its_runs_are_plain_runs():
    model, task = small()
    every = EdgeCircuit(Graph.of(model), np.ones(46, dtype=bool))
    found = edge_faithfulness(model, task, {"all": every, "no": ~every}, metrics=["rank", "top1"])
    for metric in ("rank", "top1"):
        values = found[metric]
        assert np.array_equal(values.sel(run="full"), values.sel(run="all"))
        assert np.array_equal(values.sel(run="none"), values.sel(run="no"))
        corrupted = measure(model, task, metric, side="corrupted")[metric]
        assert np.array_equal(values.sel(run="none"), corrupted)
    assert found["edges"].values.tolist() == [46, 0, 46, 0]
    assert found["rank"].attrs["ablation"] == "counterfactual"
    mean = edge_faithfulness(model, task, every, ablation="mean")
    assert mean["logit_diff"].attrs["ablation"] == "mean"
    assert not np.allclose(mean["logit_diff"].sel(run="none"), corrupted)


def made(fractions, full, none, runs, ranking):
    names = ["full", "none", *(f"{x:g}" for x in fractions)]
    values = np.array([full, none, *runs], dtype=float)
    array = xr.DataArray(values, {"run": names}, ("run", "prompt"), attrs={"ranking": ranking})
    return xr.Dataset({"logit_diff": array}).assign_coords(fraction=("run", [1.0, 0.0, *fractions]))


def test_areas_of_a_hand_computed_case():
    runs = [[1, 1], [4, 6], [3, 3]]  # means 1, 5, 3; of none 1 and full 3: 0, 2, 1
    signed = made([0.1, 0.5, 1.0], [2, 4], [1, 1], runs, "signed")
    size = made([0.1, 0.5, 1.0], [2, 4], [1, 1], runs, "magnitude")
    assert cpr(signed).mean == pytest.approx(0.4 * 1 + 0.5 * 1.5)
    assert cmd(size).mean == pytest.approx(0.4 * 1 + 0.5 * 0.5)
    ratio = normalized_faithfulness(signed)["mean"]
    assert ratio.values.tolist() == [1, 0, 0, 2, 1]
    each = faithfulness_by_prompt(signed).sel(run="0.5")
    assert each.values == pytest.approx([3, 5 / 3])
    with pytest.raises(ValueError, match="ranked by='signed'"):
        cpr(size)
    with pytest.raises(ValueError, match="at least two fractions"):
        cmd(made([1.0], [2, 4], [1, 1], [[2, 4]], "magnitude"))


def test_the_curve_ends_in_the_model():
    model, task = small()
    scores = eap(model, task)
    fractions = (0.1, 0.3, 1.0)
    curve = edge_curve(model, task, scores, fractions=fractions)
    assert curve["run"].values.tolist() == ["full", "none", "0.1", "0.3", "1"]
    assert curve["edges"].values[-1] == 46
    np.testing.assert_allclose(
        curve["logit_diff"].sel(run="1"), curve["logit_diff"].sel(run="full"), atol=1e-5
    )
    area = cpr(curve)
    assert area.low <= area.mean <= area.high
    greedy = edge_curve(model, task, scores, fractions=fractions, greedy=True, by="magnitude")
    assert cmd(greedy).mean >= 0
    assert len(FRACTIONS) == 10


def test_random_circuits():
    graph = Graph(2, 3)
    some = random_circuits(graph, 20, 4, seed=1)
    assert list(some) == ["random 1", "random 2", "random 3", "random 4"]
    assert {len(one) for one in some.values()} == {20} and len(set(some.values())) == 4
    assert some == random_circuits(graph, 20, 4, seed=1)
    for one in some.values():  # every edge leads to the logits
        senders = {str(edge.sender) for edge in one}
        assert all(str(edge.receiver) == "logits" or str(edge.receiver) in senders for edge in one)
    assert len(random_circuits(graph, 20, 1, connected=False)["random 1"]) == 20


def test_what_does_not_fit_is_refused():
    model, task = small()
    other = EdgeCircuit.of(Graph(1, 1), ["m0 -> logits"])
    with pytest.raises(ValueError, match="circuit 'circuit' is of"):
        edge_faithfulness(model, task, other)
    with pytest.raises(ValueError, match="names other than 'full' and 'none'"):
        edge_faithfulness(model, task, {"full": other})
    with pytest.raises(ValueError, match="fractions grow"):
        edge_curve(model, task, eap(model, task), fractions=(0.5, 0.1))
    with pytest.raises(ValueError, match="number of circuits, from 0"):
        random_circuits(Graph(1, 1), 1, -1)
    with pytest.raises(ValueError, match="expected a result of edge_faithfulness"):
        normalized_faithfulness(xr.Dataset({"logit_diff": ("prompt", [1.0])}))
