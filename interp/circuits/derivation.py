"""A circuit derived by the paper's own procedure: from the logits backwards, path by path.

The first receivers are the logits at END. Every head's path to the receivers is patched; the heads
whose path matters become the receivers of the next step, by their queries, keys and values in turn,
and so on down to the token embedding. Layers are gone through from the last to the first, so that
all that reads a head is known before it is asked what the head itself reads.

    queries          sent and received at the receiver's own position
    keys, values     received everywhere, sent from one role at a time: where the effect lies (only
                     heads that have half the effect that counts when they send from all roles are
                     asked from where; the others' tests count as lost)

A path matters if its mean effect on the metric is beyond `smallest` times the mean of the metric,
by a test over prompts with the false discoveries held below `fdr` among all paths into the
receivers of one layer; see `interp.circuits.discoveries`. Classes follow from behavior; see
`interp.circuits.behavior`.

What it cannot see: what is the same in the clean and the corrupted prompts; heads that step in for
each other, each alone without effect; and what reaches a receiver by two of its inputs only
together.

Source: Wang et al. 2022 (arXiv 2211.00593), section 3. The paper patches into the receivers of a
class together and chooses by eye; here each head is a receiver of its own, and the threshold is a
test.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Bool, Float

from interp.circuits.behavior import class_of, node_behavior
from interp.circuits.circuit import Circuit, CircuitHead
from interp.circuits.discoveries import effect_p_values, q_values
from interp.circuits.links import INPUT, LOGITS, Link, LinkKey
from interp.heads import attention_between
from interp.model import HookedGPT2
from interp.patching import Progress, Receivers, effect, measure, path_patch
from interp.results import labelled
from interp.statistics import bootstrap_interval
from interp.tasks import Task

Node = tuple[int, int, str]
"""A head at a role: layer, head, role."""

_Tried = tuple[LinkKey, Float[np.ndarray, " prompt"]]


@dataclass(frozen=True)
class Derivation:
    """A derived circuit with its evidence.

    Args:
        circuit: the heads with class and position, and their links with effect, interval, q value.
        effects: effect of each link on each prompt, dims link, prompt, in logits.
        behavior: of `node_behavior`, of each head of the circuit at its position.
        tested: how many paths were tested.
        smallest: the effect that a path must exceed, in logits.
        fdr: bound on the expected fraction of false links among those of one layer's receivers.
    """

    circuit: Circuit
    effects: xr.DataArray
    behavior: xr.Dataset
    tested: int
    smallest: float
    fdr: float

    def heads(self) -> pd.DataFrame:
        """One row a head: class, position, what it does (means over prompts), what it tells whom.

        Returns:
            Columns `head`, `position`, `class`, those of `node_behavior`, `tells` (its receivers
            with the input) and `strongest` (the largest effect of its links, logits).
        """
        means = self.behavior.mean("prompt")
        rows = []
        for i, head in enumerate(self.circuit.heads):
            at = head.label, head.position
            out = [x for x in self.circuit.links if (x.sender, x.sent_from) == at]
            tells = dict.fromkeys(f"{x.receiver} {x.inputs}".strip() for x in out)
            row: dict[str, object] = {
                "head": head.label,
                "position": head.position,
                "class": head.kind,
            }
            row |= {str(name): float(value[i]) for name, value in means.items()}
            effects = [x.effect for x in out if x.effect is not None]
            rows.append(
                {**row, "tells": ", ".join(tells), "strongest": max(effects, key=abs, default=0.0)}
            )
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
    seed: int = 0,
    progress: Progress = iter,
) -> Derivation:
    """Derive the circuit of a task by path patching from the logits to the tokens.

    Args:
        model: the model.
        task: clean prompts with corrupted partners of the same length, and roles.
        smallest: the effect that a path must exceed, as a fraction of the mean logit difference.
        fdr: bound on the expected fraction of false links, among those into one layer.
        min_attention: smallest mean attention that decides a class, as a probability.
        seed: of the bootstrap.
        progress: wraps the layers, for a progress bar.

    Returns:
        The circuit with its evidence.

    Raises:
        ValueError: for options out of range, fewer than two prompts, or pairs of unequal length.
    """
    if not 0 < smallest < 1 or not 0 < fdr < 1:
        raise ValueError(
            f"smallest and fdr are fractions between 0 and 1, got {smallest} and {fdr}"
        )
    if len(task) < 2:
        raise ValueError("a test over prompts needs at least 2 of them")
    task = task.right_padded().to(model.device)
    whole = measure(model, task).logit_diff
    search = _Search(model, task, smallest * abs(float(whole.mean())), fdr)
    for layer in progress([model.config.n_layers, *reversed(range(model.config.n_layers))]):
        search.step(layer)
    nodes = sorted(search.nodes)
    links, values = search.links(seed)
    behavior = node_behavior(model, task, nodes)
    heads: dict[tuple[str, str], CircuitHead] = {}
    for i, (layer, head, role) in sorted(enumerate(nodes), key=lambda one: -one[1][0]):
        one = behavior.isel(node=i).mean("prompt")
        kind = class_of((f"{layer}.{head}", role), one, links, heads, min_attention)
        heads[f"{layer}.{head}", role] = CircuitHead(layer, head, kind, role)
    source = f"derived by path patching, effects above {smallest:.1%} of F(M), FDR {fdr:g}"
    found = tuple(heads[f"{layer}.{head}", role] for layer, head, role in nodes)
    effects = labelled(
        values,
        ("link", "prompt"),
        name="effect",
        title="Effect of each link",
        unit="logits",
        model=model,
        task=task,
        coords={"link": [str(link) for link in links]},
    )
    circuit = Circuit(model.name, found, source, links)
    return Derivation(circuit, effects, behavior, search.tested, search.smallest, fdr)


class _Search:
    """The walk from the logits to the tokens.

    Args:
        model: the model.
        task: the prompts, padded on the right.
        smallest: the effect that a path must exceed, logits.
        fdr: bound on the false-discovery rate of a step.
    """

    def __init__(self, model: HookedGPT2, task: Task, smallest: float, fdr: float) -> None:
        self.model, self.task, self.smallest, self.fdr = model, task, smallest, fdr
        self.nodes: set[Node] = set()
        self.tested = 0
        self._found: list[tuple[LinkKey, Float[np.ndarray, " prompt"], float]] = []
        self._attention = attention_between(model, task).mean("prompt")
        self._alone = _alone(task)

    def step(self, layer: int) -> None:
        """Test every path into the receivers of a layer; n_layers stands for the logits."""
        tried: list[_Tried] = []
        before = self.tested
        if layer == self.model.config.n_layers:
            tried += self._paths(Receivers(), LOGITS, "", ["END"], ["END"], layer)
        here = sorted(node for node in self.nodes if node[0] == layer)
        for _, head, role in here:
            label, to = f"{layer}.{head}", Receivers("q", heads=[(layer, head)], positions=[role])
            tried += self._paths(to, label, "q", [role], [role], layer)
        for head in sorted({head for _, head, _ in here}):
            acts = [role for _, one, role in here if one == head]
            for site in ("k", "v"):
                to = Receivers(site, heads=[(layer, head)])
                roles = list(self.task.positions)
                tried += self._paths(to, f"{layer}.{head}", site, acts, roles, layer)
        if not tried:
            return
        family = self.tested - before
        p = effect_p_values(np.stack([values for _, values in tried]), smallest=self.smallest)
        for (key, values), q in zip(tried, q_values(p, family=family), strict=True):
            if q <= self.fdr:
                self._found.append((key, values, float(q)))
                if key.sender != INPUT:
                    sender, head = map(int, key.sender.split("."))
                    self.nodes.add((sender, head, key.sent_from))

    def _paths(
        self,
        to: Receivers,
        receiver: str,
        inputs: str,
        acts: Sequence[str],
        roles: Sequence[str],
        below: int,
    ) -> list[_Tried]:
        """Effects of the paths from the tokens, and from every earlier head, at each role."""
        found = self._effects(to, "embed", ["role"], roles)
        senders = {(INPUT, role): values for (role,), values in found.items()}
        self.tested += len(senders)
        if below:
            heads = self._effects(to, "z", ["layer", "head"], roles, layers=range(below))
            self.tested += len(heads) * len(roles)
            if len(roles) == 1:
                split = {(*pair, roles[0]): values for pair, values in heads.items()}
            else:
                half = self.smallest / 2
                some = [pair for pair, values in heads.items() if abs(values.mean()) >= half]
                split = self._effects(
                    to,
                    "z",
                    ["layer", "head", "role"],
                    roles,
                    layers=sorted({layer for layer, _ in some}),
                    heads=sorted({head for _, head in some}),
                ) if some else {}  # fmt: skip
                split = {at: values for at, values in split.items() if at[:2] in some}
            senders |= {(f"{i}.{h}", role): values for (i, h, role), values in split.items()}
        return [
            (
                LinkKey(sender, role, receiver, self._reader(receiver, acts, role), inputs),
                values * self._alone[role],
            )
            for (sender, role), values in senders.items()
        ]

    def _effects(
        self,
        to: Receivers,
        site: Literal["z", "embed"],
        over: list[str],
        roles: Sequence[str],
        *,
        layers: Sequence[int] | None = None,
        heads: Sequence[int] | None = None,
    ) -> dict[tuple, Float[np.ndarray, " prompt"]]:
        """Effect of each sender on each prompt."""
        patched = path_patch(
            self.model,
            self.task,
            to,
            site=site,
            over=over,
            layers=layers,
            heads=heads,
            positions=roles,
        )
        values = effect(patched).fillna(0.0).transpose(*over, "prompt")
        places = product(*(values[dim].values.tolist() for dim in over))
        flat = values.values.astype(np.float64).reshape(-1, len(self.task))
        return dict(zip(places, flat, strict=True))

    def _reader(self, receiver: str, acts: Sequence[str], role: str) -> str:
        """Of the positions where a receiver acts, the one that looks most at a role."""
        if len(acts) == 1:
            return acts[0]
        layer, head = map(int, receiver.split("."))
        looks = self._attention.sel(layer=layer, head=head, key=role)
        return max(acts, key=lambda act: float(looks.sel(query=act)))

    def links(self, seed: int) -> tuple[tuple[Link, ...], Float[np.ndarray, "link prompt"]]:
        """What was found, with intervals, and the effects."""
        if not self._found:
            return (), np.empty((0, len(self.task)))
        values = np.stack([one for _, one, _ in self._found])
        low, high = bootstrap_interval(values, seed=seed)
        links = [
            Link(*key, float(one.mean()), float(low[i]), float(high[i]), q)
            for i, (key, one, q) in enumerate(self._found)
        ]
        return tuple(links), values


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
