"""Rollout and flow against hand-computed cases, networkx and laws."""

import networkx as nx
import numpy as np
import pytest
import xarray as xr

from interp.heads import attention_flow, attention_patterns, attention_rollout
from tests.helpers import random_model

DIMS = ("layer", "head", "query", "key")


def random_patterns(n_layers, n_heads, length, seed=0, peaked=0.3):
    """Causal attention with many weights near 0, as trained heads have."""
    generator = np.random.default_rng(seed)
    values = np.tril(generator.gamma(peaked, size=(n_layers, n_heads, length, length)) + 1e-9)
    return patterns_of(values / values.sum(-1, keepdims=True))


def patterns_of(values):
    values = np.asarray(values, dtype=float)
    coords = {dim: np.arange(size) for dim, size in zip(DIMS, values.shape, strict=True)}
    return xr.DataArray(values, coords, DIMS, attrs={"model": "by hand"})


def maximum_flow(patterns, layer, query, key):
    """The same network, edge by edge, in somebody else's algorithm."""
    graph = nx.DiGraph()
    for level, weights in enumerate(patterns.mean("head").values[: layer + 1]):
        for i, j in np.ndindex(weights.shape):
            graph.add_edge((level + 1, i), (level, j), capacity=(weights[i, j] + (i == j)) / 2)
    return nx.maximum_flow_value(graph, (layer + 1, query), (0, key))


def test_rollout_of_two_layers_by_hand():
    first = [[[1, 0, 0], [1, 0, 0], [0, 1, 0]]]  # one head: each token attends to the one before
    second = [[[1, 0, 0], [0, 1, 0], [0, 0, 1]]]  # ... then to itself
    third = [[[1, 0, 0], [1, 0, 0], [1, 0, 0]], [[1, 0, 0], [0, 1, 0], [0, 0, 1]]]  # two heads
    found = attention_rollout(patterns_of([first, second]))
    assert found.dims == ("layer", "query", "key") and found.attrs["unit"] == "fraction"
    once = [[1, 0, 0], [0.5, 0.5, 0], [0, 0.5, 0.5]]
    np.testing.assert_array_equal(found, [once, once])
    first = [first[0], first[0]]
    found = attention_rollout(patterns_of([first, third])).isel(layer=1)
    # third: (mean of the heads + I) / 2 = [[1, 0, 0], [1/4, 3/4, 0], [1/4, 0, 3/4]]
    expected = [[1, 0, 0], [1 / 4 + 3 / 8, 3 / 8, 0], [1 / 4, 3 / 8, 3 / 8]]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_flow_of_two_layers_by_hand():
    first = [[[1, 0, 0], [1, 0, 0], [0, 1, 0]]]
    second = [[[1, 0, 0], [1, 0, 0], [0, 1, 0]]]
    found = attention_flow(patterns_of([first, second]), layers=[-1])
    # from 2: half stays at 2, half moves to 1; below, halves of each go on
    np.testing.assert_allclose(found[0], [[1, 0, 0], [1, 0.5, 0], [0.5, 1, 0.5]])


def test_where_one_way_is_taken_back():
    """The key's narrow entry makes the flow go around: what was pushed ahead comes back."""
    found = attention_flow(random_patterns(4, 1, 6, seed=3, peaked=0.1))
    assert float(found[-1, -1].sum()) > 0
    for key in range(6):
        expected = maximum_flow(random_patterns(4, 1, 6, seed=3, peaked=0.1), 3, 5, key)
        assert float(found[-1, -1, key]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("peaked", [0.05, 0.3, 2.0])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 3, 4), (4, 2, 5)])
def test_flow_is_networkx_s(shape, peaked):
    patterns = random_patterns(*shape, seed=sum(shape), peaked=peaked)
    found = attention_flow(patterns, layers=[-1]).values[0]
    for query, key in np.ndindex(found.shape):
        expected = maximum_flow(patterns, shape[0] - 1, query, key) if key <= query else 0.0
        assert found[query, key] == pytest.approx(expected, abs=1e-9)


def test_laws_on_a_model():
    patterns = attention_patterns(random_model(), [3, 1, 4, 1, 5])
    rollout, flow = attention_rollout(patterns), attention_flow(patterns)
    np.testing.assert_allclose(rollout.sum("key"), 1, atol=1e-6)
    assert not np.triu(rollout.values, 1).any() and not np.triu(flow.values, 1).any()
    assert rollout.key_token.values.tolist() == ["[3]", "[1]", "[4]", "[1]", "[5]"]
    # every path carries at least its product, so flow is at least rollout, and at most all there is
    assert (flow.values >= rollout.values - 1e-6).all() and (flow.values <= 1 + 1e-6).all()
    np.testing.assert_allclose(flow[0], rollout[0], atol=1e-6)  # one layer: a single edge
    averaged = attention_rollout(patterns.mean("head", keep_attrs=True))
    np.testing.assert_allclose(averaged, rollout, atol=1e-6)
    some = attention_flow(patterns, layers=[2, 0], queries=[-1])
    np.testing.assert_array_equal(some, flow.values[[2, 0]][:, [-1]])
    assert some.layer.values.tolist() == [2, 0] and some["query"].values.tolist() == [4]


def test_what_has_no_flow_is_refused():
    patterns = random_patterns(2, 2, 4)
    with pytest.raises(ValueError, match="expected the dims layer, head, query, key"):
        attention_rollout(patterns.isel(layer=0))
    with pytest.raises(ValueError, match="all positions of a prompt"):
        attention_rollout(patterns.isel(query=[0, 1]))
    with pytest.raises(ValueError, match="expected queries from 0 to 3, got \\[4\\]"):
        attention_flow(patterns, queries=[4])
    with pytest.raises(ValueError, match="layers is an empty list"):
        attention_flow(patterns, layers=[])
    with pytest.raises(ValueError, match="causal"):
        attention_flow(patterns.transpose(*DIMS) + 0.1)


def test_layers_and_queries_are_chosen_once_and_from_the_first_layer_on():
    patterns = random_patterns(3, 2, 4)
    for wrong in (patterns.isel(layer=[1, 2]), patterns.isel(layer=[0, 2]), patterns[::-1]):
        for through in (attention_rollout, attention_flow):
            with pytest.raises(ValueError, match="all layers from 0 on"):
                through(wrong)
    with pytest.raises(ValueError, match="query 3 is given twice"):
        attention_flow(patterns, queries=[3, -1])
    with pytest.raises(ValueError, match="layer 2 is given twice"):
        attention_flow(patterns, layers=[-1, 2])
    with pytest.raises(TypeError, match="an index in layers"):
        attention_flow(patterns, layers=[True])
    with pytest.raises(ValueError, match="NaN or infinity"):
        attention_rollout(patterns.where(patterns.key < 3))
    np.testing.assert_array_equal(
        attention_flow(patterns.transpose(*reversed(DIMS))), attention_flow(patterns)
    )


def test_one_of_several_prompts_is_selected():
    model = random_model()
    patterns = attention_patterns(model, [[3, 1, 4], [1, 5, 9]])
    with pytest.raises(ValueError, match="isel\\(prompt=0\\)"):
        attention_rollout(patterns)
    one = attention_rollout(patterns.isel(prompt=1))
    np.testing.assert_allclose(
        one, attention_rollout(attention_patterns(model, [1, 5, 9])), atol=1e-6
    )
