"""Is the circuit complete? Sets of its nodes by class, by chance, and by a search for the worst.

A circuit that leaves something out may still be faithful. But knock the nodes K out of both, and
what was left out shows: the model goes on where the circuit breaks. The sets to try are

    classes   all nodes of one class
    random    each node with probability 1/2
    greedy    from nothing, again and again the one of `candidates` random nodes that raises
              | F(C without K) - F(M without K) | most, as long as one raises it

Source: Wang et al. 2022 (arXiv 2211.00593), section 4.1, appendix M and the authors' code: 10 runs
of 10 iterations with 10 candidates (5 for the naive circuit). Algorithm 3 of the appendix prints
another aim, | F(C without K and v) - F(C without K) |, and adds a node in every iteration; the text
and the code raise the gap, and stop where nothing does, as is done here. Runs go in step, so that a
set that several of them try is measured once; the sets they find are the same.
"""

import random

import numpy as np
import xarray as xr

from interp.circuits.circuit import KINDS, Circuit, CircuitHead
from interp.circuits.evaluation import without
from interp.model import HookedGPT2
from interp.patching import Progress
from interp.tasks import Task

IOI_GREEDY: tuple[str, ...] = (
    "9.9 9.6 5.8 5.5 2.2",
    "9.9 11.10 10.7 8.6 5.8 4.11",
    "10.7 5.5 2.2 4.11",
    "9.9 11.10 10.7 11.2 3.0 5.8 2.2",
)
"""Sets that the paper's search found in GPT-2 small (appendix M, figure 22)."""


def class_sets(circuit: Circuit) -> dict[str, tuple[CircuitHead, ...]]:
    """No node, and the nodes of each class.

    Args:
        circuit: the circuit.

    Returns:
        "none" and each class that the circuit has -> its nodes.
    """
    by_class = {kind: circuit.heads_of(kind) for kind in KINDS}
    return {"none": (), **{kind: heads for kind, heads in by_class.items() if heads}}


def random_sets(
    circuit: Circuit, n: int = 50, *, seed: int = 0
) -> dict[str, tuple[CircuitHead, ...]]:
    """Sets that hold each node of the circuit with probability 1/2.

    Args:
        circuit: the circuit.
        n: number of sets.
        seed: of the choice.

    Returns:
        "random 1", ... -> its nodes.
    """
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
    runs: int = 10,
    iterations: int = 10,
    candidates: int = 10,
    reference: Task | None = None,
    seed: int = 0,
    progress: Progress = iter,
) -> dict[str, tuple[CircuitHead, ...]]:
    """Search for sets in which model and circuit differ most.

    Args:
        model: the model.
        task: clean prompts, whose corrupted partners give the means.
        circuit: the circuit.
        runs: number of searches.
        iterations: nodes that a search adds at most.
        candidates: nodes that it tries in each iteration, at random.
        reference: prompts whose partners give the means; by default the task's own.
        seed: of the candidates.
        progress: wraps the iterations, for a progress bar.

    Returns:
        "greedy 1", ... -> the nodes that each search knocked out, in order. They were chosen for
        the gap on these prompts; what it is worth is measured on others.

    Raises:
        ValueError: for an empty circuit, or a number below 1.
    """
    if not circuit.heads or min(runs, iterations, candidates) < 1:
        raise ValueError(
            "a greedy search needs a circuit with heads, and at least one run, iteration and "
            f"candidate; got {len(circuit.heads)} heads, {runs}, {iterations} and {candidates}"
        )
    gaps: dict[frozenset[CircuitHead], float] = {}

    def learn(sets: list[frozenset[CircuitHead]]) -> None:
        """Measure the sets that are new."""
        fresh = [one for one in dict.fromkeys(sets) if one not in gaps]
        if fresh:
            named = {str(i): sorted(one) for i, one in enumerate(fresh)}
            found = without(model, task, circuit, named, reference=reference).mean("prompt")
            gaps.update(zip(fresh, np.abs(found.circuit - found.full).values, strict=True))

    searches = [random.Random(f"greedy {seed} {run}") for run in range(runs)]
    chosen: list[list[CircuitHead]] = [[] for _ in range(runs)]
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


def gap(result: xr.Dataset) -> xr.DataArray:
    """How far the circuit is from the model, both without the same nodes.

    Args:
        result: of `without`.

    Returns:
        F(C without K) - F(M without K), dims set, prompt, in logits. Its mean over prompts, taken
        absolutely, is the paper's incompleteness score.
    """
    change = result.circuit - result.full
    return change.rename("gap").assign_attrs(
        result.circuit.attrs | {"title": "F(C without K) \N{MINUS SIGN} F(M without K)"}
    )
