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
its heads and measures their links.

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
from jaxtyping import Bool, Float

from interp.circuits.behavior import class_of, named_for, node_behavior
from interp.circuits.circuit import Circuit, CircuitHead
from interp.circuits.discoveries import effect_p_values, q_values
from interp.circuits.links import INPUT, LOGITS, Link, LinkKey
from interp.model import HookedGPT2
from interp.patching import TOKENS, Ablation, Keep, NodePaths, Port, Progress, Sent
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
            `q_value`, those of `node_behavior` (means over prompts) and `tells` (its receivers with
            the input).
        """
        means = self.behavior.mean("prompt")
        if not self.circuit.heads:
            return pd.DataFrame()
        low, high = bootstrap_interval(self.nodes.values)
        rows = []
        for i, head in enumerate(self.circuit.heads):
            at = head.label, head.position
            out = [x for x in self.circuit.links if (x.sender, x.sent_from) == at]
            tells = dict.fromkeys(f"{x.receiver} {x.inputs}".strip() for x in out)
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
            rows.append({**row, "tells": ", ".join(tells)})
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
        seed: of the bootstrap.
        progress: wraps the layers, for a progress bar.

    Returns:
        The circuit with its evidence.

    Raises:
        ValueError: for options out of range, fewer than two prompts, or nodes that there are not.
    """
    if not 0 < smallest < 1 or not 0 < fdr < 1:
        raise ValueError(
            f"smallest and fdr are fractions between 0 and 1, got {smallest} and {fdr}"
        )
    if len(task) < 2:
        raise ValueError("a test over prompts needs at least 2 of them")
    task = task.right_padded().to(model.device)
    search = _Search(model, task, smallest, fdr)
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


