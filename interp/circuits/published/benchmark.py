"""An independent circuit of IOI in GPT-2 small, and how well it ranks the paper's heads and edges.

The MIB benchmark published scores of EAP-IG (integrated gradients of the logit difference) for all
32,491 edges of GPT-2 small. If the paper's heads and edges do the task, their scores should be
among the highest:

    AUC = P(|score| of one of the paper's > |score| of another one), a tie counts one half

over the 144 heads (the largest |score| of an edge into or out of the head, or the sum over the
edges out of it) and over the 28,656 edges from a head to an input of a later head or to the logits.
This needs no model: it checks the paper's circuit, as the package has it, against another source.

Source: hannamw/MIB-circuit-track, `circuits/` (Apache-2.0); Mueller et al. 2025, MIB (arXiv
2504.13151); Hanna et al. 2024 (arXiv 2403.17806) for EAP-IG. In the file, scores of edges are
rounded to steps of 27 %, which changes the AUC by less than 0.001.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from interp.circuits.circuit import Circuit
from interp.circuits.edge_comparison import auc
from interp.circuits.published.connections import published_connections
from interp.circuits.published.data import read
from interp.parts import Head, as_head

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
"""Character -> how many steps a score lies above the floor."""

FLOOR, STEP = 1e-7, (0.3 / 1e-7) ** (1 / 63)
"""The lowest score that is told from zero, and the factor between neighboring steps."""

_HEADS = tuple(Head(layer, head) for layer in range(12) for head in range(12))


@dataclass(frozen=True)
class BenchmarkScores:
    """Scores of the benchmark's circuit, all of them magnitudes, in logits.

    Args:
        largest: head -> the largest score of an edge into or out of it
        outgoing: head -> the sum of the scores of the edges out of it
        kept: the heads in the benchmark's circuit of 756 edges
        edges: (sender, "5.1.q" or "logits") -> score of the edge
    """

    largest: dict[Head, float]
    outgoing: dict[Head, float]
    kept: frozenset[Head]
    edges: dict[tuple[Head, str], float]


@cache
def benchmark_scores() -> BenchmarkScores:
    """Read the scores.

    Returns:
        The scores of all heads and of all edges that leave a head for a head or the logits.
    """
    kept = read("ioi_eap_ig.json")
    heads = {head: kept["heads"][str(head)] for head in _HEADS}
    value = {letter: FLOOR * STEP**i for i, letter in enumerate(ALPHABET)}
    return BenchmarkScores(
        {head: row[0] for head, row in heads.items()},
        {head: row[1] for head, row in heads.items()},
        frozenset(head for head, row in heads.items() if row[2]),
        {
            (sender, label): value[letter]
            for label, _, senders in edge_rows()
            for sender, letter in zip(senders, kept["edges"][label], strict=True)
        },
    )


def edge_rows() -> Iterator[tuple[str, str, tuple[Head, ...]]]:
    """List the receivers and their senders, in the order of the file.

    Yields:
        The receiver's label, its name in the benchmark, and its senders: all earlier heads.
    """
    for receiver in _HEADS:
        senders = tuple(head for head in _HEADS if head.layer < receiver.layer)
        if senders:
            for letter in "qkv":
                name = f"a{receiver.layer}.h{receiver.head}<{letter}>"
                yield f"{receiver}.{letter}", name, senders
    yield "logits", "logits", _HEADS


def head_auc(circuit: Circuit, scores: dict[Head, float]) -> float:
    """How well scores of heads tell a circuit's heads from all others.

    Args:
        circuit: a circuit of GPT-2 small
        scores: a score for each of the 144 heads

    Returns:
        The area under the ROC curve, from 0 to 1; 0.5 is chance.
    """
    members = {as_head(member.part) for member in circuit.heads}
    return auc(np.array([*scores.values()]), np.array([head in members for head in scores]))


def edge_auc(circuit: Circuit, scores: dict[tuple[Head, str], float]) -> float:
    """How well scores of edges tell a circuit's edges from all others.

    Args:
        circuit: a circuit of GPT-2 small, whose classes are connected as in its paper
        scores: a score for each edge, as in `BenchmarkScores.edges`

    Returns:
        The area under the ROC curve, from 0 to 1; 0.5 is chance.
    """
    members = circuit_edges(circuit)
    return auc(np.array([*scores.values()]), np.array([edge in members for edge in scores]))


def circuit_edges(circuit: Circuit) -> set[tuple[Head, str]]:
    """List the edges between heads, and from heads to the logits, that a paper describes.

    Args:
        circuit: the paper's circuit

    Returns:
        (sender, "5.1.q" or "logits") for each edge to a later layer.
    """
    groups = circuit.groups()
    edges = set()
    for one in published_connections(circuit):
        for member in groups.get(one.sender, ()):
            sender = as_head(member.part)
            if one.receiver.kind == "logits":
                edges.add((sender, "logits"))
            for other in groups.get(one.receiver, ()):
                receiver = as_head(other.part)
                if sender.layer < receiver.layer:
                    edges |= {(sender, f"{receiver}.{letter}") for letter in one.inputs}
    return edges
