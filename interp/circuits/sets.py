"""Is the circuit complete? Sets of its nodes by class, by chance, and by a search for the worst.

A circuit that leaves something out may still be faithful. But knock the nodes K out of both, and
what was left out shows: the model goes on where the circuit breaks. The sets to try are

    classes   all nodes of one class
    random    each node with probability 1/2
    greedy    from nothing, again and again the one of `candidates` random nodes that raises
              | F(C without K) - F(M without K) | most, as long as one raises it

`interp.circuits.completeness` measures them.

Source: Wang et al. 2022 (arXiv 2211.00593), section 4.1, appendix M and the authors' code: 10 runs
of 10 iterations with 10 candidates (5 for the naive circuit). Algorithm 3 of the appendix prints
another aim, | F(C without K and v) - F(C without K) |, and adds a node in every iteration; the text
and the code raise the gap, and stop where nothing does, as is done here. Runs go in step, so that a
set that several of them try is measured once; the sets they find are the same.
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
    """No node, and the nodes of each class.

    Args:
        circuit: the circuit.

    Returns:
        "none" and each class that the circuit has -> its nodes.
    """
    by_class = {kind: circuit.heads_of(kind) for kind in CLASSES}
    return {"none": (), **{kind: heads for kind, heads in by_class.items() if heads}}


def random_sets(circuit: Circuit, n: int = 50, *, seed: int = 0) -> dict[str, tuple[Member, ...]]:
    """Sets that hold each head of the circuit with probability 1/2.

    Args:
        circuit: the circuit.
        n: number of sets.
        seed: seed of the choice.

    Returns:
        "random 1", ... -> its nodes.

    Raises:
        ValueError: fewer than no sets are asked for.
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
    """Search for sets in which model and circuit differ most.

    Args:
        model: the model that the circuit is of.
        task: clean prompts.
        circuit: the circuit.
        metrics: as in `faithfulness`; the gap is that of the first.
        runs: number of searches.
        iterations: how many nodes a search adds at most.
        candidates: how many nodes it tries in each iteration, at random.
        value: what ablated heads say instead, as in `completeness`.
        positions: roles or indices where heads outside the circuit are ablated.
        reference: prompts whose corrupted texts stand in, as in `Ablation`; by default a sample of
            the task's kind.
        seed: seed of the candidates.
        progress: wraps the iterations, for a progress bar.

    Returns:
        "greedy 1", ... -> the nodes that each search knocked out, in order. They were chosen for
        the gap on these prompts; what it is worth is measured on others.

    Raises:
        ValueError: the circuit has no heads or is of another model, or a number is below 1.
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
