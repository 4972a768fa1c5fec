"""Does the circuit do the task alone, and does it break as the model does? By mean ablation.

F(M) is the mean logit difference of the whole model, F(C) that of the model in which every head
output outside the circuit is set to its mean. A faithful circuit has F(C) near F(M); a complete one
also after any nodes K of the circuit are knocked out of both,

    incompleteness   | F(C without K) - F(M without K) |

Source: Wang et al. 2022 (arXiv 2211.00593), section 4; ablation as in section 2.1. As in the
authors' code, K is knocked out of the model at the positions where the circuit has it, not at all.
"""

from collections.abc import Mapping, Sequence

import xarray as xr

from interp.circuits.circuit import Circuit, CircuitHead
from interp.model import HookedGPT2
from interp.patching import Ablation, Keep, Progress, ablate_nodes, measure
from interp.tasks import Task

Nodes = Mapping[str, Sequence[CircuitHead]]
"""Name -> the nodes of a set K."""

_TITLES = {"full": "Whole model", "circuit": "Circuit alone"}


def faithfulness(
    model: HookedGPT2, task: Task, circuit: Circuit, *, progress: Progress = iter
) -> xr.Dataset:
    """The logit difference of the whole model and of the circuit alone, prompt by prompt.

    Args:
        model: the model.
        task: clean prompts, whose corrupted partners give the means.
        circuit: heads with the position that each keeps.
        progress: wraps the batches of each of its two runs, for a progress bar.

    Returns:
        `full` and `circuit`, dims prompt, in logits. F(M) and F(C) are their means; MLPs, layer
        norms and embeddings are left alone.

    Raises:
        ValueError: for a head or a position that model or task do not have.
    """
    runs = {
        "full": measure(model, task, progress=progress),
        "circuit": measure(model, task, ablation=only(circuit), progress=progress),
    }
    return xr.Dataset(
        {
            name: found.logit_diff.rename(name).assign_attrs(title=_TITLES[name])
            for name, found in runs.items()
        }
    )


def without(
    model: HookedGPT2,
    task: Task,
    circuit: Circuit,
    sets: Nodes,
    *,
    sides: Sequence[str] = ("full", "circuit"),
    reference: Task | None = None,
    progress: Progress = iter,
) -> xr.Dataset:
    """The logit difference of model and circuit, each without some of the circuit's nodes.

    Args:
        model: the model.
        task: clean prompts, whose corrupted partners give the means.
        circuit: heads with the position that each keeps.
        sets: the sets K, by name; an empty one gives F(M) and F(C).
        sides: of which: "full" for the model, "circuit".
        reference: prompts whose partners give the means; by default the task's own.
        progress: wraps the steps of each side, for a progress bar.

    Returns:
        `full`, F(M without K), and `circuit`, F(C without K), dims set, prompt, in logits.

    Raises:
        ValueError: for a node that the circuit does not have, no sets, or as for `faithfulness`.
    """
    own = {node(head) for head in circuit.heads}
    for name, heads in sets.items():
        for head in heads:
            if node(head) not in own:
                raise ValueError(
                    f"set {name!r} has {head.label} at {head.position}, which the circuit does not "
                    "have; only nodes of the circuit can be knocked out of it"
                )
    nodes = {name: [node(head) for head in heads] for name, heads in sets.items()}
    found = {}
    for side in sides:
        left = only(circuit, reference=reference) if side == "circuit" else None
        result = ablate_nodes(
            model, task, nodes, ablation=left, reference=reference, progress=progress
        )
        found[side] = result.logit_diff.rename(side).assign_attrs(title=_TITLES[side])
    return xr.Dataset(found)


def only(
    circuit: Circuit | Sequence[Keep],
    *,
    positions: Sequence[str | int] | None = None,
    reference: Task | None = None,
) -> Ablation:
    """All heads at their group means but for a circuit's, at their positions.

    Args:
        circuit: the circuit that is left, or (layer, head, role) of its heads.
        positions: roles or indices where heads are ablated; by default everywhere.
        reference: prompts whose partners give the means; by default those of the task it meets.

    Returns:
        The ablation.
    """
    keep = [node(h) for h in circuit.heads] if isinstance(circuit, Circuit) else circuit
    return Ablation(
        heads="all", keep=keep, value="group mean", positions=positions, reference=reference
    )


def node(head: CircuitHead) -> Keep:
    """Layer, head and role of a node."""
    return (head.layer, head.head, head.position)
