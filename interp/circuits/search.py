"""The walk of `interp.circuits.derive`: which nodes and links of a circuit there are, with tests.

A node is tested by its paths into all that was found after it, a link by the path into one input of
one receiver; see `derive` for what counts.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from interp.circuits.discoveries import effect_p_values, q_values
from interp.circuits.links import INPUT, LOGITS, Link, LinkKey
from interp.model import HookedGPT2
from interp.patching import TOKENS, Ablation, Keep, NodePaths, Port, Sent
from interp.statistics import bootstrap_interval
from interp.tasks import Task


class Search:
    """The walk from the logits to the tokens.

    Args:
        model: the model.
        task: the prompts, padded on the right.
        smallest: the effect that a node must exceed, as a fraction.
        fdr: bound on the false-discovery rate of a family of tests.
        ablation: what is knocked out of the model in which paths are patched.
    """

    def __init__(
        self,
        model: HookedGPT2,
        task: Task,
        smallest: float,
        fdr: float,
        ablation: Ablation | None = None,
    ) -> None:
        self.model, self.task, self.fdr = model, task, fdr
        self.paths = NodePaths(model, task, ablation=ablation)
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
        low, high = bootstrap_interval(effects, groups=self.task.group) if taken else ((), ())
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
