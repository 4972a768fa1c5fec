"""The search behind `interp.circuits.derive`: tests for the nodes and links of a circuit.

A node is tested by its paths into all later nodes that were found, a link by the path into one
input of one receiver; see `derive` for what counts. Nothing whose 95 % interval includes zero is
chosen: neither a node, nor a receiver, nor a link.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from interp.circuits.discoveries import effect_p_values, q_values
from interp.circuits.links import Link
from interp.metrics import Metrics
from interp.model import HookedGPT2
from interp.parts import QKV, Edge, Head, Input, Logits, Node, Port
from interp.patching import Ablation, NodePaths
from interp.patching.node_paths import Sent
from interp.statistics import interval
from interp.tasks import Task

Effects = dict[str, Float[np.ndarray, " prompt"]]
"""Metric -> effect on each prompt."""

END = Node(Logits(), "END")


@dataclass(frozen=True)
class Discovery:
    """A node that was tested, and the metrics that found it.

    Args:
        effects: for each metric, the effect of its paths on each prompt
        q: for each metric, its q value
        by: the metrics whose tests it passed
        receives: whether it can be a receiver: its effect on some metric is told from zero
    """

    effects: Effects
    q: Mapping[str, float]
    by: tuple[str, ...]
    receives: bool


class Search:
    """The search from the logits to the tokens.

    Args:
        model: the model
        task: the prompts, padded on the right
        metrics: the metrics in which effects are measured; links are tested in the first
        smallest: the effect that a node must exceed, as a fraction of the metric's mean
        fdr: bound on the false-discovery rate of a family of tests
        ablation: what is knocked out of the model while paths are patched

    Raises:
        ValueError: the mean of a metric over the prompts is zero
    """

    def __init__(
        self,
        model: HookedGPT2,
        task: Task,
        metrics: Metrics | None,
        smallest: float,
        fdr: float,
        ablation: Ablation | None = None,
    ) -> None:
        self.model, self.task, self.fdr, self._chosen = model, task, fdr, metrics
        self.paths = NodePaths(model, task, metrics=metrics, ablation=ablation)
        self.without: NodePaths | None = None  # the model without the heads that write the answer
        self.fraction = smallest
        base = {name: float(values.mean()) for name, values in self.paths.base.items()}
        for name, mean in base.items():
            if not abs(mean) > 1e-6:
                raise ValueError(
                    f"the mean of {name} over the prompts is {mean:.1g}, and an effect counts if "
                    "it is beyond a fraction of it; choose a metric that is not 0, such as "
                    "logit_diff"
                )
        self.metrics = tuple(base)
        self.smallest = {name: smallest * abs(mean) for name, mean in base.items()}
        """For each metric, the effect that a node must exceed."""
        self.found: dict[Node, Discovery] = {}
        self.hidden: set[Node] = set()
        """The nodes that have an effect only without the heads that write the answer."""
        self.tested = 0
        self._gone: set[Node] = set()  # what is knocked out of `without`
        self._alone = _alone(task)

    def writers(self) -> None:
        """Find the heads that write to the logits, then those that do so without the former."""
        c = self.model.config
        last = [Node(Head(i, h), "END") for i in range(c.n_layers) for h in range(c.n_heads)]
        self._test(self.paths, last)
        self._gone = {
            node
            for node, one in self.found.items()
            if min(float(one.effects[name].mean()) for name in one.by) < 0
        }
        if self._gone:
            self.without = NodePaths(
                self.model,
                self.task,
                metrics=self._chosen,
                ablation=Ablation(sorted(self._gone), value="group mean"),
            )
            self._test(self.without, last)

    def step(self, layer: int) -> None:
        """Find the nodes of a layer by what they write for later nodes and the logits."""
        heads = range(self.model.config.n_heads)
        here = [Node(Head(layer, head), role) for head in heads for role in self._alone]
        self._test(self.paths, here)
        if self.without and self.hidden:
            self._test(self.without, here)

    def take(self, nodes: Sequence[Node]) -> None:
        """Measure known nodes, and keep all of them."""
        for layer in sorted({node.layer for node in nodes}, reverse=True):
            self._test(self.paths, [node for node in nodes if node.layer == layer], every=True)

    def _test(self, paths: NodePaths, nodes: Sequence[Node], *, every: bool = False) -> None:
        """Keep the nodes whose paths into all later nodes and the logits matter."""
        sent = paths.send(nodes)
        last = max(node.layer for node in nodes)
        gone = self._gone if paths is self.without else set()
        into = [
            Port(node, "qkv")
            for node, one in self.found.items()
            if node.layer > last and node not in gone and one.receives
        ]
        values = self._counted(sent, paths.receive(sent, [*into, Port(END)]))
        self.tested += len(sent.senders)
        p = [effect_p_values(values[name], smallest=self.smallest[name]) for name in self.metrics]
        q = q_values(np.concatenate(p)).reshape(len(self.metrics), -1)  # metric sender
        for i, node in enumerate(sent.senders):
            of_node = dict(zip(self.metrics, map(float, q[:, i]), strict=True))
            by = tuple(
                name
                for name in self.metrics
                if of_node[name] <= self.fdr and self._told(values[name][i : i + 1])[0]
            )
            if (by or every) and node not in self.found:
                effects = {name: values[name][i] for name in self.metrics}
                told = bool(by) or bool(self._told(np.stack([*effects.values()])).any())
                self.found[node] = Discovery(effects, of_node, by, told)
                if paths is self.without:
                    self.hidden.add(node)

    def links(self) -> tuple[tuple[Link, ...], Mapping[str, np.ndarray]]:
        """Test every path from a node, or a token, into one input of a later node or the logits.

        A node none of whose links passes keeps the strongest one whose interval excludes zero, if
        there is any: its effect goes somewhere, though each single path is too weak for the test.

        Returns:
            The links found in the first metric, with intervals, and the effects [link prompt] in
            each metric.
        """
        first = self.metrics[0]
        tried: list[tuple[Edge, Effects, float]] = []
        senders = [*(Node(Input(), role) for role in self._alone), *sorted(self.found)]
        for paths, mine in (
            (self.paths, self.found.keys() - self.hidden),
            (self.without, self.hidden),
        ):
            if paths is None or not mine:
                continue
            sent = paths.send(senders)
            ends = [one for one in senders if one.role == "END" and (one in mine or one.layer < 0)]
            tried += self._into(paths, sent.of(ends), Port(END), self.smallest[first])
            for node in sorted(one for one in mine if self.found[one].receives):
                effect = abs(float(self.found[node].effects[first].mean()))
                least = self.fraction * max(effect, self.smallest[first])
                earlier = [one for one in senders if one.layer < node.layer]
                own = [one for one in earlier if one.role == node.role]
                for letter in QKV:
                    some = sent.of(own if letter == "q" else earlier)
                    tried += self._into(paths, some, Port(node, letter), least)
        self.tested += len(tried)
        if not tried:
            return (), {name: np.empty((0, len(self.task))) for name in self.metrics}
        relative = np.stack([effects[first] / least for _, effects, least in tried])
        q = q_values(effect_p_values(relative, smallest=1.0))
        every = np.stack([effects[first] for _, effects, _ in tried])
        told = self._told(every)
        chosen = [i for i in range(len(tried)) if q[i] <= self.fdr and told[i]]
        linked = {tried[i][0].sender for i in chosen}
        for node in self.found.keys() - linked:
            wires = [i for i in range(len(tried)) if told[i] and tried[i][0].sender == node]
            chosen += sorted(wires, key=lambda i: -abs(every[i].mean()))[:1]
        taken = sorted(chosen, key=lambda i: tried[i][0])
        values = {
            name: np.array([tried[i][1][name] for i in taken]).reshape(-1, len(self.task))
            for name in self.metrics
        }
        low, high = (
            interval("mean", values[first], groups=self.task.group)[1:] if taken else ((), ())
        )
        means = values[first].mean(-1)
        links = [
            Link(tried[i][0], float(means[j]), float(low[j]), float(high[j]), float(q[i]))
            for j, i in enumerate(taken)
        ]
        return tuple(links), values

    def _into(
        self, paths: NodePaths, sent: Sent, port: Port, least: float
    ) -> list[tuple[Edge, Effects, float]]:
        """Effects of senders through one input of a node, or on the logits, if there is a path."""
        values = self._counted(sent, paths.receive(sent, [port]))
        found = []
        for i, sender in enumerate(sent.senders):
            effects = {name: values[name][i] for name in self.metrics}
            if any(one.any() for one in effects.values()):
                found.append((Edge(sender, *port), effects, least))  # type: ignore[arg-type]
        return found

    def _told(self, effects: Float[np.ndarray, "test prompt"]) -> Bool[np.ndarray, " test"]:
        """Which mean effects have a 95 % interval that excludes zero."""
        _, low, high = interval("mean", effects, groups=self.task.group)
        return (np.asarray(low) > 0) | (np.asarray(high) < 0)

    def _counted(
        self, sent: Sent, values: Mapping[str, Float[np.ndarray, "sender prompt"]]
    ) -> dict[str, Float[np.ndarray, "sender prompt"]]:
        """Effects, zero where a later role at the sender's token has the effect instead."""
        alone = np.stack([self._alone[str(node.role)] for node in sent.senders])
        return {name: one * alone for name, one in values.items()}


def _alone(task: Task) -> dict[str, Bool[np.ndarray, " prompt"]]:
    """For each role, the prompts in which no later role stands at its token."""
    at = {role: where.cpu().numpy() for role, where in task.positions.items()}
    roles = list(at)
    return {
        role: ~np.any([at[role] == at[later] for later in roles[i + 1 :]], axis=0)
        if i + 1 < len(roles)
        else np.ones(len(task), dtype=bool)
        for i, role in enumerate(roles)
    }
