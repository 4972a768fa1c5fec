"""The runs behind path patching between nodes: how senders change the stream.

One object holds the clean run of a batch of prompts, and the outputs of heads and MLPs in the
corrupted run; `interp.patching.node_paths` has the equations.
"""

from collections.abc import Sequence
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.parts import MLP, Head, Input, Node
from interp.runs.edits import edited
from interp.runs.forward import mlp_out, mlp_post
from interp.runs.pair import Pair
from interp.runs.rows import Rows
from interp.runs.sides import Prompts, at, run_side
from interp.runs.sites import Key

Streams = dict[int, Float[Tensor, "_ _ d_model"]]
"""Layer -> the stream [sender prompt d_model] before it, at the positions of earlier senders."""


class NodeRuns:
    """Some prompts: their clean run, and the outputs of senders in the corrupted run.

    Args:
        pair: how the runs are made
        prompts: which prompts
        keys: the activations of the clean run to keep
    """

    def __init__(self, pair: Pair, prompts: Prompts, keys: Sequence[Key]) -> None:
        self.pair, self.run = pair, pair.base(prompts, keys)
        self.model, self.n_layers = pair.model, pair.model.config.n_layers
        self.kept, self.end, self.task = self.run.kept, self.run.end, self.run.task
        z: list[Key] = [("embed", 0), *(("z", layer) for layer in range(self.n_layers))]
        self.other = self._said("corrupted", z)

    def _said(self, side: str, keys: Sequence[Key]) -> dict[Key, Tensor]:
        """Activations of one side, with the ablation applied."""
        pair, prompts = self.pair, self.run.prompts
        length = int(self.task.mask(side).sum(-1).max())  # type: ignore[arg-type]
        ablation = pair.ablation if side == pair.side else pair.there
        hooks = ablation.hooks(prompts, length) if ablation else ()
        return run_side(pair.model, pair.task, prompts, side, keys, length=length, hooks=hooks)[1]  # type: ignore[arg-type]

    @cached_property
    def mlps(self) -> tuple[dict[Key, Tensor], dict[Key, Tensor]]:
        """The outputs of all MLPs in the clean and the corrupted run, for those that send."""
        keys: list[Key] = [("mlp_out", layer) for layer in range(self.n_layers)]
        return self._said("clean", keys), self._said("corrupted", keys)

    def where(self, node: Node) -> Int[Tensor, " prompt"]:
        """The position of a node in the clean texts."""
        assert node.role is not None
        return self.task.positions[node.role]

    def change(self, sender: Node) -> Float[Tensor, "prompt d_model"]:
        """A sender's output in the corrupted run minus its output in the clean run."""
        part, here = sender.part, self.where(sender)
        there = self.task.roles("corrupted")[sender.role or ""]
        if isinstance(part, Input):
            return at(self.other["embed", 0], there) - at(self.kept["embed", 0], here)
        if isinstance(part, MLP):
            key = ("mlp_out", part.layer)
            return at(self.mlps[1][key], there) - at(self.mlps[0][key], here)
        assert isinstance(part, Head)
        layer, head = part
        z = at(self.other["z", layer], there)[:, head] - at(self.kept["z", layer], here)[:, head]
        return z @ self.model.blocks[layer].attn.W_O[head]

    def resid_post(self, layer: int) -> Float[Tensor, "prompt pos d_model"]:
        """The clean run's stream after a layer."""
        after = ("resid_pre", layer + 1) if layer + 1 < self.n_layers else ("resid_post", layer)
        return self.kept[after]

    def send(self, senders: Sequence[Node]) -> Streams:
        """Compute the stream at each sender's position before each layer after it.

        Args:
            senders: the senders, in the order of a forward pass

        Returns:
            The streams before each layer, and, with the number of layers as key, those after the
            last one.
        """
        pos = torch.stack([self.where(sender) for sender in senders])  # sender prompt
        row = torch.arange(len(self.end), device=pos.device).expand_as(pos)
        x = torch.empty(
            *pos.shape,
            self.model.config.d_model,
            device=pos.device,
            dtype=self.model.dtype,
        )
        changes = [self.change(sender) for sender in senders]
        streams: Streams = {}
        n = 0

        def enter(kind: type, layer: int, stream: Tensor) -> int:
            """Add the senders that begin here, with the base run's stream."""
            last = n
            while (
                last < len(senders)
                and isinstance(senders[last].part, kind)
                and senders[last].layer == layer
            ):
                x[last] = stream[row[last], pos[last]]
                last += 1
            return last

        n = enter(Input, -1, self.kept["resid_pre", 0])
        for i in range(n):
            x[i] += changes[i]
        for layer in range(self.n_layers):
            streams[layer] = x[:n].clone()
            before, n = n, enter(Head, layer, self.kept["resid_pre", layer])
            x[:n] += self.kept["attn_out", layer][row[:n], pos[:n]]
            for i in range(before, n):
                x[i] += changes[i]
            out = mlp_out(self.model.blocks[layer], self.neurons(layer, x[:n], pos[:n]))
            x[:n] += self._as_ablated(("mlp_out", layer), out, pos[:n])
            before, n = n, enter(MLP, layer, self.resid_post(layer))
            for i in range(before, n):
                x[i] += changes[i]
        streams[self.n_layers] = x
        return streams

    def neurons(
        self,
        layer: int,
        resid_mid: Float[Tensor, "sender prompt d_model"],
        pos: Int[Tensor, "sender prompt"],
    ) -> Float[Tensor, "sender prompt d_mlp"]:
        """The neurons of a layer at some positions, with the ablation applied."""
        post = mlp_post(self.model.blocks[layer], resid_mid)
        return self._as_ablated(("mlp_post", layer), post, pos)

    def _as_ablated(
        self, key: Key, value: Float[Tensor, "sender prompt d"], pos: Int[Tensor, "sender prompt"]
    ) -> Float[Tensor, "sender prompt d"]:
        """An activation at some positions, with the ablation applied."""
        if key not in self.run.edits:
            return value
        prompt = torch.arange(pos.shape[1], device=pos.device).expand_as(pos)
        job = torch.arange(len(pos), device=pos.device)[:, None].expand_as(pos)
        rows = Rows(job.flatten(), prompt.flatten(), pos.flatten())
        by_row = value.flatten(0, 1)  # (sender prompt) d
        return edited(self.run.edits, key, rows, by_row).view_as(value)  # sender prompt d
