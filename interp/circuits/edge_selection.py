"""Circuits from scores of edges: the best n, all above a threshold, or from the logits upward.

    signed      the edges with the highest scores: what helps the task
    magnitude   the edges with the largest absolute scores: what matters to it either way

Equal scores are taken in the order of the graph. None of these checks that the edges are connected;
`EdgeCircuit.pruned` drops those that are not.

Source: the selections of MIB (Mueller et al. 2025, arXiv 2504.13151) and of Hanna et al. 2024
(arXiv 2403.17806), section 3, for the greedy one.
"""

import heapq
from typing import Literal, get_args

import numpy as np
import xarray as xr
from jaxtyping import Float

from interp.circuits.edge_circuit import EdgeCircuit
from interp.circuits.edge_scores import EdgeScores
from interp.runs.graph import Graph

By = Literal["signed", "magnitude"]


def top_edges(
    scores: EdgeScores, n: int, *, by: By = "signed", metric: str | None = None
) -> EdgeCircuit:
    """The n best edges.

    Args:
        scores: the scores
        n: number of edges
        by: "signed" or "magnitude"; see the module
        metric: metric of the scores; None for the first

    Returns:
        The circuit, which may have edges that lead nowhere.

    Raises:
        ValueError: there are fewer edges, or `by` is unknown
    """
    values = ranked_by(scores, by, metric)
    _require_n(n, scores.graph)
    kept = np.zeros(len(values), dtype=bool)
    kept[np.argsort(-values, kind="stable")[:n]] = True
    return EdgeCircuit(scores.graph, kept, f"{n} edges by {by} score")


def edges_above(
    scores: EdgeScores, threshold: float, *, by: By = "signed", metric: str | None = None
) -> EdgeCircuit:
    """The edges whose score reaches a threshold.

    Args:
        scores: the scores
        threshold: the least score, in the unit of the metric
        by: "signed" or "magnitude"; see the module
        metric: metric of the scores; None for the first

    Returns:
        The circuit, which may have edges that lead nowhere.
    """
    kept = ranked_by(scores, by, metric) >= threshold
    return EdgeCircuit(scores.graph, kept, f"edges of {by} score from {threshold}")


def greedy_edges(
    scores: EdgeScores, n: int, *, by: By = "signed", metric: str | None = None
) -> EdgeCircuit:
    """Edges from the logits upward: repeatedly the best one into what is already there.

    Args:
        scores: the scores
        n: number of edges
        by: "signed" or "magnitude"; see the module
        metric: metric of the scores; None for the first

    Returns:
        The circuit. Every edge leads to the logits; a part may have nothing that leads into it.

    Raises:
        ValueError: there are fewer edges, or `by` is unknown
    """
    graph, values = scores.graph, ranked_by(scores, by, metric)
    _require_n(n, graph)
    into: list[list[int]] = [[] for _ in range(len(graph.senders) + 1)]
    for i, owner in enumerate(graph.owner[graph.receiver]):
        into[owner].append(i)
    seen = {len(graph.senders)}
    queue = [(-values[i], i) for i in into[len(graph.senders)]]
    heapq.heapify(queue)
    kept = np.zeros(graph.n_edges, dtype=bool)
    for _ in range(n):
        _, edge = heapq.heappop(queue)
        kept[edge] = True
        sender = int(graph.sender[edge])
        if sender not in seen:
            seen.add(sender)
            for i in into[sender]:
                heapq.heappush(queue, (-values[i], i))
    return EdgeCircuit(graph, kept, f"{n} edges by {by} score, greedily from the logits")


def consistent_edges(
    scores: EdgeScores,
    n: int,
    *,
    by: By = "signed",
    metric: str | None = None,
    share: float = 0.95,
    resamples: int = 200,
    seed: int = 0,
) -> EdgeCircuit:
    """The edges that are among the n best in nearly every resample of the prompts.

    Args:
        scores: the scores, of every prompt
        n: number of edges that count as the best
        by: "signed" or "magnitude" of the mean score; see the module
        metric: metric of the scores; None for the first
        share: fraction of the resamples in which an edge has to be among the best
        resamples: number of resamples, each of as many prompts, drawn with replacement
        seed: seed of the resamples

    Returns:
        The circuit; it has fewer than n edges where the order of scores depends on the prompts.

    Raises:
        ValueError: the scores are means, there are fewer edges, or a number is out of range
    """
    _require_n(n, scores.graph)
    if not 0 < share <= 1 or resamples < 1:
        raise ValueError(
            f"share is a fraction above 0 and resamples a number from 1; got {share} and "
            f"{resamples}"
        )
    each = scores.by_prompt(metric)
    rng, times = np.random.default_rng(seed), np.zeros(len(each), dtype=int)
    for _ in range(resamples):
        drawn = np.bincount(rng.integers(0, each.shape[1], each.shape[1]), minlength=each.shape[1])
        mean = each @ (drawn / each.shape[1])
        best = np.argsort(-(np.abs(mean) if by == "magnitude" else mean), kind="stable")[:n]
        times[best] += 1
    kept = times >= share * resamples
    return EdgeCircuit(
        scores.graph, kept, f"among the {n} best by {by} score in {share:.0%} of resamples"
    )


def random_circuits(
    graph: Graph, n_edges: int, n: int = 10, *, connected: bool = True, seed: int = 0
) -> dict[str, EdgeCircuit]:
    """Draw circuits of equal size, to compare a circuit with chance.

    Args:
        graph: the graph
        n_edges: number of edges of each
        n: number of circuits
        connected: whether edges are drawn from the logits upward, each into a part that is already
            there, so that all lead to the logits; otherwise from all edges alike, of which hardly
            any are connected in a small circuit
        seed: seed of the draws

    Returns:
        "random 1", ... -> the circuit.

    Raises:
        ValueError: there are fewer edges, or `n` is negative
    """
    if n < 0:
        raise ValueError(f"n is a number of circuits, from 0; got {n}")
    rng = np.random.default_rng(seed)
    choose = greedy_edges if connected else top_edges
    found = {}
    for i in range(n):
        matrix = np.full(graph.exists.shape, np.nan)
        matrix[graph.sender, graph.receiver] = rng.random(graph.n_edges)
        names = {"sender": list(graph.sender_names), "receiver": list(graph.receiver_names)}
        array = xr.DataArray(matrix, dims=list(names), coords=names)
        scores = EdgeScores(graph, xr.Dataset({"chance": array}))
        found[f"random {i + 1}"] = choose(scores, n_edges)
    return found


def ranked_by(scores: EdgeScores, by: By, metric: str | None) -> Float[np.ndarray, " edge"]:
    """What edges are ranked by.

    Args:
        scores: the scores
        by: "signed" or "magnitude"
        metric: metric of the scores; None for the first

    Raises:
        ValueError: `by` is unknown
    """
    if by not in get_args(By):
        raise ValueError(f"expected by 'signed' or 'magnitude', got {by!r}")
    mean = scores.mean(metric)
    return np.abs(mean) if by == "magnitude" else mean


def _require_n(n: int, graph: Graph) -> None:
    if isinstance(n, bool) or not 0 <= n <= graph.n_edges:
        raise ValueError(f"the graph has {graph.n_edges} edges, of which {n} cannot be taken")
