"""Path patching between nodes: from a part at a role into inputs of parts at roles.

`path_patch` changes a receiver's keys and values for every query. A node of a circuit is a head or
an MLP at one role, so here the receiver's output changes only at its own role:

    sent       x_l' at the sender's position P, before each later layer l, all attention frozen
    received   q', k', v' = q_h(x_l'), k_h(x_l'), v_h(x_l')
               dz = attention(q' if P is the receiver's position R, else q,
                              K with k' at P, V with v' at P) at R  -  z at R
               for an MLP, MLP(x_l' + attn_out_l) - MLP(x_l + attn_out_l) if P is R
    measured   the base run with z + dz at the receiver, and everything after it recomputed

With several receivers, the output of each changes by what the sender's path into it alone does;
everything after them is recomputed. The base run is the clean one, the sender's output comes from
the corrupted run, and MLPs in between are recomputed. One pair of runs serves all senders and
receivers.

Source: Wang et al. 2022 (arXiv 2211.00593), section 3.1 and appendix B.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.metrics import Metrics
from interp.model import HookedGPT2
from interp.model.user_hooks import require_no_hooks
from interp.parts import (
    MLP,
    QKV,
    Head,
    Input,
    Logits,
    Node,
    NodeLike,
    Port,
    as_node,
    require_in_model,
)
from interp.runs.ablation import Ablation
from interp.runs.node_receivers import receive
from interp.runs.node_runs import NodeRuns, Streams
from interp.runs.pair import Pair
from interp.runs.places import positions_mask
from interp.runs.readout import Readout
from interp.runs.sides import batches_within, ready_task
from interp.runs.sites import Key
from interp.tasks import Task


@dataclass(frozen=True)
class Sent:
    """The changed streams at the positions of senders, before each later layer.

    Args:
        senders: the senders, in the order of a forward pass
        streams: for each batch of prompts, layer -> the streams of all senders before that layer
    """

    senders: list[Node]
    streams: list[Streams]

    def of(self, senders: Iterable[NodeLike]) -> "Sent":
        """Select some of the senders."""
        index = sorted(self.senders.index(as_node(one)) for one in senders)
        streams = [
            {layer: x[[i for i in index if i < len(x)]] for layer, x in batch.items()}
            for batch in self.streams
        ]
        return Sent([self.senders[i] for i in index], streams)


class NodePaths:
    """Paths between nodes, patched in runs of a task that are computed once and kept.

    Args:
        model: the model
        task: clean prompts with corrupted partners
        metrics: as in `patch`
        ablation: what is knocked out in every run. An ablated receiver still receives; leave it out
            of the ports if it should not.

    Raises:
        ValueError: as for `patch`
    """

    def __init__(
        self,
        model: HookedGPT2,
        task: Task,
        *,
        metrics: Metrics | None = None,
        ablation: Ablation | None = None,
    ) -> None:
        self.model, self.task = model, ready_task(model, task, "NodePaths")
        n_layers = model.config.n_layers
        keys: list[Key] = [
            (site, layer)
            for site in ("resid_pre", "attn_out", "q", "k", "v", "z")
            for layer in range(n_layers)
        ]
        keys += [("embed", 0), ("resid_post", n_layers - 1)]
        readout = Readout(model, self.task, metrics)
        roles = list(self.task.positions)
        with torch.inference_mode():
            pair = Pair.of(model, self.task, "clean", readout, (), roles, ablation)
            self._prompts = batches_within(model, self.task, "clean", keys)
            self._batches = [NodeRuns(pair, prompts, keys) for prompts in self._prompts]

    @property
    def base(self) -> dict[str, Float[np.ndarray, " prompt"]]:
        """The metrics of the clean run."""
        return self._joined([batch.run.values for batch in self._batches])

    @torch.inference_mode()
    def send(self, senders: Sequence[NodeLike]) -> Sent:
        """Carry the senders' outputs in the corrupted run along the frozen stream.

        Args:
            senders: heads, MLPs or the input, each at a role: "9.6@END", "m0@S2", "input@IO"

        Returns:
            The streams that they change.

        Raises:
            ValueError: there are no senders, a sender has no role or does not exist, or the caller
                has hooks on the model
        """
        require_no_hooks(self.model, "NodePaths")
        if isinstance(senders, str):
            raise TypeError(f"senders are a list of nodes, such as ['9.6@END']; got {senders!r}")
        nodes = sorted(as_node(one) for one in senders)
        self._require(nodes, Head | MLP | Input, "a sender")
        return Sent(nodes, [batch.send(nodes) for batch in self._batches])

    @torch.inference_mode()
    def receive(
        self, sent: Sent, ports: Sequence[Port]
    ) -> dict[str, Float[np.ndarray, "sender prompt"]]:
        """Measure the effect of each sender's paths into all receivers together.

        Args:
            sent: what `send` returned
            ports: inputs of heads (some of the letters "qkv", or "" for all three), MLPs, or the
                logits

        Returns:
            Metric -> its change on each prompt, in the metric's unit; negative if the paths favor
            the answer, zero where there is no path.

        Raises:
            ValueError: a receiver does not exist or has no such input, or the caller has hooks on
                the model
        """
        require_no_hooks(self.model, "NodePaths")
        if not isinstance(ports, Sequence) or not all(isinstance(one, Port) for one in ports):
            raise TypeError(
                "ports are a list of Port, such as [Port(Node(Head(9, 6), 'END'), 'q')]; got "
                f"{ports!r:.80}"
            )
        nodes = [port.node for port in ports]
        self._require(nodes, Head | MLP | Logits, "a receiver")
        for node, letters in ports:
            is_head = isinstance(node.part, Head)
            allowed = QKV if is_head else ()
            if set(letters) - set(allowed) or len(set(letters)) < len(letters):
                expected = "some of q, k and v" if is_head else "no letter"
                raise ValueError(f"inputs of {node} are {expected}; got {letters!r}")
            if isinstance(node.part, Logits) and node.role != "END":
                raise ValueError(f"the logits are read at END; got {node}")
        return self._joined(
            [
                receive(batch, sent.senders, streams, ports)
                for batch, streams in zip(self._batches, sent.streams, strict=True)
            ]
        )

    def _require(self, nodes: Sequence[Node], kinds: object, what: str) -> None:
        """Refuse nodes of another kind, without a role, or not in the model or the task."""
        if not nodes:
            raise ValueError(f"expected at least one node as {what}, such as '9.6@END'")
        for node in nodes:
            if not isinstance(node.part, kinds) or node.role is None:  # type: ignore[arg-type]
                raise ValueError(f"{node} is not {what}; expected one such as '9.6@END'")
        require_in_model(self.model, [node.part for node in nodes])
        positions_mask(self.task, [node.role or "" for node in nodes])

    def _joined(self, parts: Sequence[dict[str, Tensor]]) -> dict[str, np.ndarray]:
        """Values of the batches in the order of the task."""
        back = torch.cat(self._prompts).argsort()
        return {
            name: torch.cat([part[name] for part in parts], -1)[..., back].double().cpu().numpy()
            for name in parts[0]
        }
