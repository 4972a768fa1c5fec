"""What senders write: in the clean run, and what stands in for them where an edge is cut.

    counterfactual   what the sender writes in the prompt's own corrupted partner
    resample         what it writes in the partner of a reference prompt, one for each prompt
    mean             its mean over the real positions of all reference prompts
    group mean       its mean over the reference prompts of the same group, at each position
    zero             nothing

`interp.runs.stand_ins` says more about all but the first. Heads are kept as z, which is a small
part of what they write: W_O turns one into the other.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from jaxtyping import Float, Int
from torch import Tensor

from interp.model import HookedGPT2
from interp.runs.graph import Graph
from interp.runs.pair import require_alignment
from interp.runs.sides import Progress, Prompts
from interp.runs.sites import Key
from interp.runs.stand_ins import Reference, StandIns, reference_task, stand_ins
from interp.tasks import Task

EdgeAblation = Literal["counterfactual", "zero", "mean", "group mean", "resample"]
"""What a receiver reads from a sender where their edge is cut; see the module."""


def sender_keys(n_layers: int) -> list[Key]:
    """The activations that hold what senders write."""
    heads: list[Key] = [("z", layer) for layer in range(n_layers)]
    return [("embed", 0), *heads, *(("mlp_out", layer) for layer in range(n_layers))]


@dataclass(frozen=True)
class Senders:
    """What stands in for senders on the prompts of a task.

    Args:
        model: the model
        task: the prompts, padded on the right and on the model's device
        graph: the graph of the model
        ablation: which stand-in
        new: the stand-ins
    """

    model: HookedGPT2
    task: Task
    graph: Graph
    ablation: EdgeAblation
    new: StandIns

    @property
    def of_a_run(self) -> bool:
        """Whether stand-ins are what one run writes: who reads nothing else, writes them too."""
        return self.ablation in ("counterfactual", "resample")

    def values(self, prompts: Prompts, length: int) -> dict[Key, Float[Tensor, "prompt pos ..."]]:
        """The stand-ins of some prompts, by `sender_keys`, in full.

        Args:
            prompts: which prompts
            length: number of positions
        """
        found = self.new.values(prompts, length)
        return {
            key: value.expand(len(prompts), length, *_width(self.model, key[0]))
            for key, value in found.items()
        }


def ablated_senders(
    model: HookedGPT2,
    task: Task,
    graph: Graph | None,
    ablation: EdgeAblation,
    reference: Reference,
    *,
    progress: Progress = iter,
) -> Senders:
    """Prepare what stands in for senders.

    Args:
        model: the model
        task: the prompts, padded on the right and on the model's device
        graph: the graph of the model; None to make it
        ablation: which stand-in; see the module
        reference: prompts for means and resampling, as in `Ablation`
        progress: wraps the batches of reference prompts, for a progress bar

    Returns:
        The stand-ins.

    Raises:
        ValueError: the ablation is unknown, the graph is of another model, a reference is missing
            or has no use, the texts of a pair do not have their roles at the same positions, or
            the reference does not fit the task
    """
    if ablation not in get_args(EdgeAblation):
        raise ValueError(
            f"expected an ablation among {list(get_args(EdgeAblation))}, got {ablation!r}"
        )
    own = Graph.of(model)
    if graph is not None and graph != own:
        raise ValueError(
            f"the graph has {graph.n_layers} layers of {graph.n_heads} heads, and {model.name} has "
            f"{own.n_layers} of {own.n_heads}; make it with Graph.of(model)"
        )
    if ablation == "counterfactual":
        if reference is not None:
            raise ValueError(
                "the counterfactual of a prompt is its own corrupted partner, without a reference; "
                "for the texts of other prompts use ablation='resample'"
            )
        require_alignment(task, "edges", (), by_role=False)
    if ablation == "resample" and not isinstance(reference, Task):
        raise ValueError(
            "resampling needs reference= a task with one prompt for each; for the prompts' own "
            "corrupted partners use ablation='counterfactual'"
        )
    value = "resample" if ablation == "counterfactual" else ablation
    keys = sender_keys(own.n_layers)
    new = stand_ins(model, task, keys, value, reference=reference, progress=progress)
    return Senders(model, task, own, ablation, new)


def reference_of(task: Task, ablation: EdgeAblation, reference: Reference) -> str:
    """The fingerprint of the prompts whose activations stand in; "" if they are the task's own."""
    if ablation == "counterfactual":
        return ""
    found = reference_task(task, ablation, reference)
    return "" if found is None else found.fingerprint


def edge_batches(task: Task, n_values: int, memory: int) -> list[Int[Tensor, " batch"]]:
    """Batches of prompts of similar length, which fit into memory.

    Args:
        task: the prompts
        n_values: number of values that are kept for each token
        memory: number of values that fit

    Returns:
        Indices of the prompts of each batch, at least one each.
    """
    lengths = task.mask("clean").sum(-1)
    order = lengths.argsort(stable=True)
    n_tokens, found, first = memory // n_values, [], 0
    for i, length in enumerate(lengths[order].tolist()):
        if i > first and length * (i + 1 - first) > n_tokens:
            found.append(order[first:i])
            first = i
    return [*found, order[first:]]


def _width(model: HookedGPT2, site: str) -> tuple[int, ...]:
    c = model.config
    return (c.n_heads, c.d_head) if site == "z" else (c.d_model,)
