"""Heads that matter to the model and are not in its circuit: where they act, and why they are out.

A head matters if setting it to its mean everywhere costs more than a share of the metric, by the
lower end of the interval. For each such head that the circuit lacks, the loss
F(M) - F(M without it) is measured again

    at one role               the head is ablated there alone
    at tokens without a role  ablated everywhere but at the roles: no node of a circuit stands there
    at the mean of the group  the mean over prompts of its group (template and order) stands in, as
                              where circuits are evaluated: the loss is what it says beyond that
    with the partner's output the head's own output in the corrupted prompt stands in, so the loss
                              is what it says of the difference between the two prompts; path
                              patching sees nothing else
    in the circuit            F(C with the head) - F(C): what the circuit gains if the head keeps
                              its output everywhere and all other heads outside are at their means
"""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import xarray as xr

from interp.circuits.circuit import Circuit
from interp.circuits.derivation import require_fractions
from interp.circuits.evaluation import only
from interp.metrics import METRICS
from interp.model import HookedGPT2
from interp.parts import Head, Node
from interp.patching import Ablation, ablate, effect, measure
from interp.results import labeled
from interp.runs.question import question
from interp.runs.sides import Progress
from interp.runs.stand_ins import Value
from interp.statistics import interval
from interp.tasks import Task

EVERYWHERE, ELSEWHERE, WITHIN, PARTNER, IN_CIRCUIT = (
    "everywhere",
    "tokens without a role",
    "mean of the group",
    "partner's output",
    "in the circuit",
)
"""The places of `left_out` that are not roles."""


@torch.inference_mode()
def left_out(
    model: HookedGPT2,
    task: Task,
    circuit: Circuit,
    *,
    metric: str | None = None,
    share: float = 0.05,
    most: int = 8,
    value: Value = "mean",
    progress: Progress = iter,
) -> xr.Dataset:
    """Find the heads that matter and are not in a circuit, and measure where they act.

    Args:
        model: the circuit's model
        task: clean prompts with corrupted partners and roles
        circuit: the circuit
        metric: name of the metric; by default the task's own
        share: loss from which a head matters, as a fraction of the whole model's metric
        most: largest number of heads to look into
        value: what stands in for a head that is knocked out of the whole model, as in `Ablation`;
            the circuit is always evaluated with group means
        progress: wraps the heads, for a progress bar

    Returns:
        `loss`, dims head ("0.5"), where, prompt, in the metric's unit: positive if the model, or
        the circuit, does worse without the head. Along `where` are "everywhere", the roles, "tokens
        without a role", "mean of the group", "partner's output" and "in the circuit". `whole` and
        `circuit`, dims prompt: F(M) and F(C). The attr `mattering` is the number of heads outside
        the circuit that matter, of which at most `most` are looked into, the strongest first, and
        `outside` that of all heads outside the circuit.

    Raises:
        ValueError: the circuit belongs to another model, or a number is out of range
    """
    require_fractions(share=share)
    if most < 1:
        raise ValueError(f"most is a number of heads, from 1; got {most}")
    circuit.require_model(model)
    task = task.right_padded()
    name = task.metric if metric is None else metric
    single = ablate(model, task, value=value, metrics=name)
    lost = -effect(single, name).transpose("layer", "head", "prompt")
    whole = single[f"{name}_clean"]
    inside = {member.part for member in circuit.heads}
    _, low, _ = interval("mean", lost.values, groups=task.group)
    floor = share * abs(float(whole.mean()))
    matter = [
        Head(i, h)
        for i in range(model.config.n_layers)
        for h in range(model.config.n_heads)
        if low[i, h] > floor and Head(i, h) not in inside
    ]
    mean = lost.mean("prompt").values
    heads = sorted(matter, key=lambda one: -mean[one.layer, one.head])[:most]
    roles = list(task.positions)
    where = [EVERYWHERE, *roles, ELSEWHERE, WITHIN, PARTNER, IN_CIRCUIT]
    loss = np.zeros((len(heads), len(where), len(task)))
    left = only(model, circuit)
    alone = measure(model, task, name, ablation=left)[name]
    if heads:
        nodes = {str(Node(head, role)): [Node(head, role)] for head in heads for role in roles}
        at = ablate(model, task, nodes, value=value, metrics=name)[name]
        swaps = {str(head): [Node(head)] for head in heads}
        swapped = ablate(model, task, swaps, value="resample", metrics=name)[name]
        within = ablate(model, task, swaps, value="group mean", metrics=name)[name]
        base = whole.values
        for i, head in enumerate(progress(heads)):
            elsewhere = Ablation([head], value=value, keep=[Node(head, role) for role in roles])
            # `only` takes nodes at roles; this head keeps its output everywhere
            kept = replace(left, keep=[*left.nodes_kept, Node(head)])
            loss[i] = np.stack(
                [
                    lost.values[head.layer, head.head],
                    *(base - at.sel(set=str(Node(head, role))).values for role in roles),
                    base - measure(model, task, name, ablation=elsewhere)[name].values,
                    base - within.sel(set=str(head)).values,
                    base - swapped.sel(set=str(head)).values,
                    measure(model, task, name, ablation=kept)[name].values - alone.values,
                ]
            )
    found = labeled(
        loss,
        ("head", "where", "prompt"),
        name="loss",
        title=f"Loss of {name} without the head",
        unit=METRICS.get(name, ""),
        model=model,
        task=task,
        coords={"head": [str(head) for head in heads], "where": where},
        question=question("left_out", metric=name, share=share, value=value),
    )
    about = {"mattering": len(matter), "outside": lost[..., 0].size - len(inside), "share": share}
    return xr.Dataset({"loss": found, "whole": whole, "circuit": alone}, attrs=about)


