"""How well edges agree: two circuits, a ranking with a circuit, or two rankings.

    intersection over union   |A and B| / |A or B|: 1 for equal circuits
    precision, recall         the fraction of what was found that is right, and of the right that
                              was found
    ROC and AUC               recall against the fraction of the wrong edges that were taken, as
                              more and more edges are; the area under it is the probability that a
                              right edge has a higher score than a wrong one, a tie counting half
    rank correlation          Spearman's, of two scores

Edges that neither circuit has count for nothing, except in the ROC.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from interp.circuits.edge_circuit import EdgeCircuit
from interp.circuits.edge_scores import EdgeScores
from interp.parts import Head


@dataclass(frozen=True)
class Overlap:
    """What two circuits of edges share.

    Args:
        found: number of edges of the one
        reference: number of edges of the other
        shared: number of edges of both
    """

    found: int
    reference: int
    shared: int

    @property
    def iou(self) -> float:
        """Intersection over union; NaN if both are empty."""
        return _ratio(self.shared, self.found + self.reference - self.shared)

    @property
    def precision(self) -> float:
        """Fraction of the found edges that the reference has; NaN if none was found."""
        return _ratio(self.shared, self.found)

    @property
    def recall(self) -> float:
        """Fraction of the reference's edges that were found; NaN if it has none."""
        return _ratio(self.shared, self.reference)


def overlap(found: EdgeCircuit, reference: EdgeCircuit) -> Overlap:
    """Compare two circuits of edges.

    Args:
        found: what was found
        reference: what it should be

    Returns:
        The numbers of edges, with intersection over union, precision and recall.

    Raises:
        ValueError: they are of different graphs
    """
    return Overlap(len(found), len(reference), len(found & reference))


def roc(values: Float[np.ndarray, " item"], truth: Bool[np.ndarray, " item"]) -> pd.DataFrame:
    """The ROC curve of a ranking.

    Args:
        values: the score of each edge, or head; higher ones are taken first, equal ones together
        truth: True for the right ones

    Returns:
        Columns `threshold`, `taken` (number), `false_positive_rate`, `recall` (fractions) and
        `precision`, from nothing taken (threshold infinity) to everything.

    Raises:
        ValueError: none or all are right, or the shapes differ
    """
    values, truth = _checked(values, truth)
    order = np.argsort(-values, kind="stable")
    sorted_values, right = values[order], np.cumsum(truth[order])
    last = np.append(np.flatnonzero(np.diff(sorted_values)), len(values) - 1)
    taken, hits = np.append(0, last + 1), np.append(0, right[last])
    with np.errstate(invalid="ignore"):
        precision = hits / taken
    return pd.DataFrame(
        {
            "threshold": np.append(np.inf, sorted_values[last]),
            "taken": taken,
            "false_positive_rate": (taken - hits) / (~truth).sum(),
            "recall": hits / truth.sum(),
            "precision": precision,
        }
    )


def auc(values: Float[np.ndarray, " item"], truth: Bool[np.ndarray, " item"]) -> float:
    """The area under the ROC curve of a ranking.

    Args:
        values: the score of each edge, or head
        truth: True for the right ones

    Returns:
        From 0 to 1; 0.5 for a ranking by chance.

    Raises:
        ValueError: as for `roc`

    Example:
        >>> auc(np.array([3.0, 2.0, 1.0, 1.0]), np.array([True, False, True, False]))
        0.625
    """
    curve = roc(values, truth)
    recall, false = (curve[name].to_numpy() for name in ("recall", "false_positive_rate"))
    return float((np.diff(false) * (recall[1:] + recall[:-1]) / 2).sum())


def rank_correlation(one: EdgeScores, other: EdgeScores, metric: str | None = None) -> float:
    """Spearman's correlation of the mean scores of all edges.

    Args:
        one: scores
        other: scores of the same graph
        metric: metric of both; None for the first of each

    Returns:
        From -1 to 1; NaN if all scores of one are equal.

    Raises:
        ValueError: they are of different graphs
    """
    if one.graph != other.graph:
        raise ValueError(f"the scores are of two graphs, {one.graph} and {other.graph}")
    ranks = [pd.Series(scores.mean(metric)).rank() for scores in (one, other)]
    return float(ranks[0].corr(ranks[1]))


def head_scores(
    scores: EdgeScores, how: str = "largest", metric: str | None = None
) -> dict[Head, float]:
    """The score of each head, from those of its edges.

    Args:
        scores: the scores of edges
        how: "largest" for the largest magnitude among the edges into and out of the head,
            "outgoing" for the sum of the magnitudes of those out of it
        metric: metric of the scores; None for the first

    Returns:
        Head -> its score, never negative.

    Raises:
        ValueError: `how` is unknown
    """
    if how not in ("largest", "outgoing"):
        raise ValueError(f"expected how 'largest' or 'outgoing', got {how!r}")
    graph, size = scores.graph, np.abs(scores.mean(metric))
    found = np.zeros(len(graph.senders) + 1)
    if how == "outgoing":
        np.add.at(found, graph.sender, size)
    else:
        np.maximum.at(found, graph.sender, size)
        np.maximum.at(found, graph.owner[graph.receiver], size)
    return {
        part: float(value)
        for part, value in zip(graph.senders, found, strict=False)
        if isinstance(part, Head)
    }


def _checked(values: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, truth = np.asarray(values, dtype=np.float64), np.asarray(truth, dtype=bool)
    if values.ndim != 1 or values.shape != truth.shape or np.isnan(values).any():
        raise ValueError(
            "a ranking needs one score, not NaN, and one truth value for each item; got shapes "
            f"{values.shape} and {truth.shape}"
        )
    if not 0 < truth.sum() < len(truth):
        raise ValueError(
            f"a ranking is judged by telling right from wrong, members and others; {truth.sum()} "
            f"of {len(truth)} items are right"
        )
    return values, truth


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
