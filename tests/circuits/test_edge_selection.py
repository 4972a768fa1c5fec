"""Circuits from scores of edges, and how they are compared."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from interp.circuits import (
    EdgeCircuit,
    EdgeScores,
    Graph,
    auc,
    consistent_edges,
    edges_above,
    greedy_edges,
    head_scores,
    overlap,
    rank_correlation,
    roc,
    top_edges,
)
from interp.parts import Head
from tests.helpers import unchecked

GRAPH = Graph(2, 2)


def scores_of(values, **more):
    """Scores [edge] or [edge prompt]."""
    data = {}
    for name, one in {"logit_diff": values, **more}.items():
        one = np.asarray(one, dtype=float)
        matrix = np.full((*GRAPH.exists.shape, *one.shape[1:]), np.nan)
        matrix[GRAPH.sender, GRAPH.receiver] = one
        coords = {"sender": list(GRAPH.sender_names), "receiver": list(GRAPH.receiver_names)}
        data[name] = xr.DataArray(matrix, coords, ("sender", "receiver", "prompt")[: matrix.ndim])
    return EdgeScores(GRAPH, xr.Dataset(data))


def random_scores(seed=0, *shape):
    return np.random.default_rng(seed).normal(size=(GRAPH.n_edges, *shape))


def test_top_edges_and_threshold():
    values = random_scores()
    scores = scores_of(values)
    for by, ranked in (("signed", values), ("magnitude", np.abs(values))):
        ten = top_edges(scores, 10, by=by)
        assert len(ten) == 10 and ranked[ten.kept].min() > ranked[~ten.kept].max()
        assert edges_above(scores, ranked[ten.kept].min(), by=by) == ten
    assert len(top_edges(scores, 0)) == 0 and len(top_edges(scores, GRAPH.n_edges)) == GRAPH.n_edges
    other = top_edges(scores_of(values, probability=-values), 10, metric="probability")
    assert not len(other & top_edges(scores, 10))
    tie = top_edges(scores_of(np.zeros(GRAPH.n_edges)), 3)
    assert np.flatnonzero(tie.kept).tolist() == [0, 1, 2]


@pytest.mark.parametrize("by", ["signed", "magnitude"])
def test_greedy_edges_take_the_best_into_what_is_there(by):
    values = random_scores(1)
    ranked = np.abs(values) if by == "magnitude" else values
    there, taken = {len(GRAPH.senders)}, []
    for _ in range(20):
        into = [
            i for i in range(GRAPH.n_edges)
            if GRAPH.owner[GRAPH.receiver[i]] in there and i not in taken
        ]  # fmt: skip
        best = max(into, key=lambda i: ranked[i])
        taken.append(best)
        there.add(GRAPH.sender[best])
    found = greedy_edges(scores_of(values), 20, by=by)
    assert np.flatnonzero(found.kept).tolist() == sorted(taken)
    assert len(greedy_edges(scores_of(values), GRAPH.n_edges)) == GRAPH.n_edges


def test_consistent_edges():
    each = random_scores(2, 30) * 0.01 + np.arange(GRAPH.n_edges)[:, None]
    assert consistent_edges(scores_of(each), 5) == top_edges(scores_of(each), 5)
    noise = scores_of(random_scores(3, 30))
    some, all_of_it = consistent_edges(noise, 10), consistent_edges(noise, 10, share=0.01)
    assert len(some) < 10 < len(all_of_it) and not len(some - all_of_it)
    assert some == consistent_edges(noise, 10)
    with pytest.raises(ValueError, match="prompts were not kept"):
        consistent_edges(scores_of(random_scores()), 5)


def test_overlap():
    a = EdgeCircuit.of(GRAPH, ["m0 -> m1", "m0 -> logits", "m1 -> logits"])
    b = EdgeCircuit.of(GRAPH, ["m0 -> m1", "0.0 -> m1"])
    found = overlap(a, b)
    assert (found.found, found.reference, found.shared) == (3, 2, 1)
    assert (found.iou, found.precision, found.recall) == (1 / 4, 1 / 3, 1 / 2)
    assert np.isnan(overlap(a - a, b - b).iou)


def test_auc_is_the_probability_of_the_right_order():
    rng = np.random.default_rng(0)
    values, truth = rng.integers(0, 6, 40).astype(float), rng.random(40) < 0.3
    u = stats.mannwhitneyu(values[truth], values[~truth]).statistic
    assert auc(values, truth) == pytest.approx(u / (truth.sum() * (~truth).sum()))
    curve = roc(values, truth)
    assert curve["taken"].tolist()[-1] == 40 and curve["recall"].iloc[-1] == 1
    at = curve.iloc[2]
    assert at["recall"] == truth[values >= at["threshold"]].sum() / truth.sum()
    assert at["precision"] == truth[values >= at["threshold"]].mean()


def test_rank_correlation_and_scores_of_heads():
    one, other = random_scores(4), random_scores(5)
    found = rank_correlation(scores_of(one), scores_of(other))
    assert found == pytest.approx(stats.spearmanr(one, other).statistic)
    largest, outgoing = (head_scores(scores_of(one), how) for how in ("largest", "outgoing"))
    mine = [i for i, edge in enumerate(GRAPH.edges()) if edge.sender.part == Head(0, 1)]
    into = [i for i, edge in enumerate(GRAPH.edges()) if edge.receiver.part == Head(0, 1)]
    assert outgoing[Head(0, 1)] == pytest.approx(np.abs(one[mine]).sum())
    assert largest[Head(0, 1)] == pytest.approx(np.abs(one[mine + into]).max())
    assert list(largest) == [Head(i, h) for i in range(2) for h in range(2)]


def test_scores_are_saved_and_read(tmp_path):
    scores = scores_of(random_scores(6, 3))
    scores.save(tmp_path / "scores.nc")
    again = EdgeScores.load(tmp_path / "scores.nc")
    xr.testing.assert_identical(again.data, scores.data)
    assert again.graph == GRAPH
    assert again.score("m0 -> m1") == pytest.approx(scores.mean()[GRAPH.index("m0 -> m1")])


def test_what_does_not_fit_is_refused():
    scores = scores_of(random_scores())
    with pytest.raises(ValueError, match="of which 47 cannot be taken"):
        top_edges(scores, 47)
    with pytest.raises(ValueError, match="no metric 'rank'"):
        scores.of("rank")
    with pytest.raises(ValueError, match="need the dim 'sender'"):
        EdgeScores(Graph(1, 1), scores.data)
    with pytest.raises(ValueError, match="telling right from wrong"):
        auc(np.ones(3), np.ones(3, dtype=bool))
    with pytest.raises(ValueError, match="share is a fraction"):
        consistent_edges(scores, 2, share=0.0)
    with pytest.raises(ValueError, match="expected how"):
        head_scores(scores, "smallest")
    with unchecked(), pytest.raises(ValueError, match="expected by"):
        top_edges(scores, 2, by="size")