def why_left_out(found: xr.Dataset, head: str, roles: Sequence[str]) -> str:
    """Say in a few sentences where a head that was left out acts, and why it is out.

    Args:
        found: the result of `left_out`
        head: the head, such as "0.5"
        roles: the roles of the task

    Returns:
        Sentences with the figures, in the metric's unit.
    """
    one = found.loss.sel(head=head).mean("prompt")
    loss = {str(name): float(one.sel(where=name)) for name in one["where"].values}
    total = loss[EVERYWHERE]
    most = max(roles, key=lambda role: loss[role])
    if loss[ELSEWHERE] >= total / 2:
        said = [
            f"It acts at tokens that have no role, where no node of a circuit stands: ablated "
            "there "
            f"alone it costs {loss[ELSEWHERE]:.2f} of {total:.2f}, at no role more than "
            f"{loss[most]:.2f}."
        ]
    elif loss[most] >= total / 2:
        said = [f"It acts at {most}: ablated there alone it costs {loss[most]:.2f} of {total:.2f}."]
    else:
        said = [
            f"It acts at many tokens at once: alone no role costs more than {loss[most]:.2f} of "
            f"{total:.2f} ({most}), and the tokens without a role cost {loss[ELSEWHERE]:.2f}."
        ]
    if loss[WITHIN] < total / 4:
        said.append(
            "It writes what depends on the sentence around and not on what varies in it: set to "
            "the "
            f"mean of the same template and order it costs {loss[WITHIN]:.2f}, and such means "
            "stand "
            "in for all that a circuit leaves out."
        )
    elif loss[PARTNER] < total / 4:
        said.append(
            "What it writes is nearly the same in the corrupted prompts: with its output from "
            "there "
            f"the loss is {loss[PARTNER]:.2f}, so it does not carry what the prompts differ in, "
            "and "
            "path patching cannot find it."
        )
    gain = loss[IN_CIRCUIT]
    scale = abs(float(found.whole.mean()))
    share = float(found.attrs["share"])
    if abs(gain) < share * scale:
        said.append(
            f"Inside the circuit its mean does as well: with the head kept, F(C) changes by "
            f"{gain:+.2f}; what needs it in the whole model is not in the circuit."
        )
    elif gain > 0:
        said.append(
            f"The circuit lacks it: with the head kept everywhere, F(C) rises by {gain:.2f}."
        )
    else:
        said.append(
            f"The circuit does better without it: with the head kept, F(C) falls by {-gain:.2f}."
        )
    return re.sub(r"(?<!\w)-(?=\d)", "\N{MINUS SIGN}", " ".join(said))
