"""Path patching between nodes: from a head at a role into inputs of heads at roles.

`path_patch` changes a receiver's keys and values for every query. A node of a circuit is a head at
one role, so here only what the receiver writes at its own role changes:

    sent       x_l' at the sender's position P, before each later layer l, all attention frozen
    received   q', k', v' = q_h(x_l'), k_h(x_l'), v_h(x_l')
               dz = attention(q' if P is the receiver's position R, else q,
                              K with k' at P, V with v' at P) at R  -  z at R
    measured   the base run with z + dz at the receiver, and all after it computed

With several receivers, each one's output is changed by what the sender's path into it alone does;
heads after them are computed. The base run is the clean one, the sender says what it says in the
corrupted run, MLPs between are recomputed. One pair of runs serves every sender and receiver.

Source: Wang et al. 2022 (arXiv 2211.00593), section 3.1 and appendix B.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.model import HookedGPT2
from interp.runs.ablation import Ablation, Keep, kept_outputs
from interp.runs.node_runs import NodeRuns
from interp.runs.readout import Readout
from interp.runs.sides import Key
from interp.runs.sweep import batches_within
from interp.tasks import Task


class Port(NamedTuple):
    """An input of a node: `inputs` is "q", "k" or "v", or several of them together."""

    layer: int
    head: int
    role: str
    inputs: str


@dataclass(frozen=True)
class Sent:
    """What senders make of the stream at their position, before each later layer.

    Args:
        senders: (layer, head, role), ascending by layer.
        streams: for each batch of prompts, layer -> stream; of the first senders, those before it.
    """

    senders: list[Keep]
    streams: list[dict[int, Float[Tensor, "_ _ d_model"]]]

    def of(self, senders: Sequence[Keep]) -> "Sent":
        """The same of some of the senders."""
        index = sorted(self.senders.index(one) for one in senders)
        streams = [
            {layer: x[[i for i in index if i < len(x)]] for layer, x in batch.items()}
            for batch in self.streams
        ]
        return Sent([self.senders[i] for i in index], streams)


class NodePaths:
    """The clean and the corrupted run of a task, kept, and paths between nodes patched in them.

    Args:
        model: the model.
        task: clean prompts with corrupted partners.
        ablation: heads that are knocked out in every run.

    Raises:
        ValueError: as for `Ablation`.
    """

    def __init__(self, model: HookedGPT2, task: Task, *, ablation: Ablation | None = None) -> None:
        self.model, self.task = model, task.right_padded().to(model.device)
        n_layers = model.config.n_layers
        keys: list[Key] = [
            (site, layer)
            for site in ("resid_pre", "attn_out", "q", "k", "v", "z")
            for layer in range(n_layers)
        ]
        keys += [("embed", 0), ("resid_post", n_layers - 1)]
        prepared = ablation.prepare(model, self.task) if ablation else None
        readout = Readout(model, self.task, "logit_diff")
        self._prompts = batches_within(model, self.task, "clean", keys)
        with torch.inference_mode():
            self._batches = [
                NodeRuns(model, self.task, prompts, "clean", keys, readout, prepared)
                for prompts in self._prompts
            ]
            for batch in self._batches:
                batch.run_other(self.task, prepared)

    @property
    def base(self) -> Float[np.ndarray, " prompt"]:
        """The logit difference of the clean run."""
        return self._joined([batch.values["logit_diff"] for batch in self._batches])

    @torch.inference_mode()
    def send(self, senders: Sequence[Keep]) -> Sent:
        """Carry what senders say in the corrupted run along the frozen stream.

        Args:
            senders: (layer, head, role) of each; layer `TOKENS` for the embedding at a role.

        Returns:
            What they make of the stream.

        Raises:
            ValueError: for a head or a role that there is not.
        """
        nodes = [(max(layer, 0), head, role) for layer, head, role in senders]
        kept_outputs(self.model, self.task, nodes)  # for its errors
        order = sorted(senders, key=lambda one: one[0])
        return Sent(order, [batch.send(order) for batch in self._batches])

    @torch.inference_mode()
    def receive(
        self, sent: Sent, ports: Sequence[Port] = (), *, logits: bool = False
    ) -> Float[np.ndarray, "sender prompt"]:
        """The effect of each sender's paths into all of the receivers together.

        Args:
            sent: of `send`.
            ports: inputs of nodes.
            logits: whether the logits at END receive too.

        Returns:
            Change of the logit difference of each prompt, logits; negative: the paths speak for the
            answer. Zero where no path leads.

        Raises:
            ValueError: for a receiver that there is not.
        """
        kept_outputs(self.model, self.task, [port[:3] for port in ports])  # for its errors
        if any(not port.inputs or set(port.inputs) - set("qkv") for port in ports):
            raise ValueError(f"inputs of a node are among q, k and v; got {list(ports)}")
        inputs: dict[Keep, str] = defaultdict(str)
        for port in ports:
            inputs[port[:3]] += port.inputs
        found = [
            batch.receive(sent.senders, streams, inputs, logits)
            for batch, streams in zip(self._batches, sent.streams, strict=True)
        ]
        return self._joined(found)

    def _joined(self, parts: Sequence[Tensor]) -> np.ndarray:
        """Values of the batches in the order of the task."""
        back = torch.cat(self._prompts).argsort()
        return torch.cat(list(parts), -1)[..., back].double().cpu().numpy()
