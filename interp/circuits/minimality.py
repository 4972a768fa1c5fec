"""Is every node of the circuit needed? What each one adds when others are gone.

Nodes stand in for each other, so that one alone may do nothing. A node v counts as needed if there
is a set K of other nodes such that

    | F(C without K) - F(C without (K and v)) |   is large beside F(M).

The paper's K: the rest of v's class; for the name movers and their backups the ones before v in the
order of importance; for 9.0 and 11.9 all other name movers, backups and negatives; for 5.8 and 5.9
the two negatives.

Source: Wang et al. 2022 (arXiv 2211.00593), section 4.2, appendix and the authors' code.
"""

from collections.abc import Callable, Mapping, Sequence

import xarray as xr

from interp.circuits.circuit import Circuit, CircuitHead
from interp.circuits.evaluation import Nodes, without
from interp.model import HookedGPT2
from interp.patching import Progress
from interp.tasks import Task

_POSITIVE = ("name mover", "backup name mover")
_NEGATIVE = "negative name mover"

IOI_IMPORTANCE: tuple[str, ...] = (
    "9.9", "10.0", "9.6", "10.10", "10.6", "10.2", "10.1", "11.2", "9.7", "9.0", "11.9",
)  # fmt: skip
"""Name movers of GPT-2 small and their backups, the most important first (the authors' code)."""

IOI_EXCEPTIONS: Mapping[str, tuple[str, ...]] = {
    "9.0": (*_POSITIVE, _NEGATIVE),
    "11.9": (*_POSITIVE, _NEGATIVE),
    "5.8": (_NEGATIVE,),
    "5.9": (_NEGATIVE,),
}
"""Heads of GPT-2 small with a K of their own: the classes that it is made of."""


def minimality_sets(
    circuit: Circuit,
    *,
    importance: Sequence[str] | Callable[[CircuitHead], float] = IOI_IMPORTANCE,
    exceptions: Mapping[str, tuple[str, ...]] = IOI_EXCEPTIONS,
) -> dict[str, tuple[CircuitHead, ...]]:
    """The set K of every node, as the paper chooses them.

    Args:
        circuit: the circuit.
        importance: labels of the name movers, the most important first, or what sorts them, the
            lowest first (a direct effect, say).
        exceptions: label of a head -> classes that make up its K.

    Returns:
        "9.6 END", ... -> K, which does not hold the node itself.
    """

    def rank(head: CircuitHead) -> float:
        if callable(importance):
            return float(importance(head))
        known = head.label in importance
        return float(importance.index(head.label) if known else len(importance))

    movers = sorted((h for h in circuit.heads if h.kind in _POSITIVE), key=rank)
    found = {}
    for head in circuit.heads:
        if head.label in exceptions:
            others = [h for h in circuit.heads if h.kind in exceptions[head.label]]
        elif head.kind in _POSITIVE:
            others = movers[: movers.index(head)]
        else:
            others = list(circuit.heads_of(head.kind))
        found[f"{head.label} {head.position}"] = tuple(h for h in others if h != head)
    return found


def minimality(
    model: HookedGPT2, task: Task, circuit: Circuit, sets: Nodes, *, progress: Progress = iter
) -> xr.Dataset:
    """What every node adds to the circuit without its K.

    Args:
        model: the model.
        task: clean prompts, whose corrupted partners give the means.
        circuit: the circuit.
        sets: of `minimality_sets`: node -> K.
        progress: wraps the steps, for a progress bar.

    Returns:
        `with_node`, F(C without K), `without_node`, F(C without K and v), and `change`, the second
        less the first, dims node, prompt, in logits.

    Raises:
        ValueError: for a set of no node of the circuit, or as `without` does.
    """
    nodes = {f"{head.label} {head.position}": head for head in circuit.heads}
    unknown = [name for name in sets if name not in nodes]
    if unknown:
        raise ValueError(f"the circuit has no node {unknown[0]!r}; it has {', '.join(nodes)}")
    both = {f"{name} in": tuple(K) for name, K in sets.items()}
    both |= {f"{name} out": (*K, nodes[name]) for name, K in sets.items()}
    found = without(model, task, circuit, both, sides=["circuit"], progress=progress).circuit
    inside, outside = (
        found.sel(set=[f"{name} {side}" for name in sets])
        .rename(set="node")
        .assign_coords(node=list(sets))
        for side in ("in", "out")
    )
    change = (outside - inside).assign_attrs(found.attrs | {"title": "Change without the head"})
    return xr.Dataset({"with_node": inside, "without_node": outside, "change": change})
