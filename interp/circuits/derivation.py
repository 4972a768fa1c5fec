"""A circuit derived by path patching, from the logits back to the tokens.

The first receivers are the logits at END: every head's direct path to them is patched. The direct
paths are patched once more with the heads that write the answer knocked out; heads that write it
only then are backups. Then, layer by layer from the second to last to the first:

    senders      every head of the layer, at every role
    receivers    queries, keys and values of all nodes found so far, and the logits, together

Thus a node is found by everything it writes for the circuit, even if it writes little for each of
many receivers. A node is a head at a role; it counts if the mean effect of its paths on one of the
metrics exceeds `smallest` times the mean of that metric, by a test over prompts that keeps the
false-discovery rate of the layer, over all metrics, below `fdr`. If there are backups, every layer
is tested a second time without the heads that they step in for, which shows what feeds the backups;
the links of nodes found only then are also measured in that model.

Then links are measured between the nodes that were found, and from the tokens: one sender and one
input of one receiver at a time, by the first metric. A link counts if its effect exceeds `smallest`
times that of its receiver (for the logits, the mean of the metric), by the same test over all links
together. A node none of whose links passes keeps the strongest one, so that the circuit shows where
its effect goes; its q value is then above `fdr`. Nothing whose 95 % interval includes zero is
chosen, neither a node nor a receiver nor a link. See `interp.patching.NodePaths` for what is
patched, `interp.circuits.discoveries` for the tests, and `interp.circuits.behavior` for the
classes.

The derivation cannot see three things: what is the same in the clean and the corrupted prompts;
what happens at tokens without a role; and heads that step in for each other, so that each alone has
no effect (except backups of the heads that write the answer). Pruning
(`interp.circuits.prune_heads`) finds the last: pass its heads as `nodes`, and what it removed as
`ablation`, to measure their links.

Source: Wang et al. 2022 (arXiv 2211.00593), section 3 and, for the backups, 3.4. The paper patches
into one class of heads after the other and chooses by eye; here all nodes found so far receive
together, and a test sets the threshold.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr

from interp.circuits.behavior import class_of, named_for, node_behavior, require_heads
from interp.circuits.circuit import Circuit
from interp.circuits.classes import BACKUPS
from interp.circuits.evidence import Derivation, effects_by_prompt
from interp.circuits.members import Member
from interp.circuits.search import Search
from interp.metrics import Metrics
from interp.model import HookedGPT2
from interp.parts import Node, NodeLike
from interp.patching import Ablation
from interp.runs.question import question
from interp.runs.sides import Progress
from interp.tasks import Task


@torch.inference_mode()
def derive(
    model: HookedGPT2,
    task: Task,
    *,
    metrics: Metrics | None = None,
    smallest: float = 0.02,
    fdr: float = 0.05,
    min_attention: float = 0.2,
    nodes: Sequence[NodeLike] | None = None,
    ablation: Ablation | None = None,
    progress: Progress = iter,
) -> Derivation:
    """Derive the circuit of a task by path patching from the logits to the tokens.

    Args:
        model: the model
        task: clean prompts with corrupted partners, and roles
        metrics: the metrics in which effects are measured, as in `patch`; by default the task's
            own. A node counts if it passes the test in one of them; links are tested in the first.
        smallest: the smallest effect that counts, as a fraction: for a node, of the mean metric;
            for a link, of its receiver's effect
        fdr: bound on the expected fraction of false discoveries, among the nodes of one layer and
            among all links
        min_attention: the smallest mean attention that counts for a class, as a probability
        nodes: heads at roles, such as "9.6@END", if they are known already: all are kept, whatever
            their effect, and only their links are tested
        ablation: what is knocked out of the model while the paths of `nodes` are patched, for
            instance everything that pruning removed, so that no other head steps in for one of
            them
        progress: wraps the layers, for a progress bar

    Returns:
        The circuit with its evidence.

    Raises:
        ValueError: an option is out of range, there are fewer than two prompts, the mean of a
            metric is zero, the model or the task lacks a node, or an ablation is given without
            nodes
    """
    require_fractions(smallest=smallest, fdr=fdr)
    if not 0 <= min_attention <= 1:
        raise ValueError(f"min_attention must be a probability, from 0 to 1; got {min_attention}")
    if len(task) < 2:
        raise ValueError(f"a test over prompts needs at least 2 of them; got {len(task)}")
    if ablation and nodes is None:
        raise ValueError("an ablation only applies to known nodes; pass nodes= too")
    known = None
    if nodes is not None:
        known = [Node(head, role) for head, role in require_heads(model, task, nodes)]
    task = task.right_padded().to(model.device)
    search = Search(model, task, metrics, smallest, fdr, ablation)
    if known is None:
        search.writers()
        for layer in progress(list(reversed(range(model.config.n_layers - 1)))):
            search.step(layer)
    else:
        search.take(known)
    found = sorted(search.found)
    links, values = search.links()
    behavior = node_behavior(model, task, found)
    classes: dict[Node, str] = {}
    for node in reversed(found):  # the last layer first
        one = behavior.sel(node=str(node)).mean("prompt")
        kind = class_of(node, one, links, classes, min_attention)
        classes[node] = BACKUPS.get(kind, kind) if node in search.hidden else kind
    how = "derived by path patching" if known is None else "heads as given, links by path patching"
    circuit = Circuit(
        model.name,
        tuple(Member(node, named_for(task, classes[node])) for node in found),
        f"{how}; smallest effect {smallest:.1%} of the mean {' or '.join(search.metrics)} for a "
        f"head and of its receiver's for a link, FDR {fdr:g}",
        links,
        model.fingerprint(),
        task.name,
    )
    asked = question(
        "derive", ablation=ablation, smallest=smallest, fdr=fdr, min_attention=min_attention,
        nodes=None if known is None else " ".join(map(str, sorted(known))),
    )  # fmt: skip

    def arrays(what: str, names: Sequence[str], of: Mapping[str, np.ndarray]) -> xr.Dataset:
        return effects_by_prompt(what, names, of, search.smallest, model, task, asked)

    each = [search.found[node] for node in found]
    effects = {
        name: np.array([one.effects[name] for one in each]).reshape(-1, len(task))
        for name in search.metrics
    }
    evidence = arrays("node", [str(node) for node in found], effects)
    q = np.array([[one.q[name] for one in each] for name in search.metrics], dtype=float)
    by = np.array([", ".join(one.by) for one in each], dtype=str)
    tests: dict[str, Any] = {"q_value": (("metric", "node"), q), "found_by": ("node", by)}
    return Derivation(
        circuit,
        arrays("link", [str(link) for link in links], values),
        evidence.assign_coords(metric=list(search.metrics), **tests),
        behavior,
        search.tested,
        search.smallest[search.metrics[0]],
        fdr,
    )


def require_fractions(**options: float) -> None:
    """Refuse options that are not fractions between 0 and 1.

    Args:
        options: the options, by name

    Raises:
        ValueError: an option is out of range
    """
    if not all(0 < value < 1 for value in options.values()):
        given = " and ".join(f"{name}={value}" for name, value in options.items())
        raise ValueError(f"{' and '.join(options)} must be fractions between 0 and 1; got {given}")