class _Search:
    """The walk from the logits to the tokens.

    Args:
        model: the model.
        task: the prompts, padded on the right.
        smallest: the effect that a node must exceed, as a fraction.
        fdr: bound on the false-discovery rate of a family of tests.
    """

    def __init__(self, model: HookedGPT2, task: Task, smallest: float, fdr: float) -> None:
        self.model, self.task, self.fdr = model, task, fdr
        self.paths = NodePaths(model, task)
        self.without: NodePaths | None = None  # of the model without the name movers
        self.fraction = smallest
        self.smallest = smallest * abs(float(self.paths.base.mean()))
        self.found: dict[Keep, tuple[Float[np.ndarray, " prompt"], float]] = {}
        """Effect on each prompt and q value of each node."""
        self.hidden: set[Keep] = set()
        """The nodes that have an effect only without the name movers."""
        self.tested = 0
        self._alone = _alone(task)

    def writers(self) -> None:
        """Find the heads that write to the logits, and those that do without the name movers."""
        c = self.model.config
        last = [(layer, head, "END") for layer in range(c.n_layers) for head in range(c.n_heads)]
        self._test(self.paths, last)
        movers = [node[:2] for node, (values, _) in self.found.items() if values.mean() < 0]
        if movers:
            gone = Ablation(heads=movers, value="group mean", positions=["END"])
            self.without = NodePaths(self.model, self.task, ablation=gone)
            self._test(self.without, last)

    def step(self, layer: int) -> None:
        """Find the nodes of a layer by what they tell the later ones and the logits."""
        heads = range(self.model.config.n_heads)
        here = [(layer, head, role) for head in heads for role in self._alone]
        self._test(self.paths, here)
        if self.without and self.hidden:
            self._test(self.without, here)

    def take(self, nodes: Sequence[Keep]) -> None:
        """Measure nodes that are known, and keep all of them."""
        for layer in sorted({layer for layer, _, _ in nodes}, reverse=True):
            self._test(self.paths, [node for node in nodes if node[0] == layer], least=1.0)

    def _test(self, paths: NodePaths, nodes: Sequence[Keep], least: float | None = None) -> None:
        """Keep the nodes whose paths into all that was found after them, and the logits, matter."""
        sent = paths.send(nodes)
        into = [Port(*node, "qkv") for node in self.found if node[0] > nodes[-1][0]]
        values = self._counted(sent, paths.receive(sent, into, logits=True))
        self.tested += len(values)
        q = q_values(effect_p_values(values, smallest=self.smallest))
        for node, one, surprise in zip(sent.senders, values, q, strict=True):
            if surprise <= (self.fdr if least is None else least) and node not in self.found:
                self.found[node] = one, float(surprise)
                if paths is self.without:
                    self.hidden.add(node)

    def links(self, seed: int) -> tuple[tuple[Link, ...], Float[np.ndarray, "link prompt"]]:
        """Test every path from a node, or a token, into one input of a later node or the logits.

        Args:
            seed: of the bootstrap.

        Returns:
            What was found, with intervals, and the effects.
        """
        tried: list[tuple[LinkKey, Float[np.ndarray, " prompt"], float]] = []
        senders = [*((TOKENS, 0, role) for role in self._alone), *sorted(self.found)]
        for paths, mine in (
            (self.paths, self.found.keys() - self.hidden),
            (self.without, self.hidden),
        ):
            if paths is None or not mine:
                continue
            sent = paths.send(senders)
            ends = [node for node in senders if node[2] == "END" and (node in mine or node[0] < 0)]
            tried += self._into(paths, sent.of(ends), None, self.smallest)
            for node in sorted(mine):
                effect = abs(float(self.found[node][0].mean()))
                earlier = [one for one in senders if one[0] < node[0]]
                own = [one for one in earlier if one[2] == node[2]]
                for letter in "qkv":
                    some = sent.of(own if letter == "q" else earlier)
                    port = Port(*node, letter)
                    tried += self._into(
                        paths, some, port, self.fraction * max(effect, self.smallest)
                    )
        self.tested += len(tried)
        if not tried:
            return (), np.empty((0, len(self.task)))
        relative = np.stack([values / needed for _, values, needed in tried])
        q = q_values(effect_p_values(relative, smallest=1.0))
        taken = [i for i in range(len(tried)) if q[i] <= self.fdr]
        effects = np.array([tried[i][1] for i in taken]).reshape(-1, len(self.task))
        low, high = bootstrap_interval(effects, seed=seed) if taken else ((), ())
        links = [
            Link(*tried[i][0], float(effects[j].mean()), float(low[j]), float(high[j]), float(q[i]))
            for j, i in enumerate(taken)
        ]
        return tuple(links), effects

    def _into(
        self, paths: NodePaths, sent: Sent, port: Port | None, needed: float
    ) -> list[tuple[LinkKey, Float[np.ndarray, " prompt"], float]]:
        """Effects of senders on one input of a node, or on the logits, where there is a path."""
        if port is None:
            values, end = paths.receive(sent, logits=True), (LOGITS, "END", "")
        else:
            values = paths.receive(sent, [port])
            end = (f"{port.layer}.{port.head}", port.role, port.inputs)
        counted = zip(sent.senders, self._counted(sent, values), strict=True)
        return [
            (LinkKey(INPUT if i == TOKENS else f"{i}.{head}", role, *end), one, needed)
            for (i, head, role), one in counted
            if one.any()
        ]

    def _counted(
        self, sent: Sent, values: Float[np.ndarray, "sender prompt"]
    ) -> Float[np.ndarray, "sender prompt"]:
        """Effects, zero where a later role stands at the sender's token, which has them then."""
        return values * np.stack([self._alone[role] for _, _, role in sent.senders])


def _alone(task: Task) -> dict[str, Bool[np.ndarray, " prompt"]]:
    """For each role, in which prompts no later role stands at its token."""
    at = {role: where.cpu().numpy() for role, where in task.positions.items()}
    roles = list(at)
    return {
        role: ~np.any([at[role] == at[later] for later in roles[i + 1 :]], axis=0)
        if i + 1 < len(roles)
        else np.ones(len(task), dtype=bool)
        for i, role in enumerate(roles)
    }
