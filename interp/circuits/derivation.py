"""A circuit derived by path patching from the logits backwards, all that was found asked together.

The first receivers are the logits at END: every head's direct path to them is patched. With the
heads knocked out that write the answer, the direct paths are patched once more; heads that write it
only then are backups. Then layer by layer, from the last but one to the first:

    senders      every head of the layer, at every role
    receivers    queries, keys and values of all nodes found so far, and the logits, together

so that a node is found by all that it tells the circuit, be it little to each of many. A node is a
head at a role; it counts if the mean effect of its paths is beyond `smallest` times the mean of the
metric, by a test over prompts that holds the false discoveries of the layer below `fdr`. If there
are backups, every layer is asked a second time without the heads that they step in for, which shows
what feeds the backups; the links of what is found only then are measured in that model too.

Then links are measured between the nodes that were found, and from the tokens: one sender, one
input of one receiver. A link counts if its effect is beyond `smallest` times that of its receiver
(for the logits, again, the mean of the metric), by the same test over all links together. See
`interp.patching.NodePaths` for what is patched, `interp.circuits.discoveries` for the tests,
`interp.circuits.behavior` for the classes.

What it cannot see: what is the same in the clean and the corrupted prompts; what happens at tokens
that have no role; and, but for backups of those that write the answer, heads that step in for each
other, each alone without effect. Pruning (`interp.circuits.prune_heads`) sees those; `nodes` takes
its heads and measures their links, with `ablation` in what pruning has left of the model.

Source: Wang et al. 2022 (arXiv 2211.00593), section 3 and, for the backups, 3.4. The paper patches
into one class of heads after the other and chooses by eye; here all that is found receives
together, and the threshold is a test.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
import xarray as xr

from interp.circuits.behavior import class_of, named_for, node_behavior
from interp.circuits.circuit import Circuit, CircuitHead
from interp.circuits.search import Search
from interp.model import HookedGPT2
from interp.patching import Ablation, Keep, Progress
from interp.results import labelled
from interp.statistics import bootstrap_interval
from interp.tasks import Task


@dataclass(frozen=True)
class Derivation:
    """A derived circuit with its evidence.

    Args:
        circuit: the heads with class and position, and their links with effect, interval, q value.
        effects: effect of each link on each prompt, dims link, prompt, in logits.
        nodes: effect of each head's paths into all that was found before it, dims node, prompt, in
            logits, with `q_value` of each; of a head that has one only without the name movers,
            that one.
        behavior: of `node_behavior`, of each head of the circuit at its position.
        tested: how many paths were tested.
        smallest: the effect that a node must exceed, in logits.
        fdr: bound on the expected fraction of false discoveries of each family of tests.
    """

    circuit: Circuit
    effects: xr.DataArray
    nodes: xr.DataArray
    behavior: xr.Dataset
    tested: int
    smallest: float
    fdr: float

    def heads(self) -> pd.DataFrame:
        """One row a head: class, position, its effect, what it does, what it tells whom.

        Returns:
            Columns `head`, `position`, `class`, `effect`, `low`, `high` (of its paths, logits),
            `q_value`, those of `node_behavior` (means over prompts) and `tells` (its receivers, by
            input: "4.0 4.6 v, logits").
        """
        means = self.behavior.mean("prompt")
        if not self.circuit.heads:
            return pd.DataFrame()
        low, high = bootstrap_interval(self.nodes)
        rows = []
        for i, head in enumerate(self.circuit.heads):
            at = head.label, head.position
            out = [x for x in self.circuit.links if (x.sender, x.sent_from) == at]
            tells: dict[str, dict[str, None]] = {}  # input -> its receivers, once each
            for link in out:
                tells.setdefault(link.inputs, {})[link.receiver] = None
            row: dict[str, object] = {
                "head": head.label,
                "position": head.position,
                "class": head.kind,
                "effect": float(self.nodes[i].mean()),
                "low": float(low[i]),
                "high": float(high[i]),
                "q_value": float(self.nodes["q_value"][i]),
            }
            row |= {str(name): float(value[i]) for name, value in means.items()}
            who = (f"{' '.join(receivers)} {inputs}".strip() for inputs, receivers in tells.items())
            rows.append({**row, "tells": ", ".join(who)})
        return pd.DataFrame(rows)

    def links(self) -> pd.DataFrame:
        """One row a link: its ends and inputs, effect with interval (logits), q value."""
        return pd.DataFrame([link.record() for link in self.circuit.links])


@torch.inference_mode()
def derive(
    model: HookedGPT2,
    task: Task,
    *,
    smallest: float = 0.02,
    fdr: float = 0.05,
    min_attention: float = 0.2,
    nodes: Sequence[Keep] | None = None,
    ablation: Ablation | None = None,
    seed: int = 0,
    progress: Progress = iter,
) -> Derivation:
    """Derive the circuit of a task by path patching from the logits to the tokens.

    Args:
        model: the model.
        task: clean prompts with corrupted partners, and roles.
        smallest: the effect that counts, as a fraction: of the mean logit difference for a node, of
            its receiver's effect for a link.
        fdr: bound on the expected fraction of false discoveries, among the nodes of one layer and
            among all links.
        min_attention: smallest mean attention that decides a class, as a probability.
        nodes: (layer, head, role) of the heads, if they are known: all are taken, whatever their
            effect, and only their links are tested.
        ablation: what is knocked out of the model while the paths of `nodes` are patched, such as
            all that pruning has left out, so that no other head steps in for one of them.
        seed: of the bootstrap.
        progress: wraps the layers, for a progress bar.

    Returns:
        The circuit with its evidence.

    Raises:
        ValueError: for options out of range, fewer than two prompts, nodes that there are not, or
            an ablation without nodes.
    """
    if not 0 < smallest < 1 or not 0 < fdr < 1:
        raise ValueError(
            f"smallest and fdr are fractions between 0 and 1, got {smallest} and {fdr}"
        )
    if len(task) < 2:
        raise ValueError("a test over prompts needs at least 2 of them")
    if ablation and nodes is None:
        raise ValueError("an ablation is for nodes that are known; pass them too")
    task = task.right_padded().to(model.device)
    search = Search(model, task, smallest, fdr, ablation)
    if nodes is None:
        search.writers()
        for layer in progress(list(reversed(range(model.config.n_layers - 1)))):
            search.step(layer)
    else:
        search.take(nodes)
    found = sorted(search.found)
    links, values = search.links(seed)
    behavior = node_behavior(model, task, found)
    heads: dict[tuple[str, str], CircuitHead] = {}
    for i, node in sorted(enumerate(found), key=lambda one: -one[1][0]):
        layer, head, role = node
        one = behavior.isel(node=i).mean("prompt")
        kind = class_of((f"{layer}.{head}", role), one, links, heads, min_attention)
        if node in search.hidden and kind == "name mover":
            kind = "backup name mover"
        heads[f"{layer}.{head}", role] = CircuitHead(layer, head, kind, role)
    how = "derived by path patching" if nodes is None else "heads as given, links by path patching"
    circuit = Circuit(
        model.name,
        tuple(
            replace(one, kind=named_for(task, one.kind))
            for one in (heads[f"{layer}.{head}", role] for layer, head, role in found)
        ),
        f"{how}; smallest effect {smallest:.1%} of F(M) for a head and of its receiver's for a "
        f"link, FDR {fdr:g}",
        links,
    )

    def array(what: str, names: list[str], values: np.ndarray) -> xr.DataArray:
        return labelled(
            values,
            (what, "prompt"),
            name="effect",
            title=f"Effect of each {what}",
            unit="logits",
            model=model,
            task=task,
            coords={what: names},
        )

    labels = [f"{layer}.{head} at {role}" for layer, head, role in found]
    each = [search.found[node] for node in found]
    of_nodes = np.stack([e for e, _ in each]) if each else np.empty((0, len(task)))
    evidence = array("node", labels, of_nodes).assign_coords(q_value=("node", [q for _, q in each]))
    return Derivation(
        circuit,
        array("link", [str(link) for link in links], values),
        evidence,
        behavior,
        search.tested,
        search.smallest,
        fdr,
    )
