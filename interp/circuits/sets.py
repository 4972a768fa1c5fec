"""Is the circuit complete? Sets of its nodes by class, by chance, and by a search for the worst.

A circuit that leaves something out may still be faithful. But if nodes K are knocked out of both,
what was left out shows: the model still works where the circuit fails. The sets to try are

    classes   all nodes of one class
    random    each node with probability 1/2
    greedy    starting from nothing, repeatedly the one of `candidates` random nodes that raises
              | F(C without K) - F(M without K) | most, until none raises it

`interp.circuits.completeness` measures them.

Source: Wang et al. 2022 (arXiv 2211.00593), section 4.1, appendix M and the authors' code: 10 runs
of 10 iterations with 10 candidates (5 for the naive circuit). Algorithm 3 of the appendix states
another objective, | F(C without K and v) - F(C without K) |, and adds a node in every iteration;
the text and the code maximize the gap and stop when no node raises it, as we do. All runs advance
together, so a set that several of them try is measured only once; this does not change the sets
they find.
"""

import random
from collections.abc import Sequence

import numpy as np

from interp.circuits.circuit import Circuit
from interp.circuits.classes import CLASSES
from interp.circuits.evaluation import completeness, gap
from interp.circuits.members import Member
from interp.metrics import Metrics
from interp.model import HookedGPT2
from interp.runs.sides import Progress
from interp.runs.stand_ins import Reference, Value
from interp.tasks import Task


def class_sets(circuit: Circuit) -> dict[str, tuple[Member, ...]]:
    """The empty set, and the nodes of each class.

    Args:
        circuit: the circuit

    Returns:
        "none" and each class of the circuit -> its nodes.
    """
    by_class = {kind: circuit.heads_of(kind) for kind in CLASSES}
    return {"none": (), **{kind: heads for kind, heads in by_class.items() if heads}}


def random_sets(circuit: Circuit, n: int = 50, *, seed: int = 0) -> dict[str, tuple[Member, ...]]:
    """Draw sets that contain each head of the circuit with probability 1/2.

    Args:
        circuit: the circuit
        n: number of sets
        seed: seed of the draws

    Returns:
        Name of each set, "random 1", ... -> its nodes.

    Raises:
        ValueError: `n` is negative
    """
    if n < 0:
        raise ValueError(f"n is a number of sets, from 0; got {n}")
    rng = random.Random(f"random sets {seed}")
    return {
        f"random {i + 1}": tuple(head for head in circuit.heads if rng.random() < 0.5)
        for i in range(n)
    }


def greedy_sets(
    model: HookedGPT2,
    task: Task,
    circuit: Circuit,
    *,
    metrics: Metrics | None = None,
    runs: int = 10,
    iterations: int = 10,
    candidates: int = 10,
    value: Value = "group mean",
    positions: Sequence[str | int] | None = None,
    reference: Reference = None,
    seed: int = 0,
    progress: Progress = iter,
) -> dict[str, tuple[Member, ...]]:
    """Search for sets without which model and circuit differ most.

    Args:
        model: the circuit's model
        task: clean prompts
        circuit: the circuit
        metrics: as in `faithfulness`; the gap is measured in the first
        runs: number of searches
        iterations: largest number of nodes that a search adds
        candidates: number of random nodes tried in each iteration
        value: what ablated heads say instead, as in `completeness`
        positions: roles or indices where heads outside the circuit are ablated
        reference: prompts whose corrupted texts stand in, as in `Ablation`; by default a sample of
            the task's kind
        seed: seed of the candidates
        progress: wraps the iterations, for a progress bar

    Returns:
        Name of each search, "greedy 1", ... -> the nodes that it knocked out, in order. They were
        chosen for the gap on these prompts, so measure the gap on other prompts.

    Raises:
        ValueError: the circuit has no heads or belongs to another model, or a number is below 1
    """
    circuit.require_model(model)
    if not circuit.heads or min(runs, iterations, candidates) < 1:
        raise ValueError(
            "a greedy search needs a circuit with heads, and at least one run, iteration and "
            f"candidate; got {len(circuit.heads)} heads, {runs}, {iterations} and {candidates}"
        )
    gaps: dict[frozenset[Member], float] = {}

    def learn(sets: list[frozenset[Member]]) -> None:
        """Measure the sets that are new."""
        fresh = [one for one in dict.fromkeys(sets) if one not in gaps]
        if fresh:
            found = completeness(
                model, task, circuit, {str(i): sorted(one) for i, one in enumerate(fresh)},
                metrics=metrics, value=value, positions=positions, reference=reference,
            )  # fmt: skip
            apart = np.abs(gap(found).mean("prompt").values)
            gaps.update(zip(fresh, apart, strict=True))

    searches = [random.Random(f"greedy {seed} {run}") for run in range(runs)]
    chosen: list[list[Member]] = [[] for _ in range(runs)]
    learn([frozenset()])
    for _ in progress(list(range(iterations))):
        trials = []
        for rng, taken in zip(searches, chosen, strict=True):
            left = [head for head in circuit.heads if head not in taken]
            trials.append(rng.sample(left, min(candidates, len(left))))
        learn(
            [
                frozenset([*taken, head])
                for taken, tried in zip(chosen, trials, strict=True)
                for head in tried
            ]
        )
        for taken, tried in zip(chosen, trials, strict=True):
            now = gaps[frozenset(taken)]
            best = max(tried, key=lambda head: gaps[frozenset([*taken, head])], default=None)
            if best is not None and gaps[frozenset([*taken, best])] > now:
                taken.append(best)
    return {f"greedy {run + 1}": tuple(heads) for run, heads in enumerate(chosen)}
