"""A circuit of heads at all positions, for tasks whose roles miss what the model does.

Its nodes are heads that are kept everywhere, "9.6@all". No token is theirs, so there are no links
between tokens to measure and no class to give. The evidence for a head is what the circuit loses
without it: the change of a metric if the head is ablated too, in addition to everything outside the
circuit. What it looks at is measured from END.
"""

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr

from interp.circuits.behavior import node_behavior
from interp.circuits.circuit import Circuit
from interp.circuits.discoveries import effect_p_values, q_values
from interp.circuits.evidence import Derivation, effects_by_prompt
from interp.circuits.members import Member
from interp.metrics import Metrics
from interp.model import HookedGPT2
from interp.parts import Node
from interp.patching import Ablation, ablate, effect, measure
from interp.runs.question import question
from interp.tasks import Task


@torch.inference_mode()
def heads_everywhere(
    model: HookedGPT2,
    task: Task,
    nodes: Sequence[Node],
    left: Ablation,
    metrics: Metrics | None = None,
    *,
    smallest: float,
    fdr: float,
) -> Derivation:
    """Make the circuit of some heads at all positions, and measure each head in it.

    Args:
        model: the model
        task: the prompts, padded on the right
        nodes: the heads, such as "9.6@all"
        left: the ablation of everything outside the circuit
        metrics: the metrics, as in `patch`
        smallest: the smallest effect of a head, as a fraction of the mean metric
        fdr: bound on the expected fraction of false discoveries

    Returns:
        The circuit, without links, and its evidence. The effect of a head is negative if the
        metric falls without it.
    """
    nodes = sorted(nodes)
    names = [str(node) for node in nodes]
    whole = measure(model, task, metrics)
    chosen = [str(name) for name in whole]
    means = {name: abs(float(whole[name].mean())) for name in chosen}
    effects = {name: np.empty((0, len(task))) for name in chosen}
    if nodes:
        gone = ablate(
            model, task, {str(node): [node] for node in nodes}, value=left.value,
            reference=left.reference, metrics=metrics, ablation=left,
        )  # fmt: skip
        effects = {name: effect(gone, name).transpose("set", "prompt").values for name in chosen}
    least = {name: smallest * means[name] for name in chosen}
    q = np.empty((len(chosen), 0))
    if nodes:
        p = [effect_p_values(effects[name], smallest=least[name]) for name in chosen]
        q = q_values(np.concatenate(p)).reshape(len(chosen), -1)
    asked = question("derive", ablation=left, smallest=smallest, fdr=fdr, nodes=" ".join(names))

    def arrays(what: str, labels: Sequence[str], of: dict[str, np.ndarray]) -> xr.Dataset:
        return effects_by_prompt(what, labels, of, least, model, task, asked)

    by = [
        ", ".join(chosen[j] for j in range(len(chosen)) if q[j, i] <= fdr) for i in range(len(q.T))
    ]
    evidence = arrays("node", names, effects).assign_coords(
        metric=chosen, q_value=(("metric", "node"), q), found_by=("node", np.array(by, dtype=str))
    )
    behavior = node_behavior(model, task, [Node(node.part, "END") for node in nodes])
    return Derivation(
        Circuit(
            model.name,
            [Member(node, "other") for node in nodes],
            "heads at all positions",
            (),
            model.fingerprint(),
            task.name,
        ),
        arrays("link", (), {name: np.empty((0, len(task))) for name in chosen}),
        evidence,
        behavior.assign_coords(node=names),
        len(nodes) * len(chosen),
        least[chosen[0]],
        fdr,
    )
