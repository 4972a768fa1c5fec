"""The forward pass of a circuit of edges: every receiver has an input of its own.

A receiver r reads from each sender s what s writes in this run, if their edge is in the circuit,
and what stands in for s otherwise:

    x_r = x'_r + sum over the edges (s, r) of the circuit of (a_s - a'_s)

with a_s what s writes, a'_s its stand-in, and x'_r the stream made of stand-ins alone. The layer
norm acts on x_r. With all edges, this is the model; with none, every receiver reads x'.

Only what can reach the logits and can differ from its stand-in is computed: a head without edges
that lead to the logits is left out, and one whose input is x' does not depend on the circuit.
Circuits run together. As long as they agree on all edges into earlier receivers, they are one run,
and they part where they first differ. In the last layer only END is computed, except for keys and
values.

`tests/naive/edges.py` is the slow twin.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from einops import einsum
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.parts import QKV
from interp.runs.edge_senders import Senders, edge_batches
from interp.runs.edge_streams import Streams
from interp.runs.forward import mlp_out, mlp_post
from interp.runs.readout import Readout
from interp.runs.sides import Progress, Prompts, at

MEMORY = 1 << 27
"""Number of values held at once in the inputs and outputs of runs: half a gigabyte."""

Circuits = Bool[np.ndarray, "circuit sender receiver"]
"""True at the edges of each circuit."""


def run_circuits(
    senders: Senders, readout: Readout, circuits: Circuits, *, progress: Progress = iter
) -> dict[str, Float[Tensor, "circuit prompt"]]:
    """Measure circuits, with everything outside them ablated.

    Args:
        senders: what stands in for senders
        readout: the metrics
        circuits: the circuits; those that share edges into early layers should be neighbors
        progress: wraps the batches of prompts, for a progress bar

    Returns:
        Metric -> its value for each circuit and prompt.
    """
    task, graph, c = senders.task, senders.graph, senders.model.config
    width = (len(graph.senders) + 4 * c.n_heads) * c.d_model
    batches = edge_batches(task, width, MEMORY)
    parts = []
    for prompts in progress(batches):
        run = _Batch(senders, readout, prompts)
        parts.append(run.measure(circuits))
    back = torch.cat(batches).argsort().cpu()
    return {name: torch.cat([part[name] for part in parts], -1)[:, back] for name in readout.chosen}


@dataclass(frozen=True)
class _Needed:
    """What circuits that run together have to compute.

    Args:
        senders: indices of the senders that matter
        live: True for the receivers that read something from them
    """

    senders: Int[np.ndarray, " column"]
    live: Bool[np.ndarray, " receiver"]


class _Batch(Streams):
    """Some prompts, and the stream made of stand-ins, which all circuits share."""

    def __init__(self, senders: Senders, readout: Readout, prompts: Prompts) -> None:
        super().__init__(senders, prompts)
        self.readout, self.graph, self.of_a_run = readout, senders.graph, senders.of_a_run

    def measure(self, circuits: Circuits) -> dict[str, Float[Tensor, "circuit prompt"]]:
        """Measure all circuits, as many at a time as fit into memory."""
        found: list[dict[str, Tensor]] = []
        first, n, d = 0, len(circuits), self.model.config.d_model
        while first < n:
            last = first + 1
            union = circuits[first]
            while last < n:
                more = union | circuits[last]
                width = len(self.needed(more).senders) + 4 * self.graph.n_heads
                if (last + 1 - first) * width * self.embed[..., 0].numel() * d > MEMORY:
                    break
                union, last = more, last + 1
            run = _Run(self, circuits[first:last], self.needed(union))
            found.append(run.measure())
            first = last
        return {name: torch.cat([one[name] for one in found]) for name in self.readout.chosen}

    def needed(self, union: Bool[np.ndarray, "sender receiver"]) -> _Needed:
        """What a circuit needs: senders that reach the logits, and can differ from stand-ins."""
        told, read = self.graph.reach(union)
        useful = union[:, read].any(1)
        if self.of_a_run:
            useful &= told
        return _Needed(np.flatnonzero(useful), union[useful].any(0) & read)


class _Run:
    """Circuits on their way through the layers, grouped by what they agree on so far."""

    def __init__(self, batch: _Batch, circuits: Circuits, needed: _Needed) -> None:
        self.batch, self.model, self.graph = batch, batch.model, batch.graph
        self.columns, self.live = needed.senders, needed.live
        self.edges = circuits[:, self.columns]  # circuit column receiver
        self.group = np.zeros(len(circuits), dtype=int)
        self.first = np.zeros(1, dtype=int)  # a circuit of each group
        d = self.model.config.d_model
        self.n = 0  # senders so far
        self.at_end = False
        rows = batch.embed[..., 0].numel()
        self.changes = batch.embed.new_empty(1, len(self.columns), rows, d)  # group column row d

    def measure(self) -> dict[str, Float[Tensor, "circuit prompt"]]:
        """Run to the logits, and read the metrics."""
        batch = self.batch
        if len(self.columns) and self.columns[0] == 0:
            self.write(1, (batch.embed - batch.new["embed", 0]).flatten(0, 1)[None, None])
        for layer in range(batch.n_layers):
            self.attention(layer)
            self.mlp(layer)
        last = len(self.graph.receivers) - 1
        final = at(batch.final, batch.end)
        self.part([last])
        stream = self.read([last], final)[:, 0]  # group prompt d
        n_groups = len(stream)
        prompts = batch.prompts.repeat(n_groups)
        group = torch.from_numpy(self.group)
        return {
            name: value.detach().view(n_groups, -1).cpu()[group]
            for name, value in batch.readout(stream.flatten(0, 1), prompts).items()
        }

    def write(self, n: int, change: Float[Tensor, "group column row d"]) -> None:
        """Record by how much the next senders differ from their stand-ins."""
        self.changes[:, self.n : self.n + n] = change
        self.n += n

    def part(self, receivers: Sequence[int]) -> None:
        """Part circuits that differ in the edges into receivers."""
        edges = self.edges[:, : self.n][:, :, receivers]
        found: dict[tuple[int, bytes], int] = {}
        first, parent = [], []
        for i, group in enumerate(self.group):
            key = (int(group), edges[i].tobytes())
            if key not in found:
                found[key] = len(found)
                first.append(i)
                parent.append(int(group))
            self.group[i] = found[key]
        self.first = np.array(first)
        if parent != list(range(len(self.changes))):
            old = self.changes
            self.changes = old.new_empty(len(parent), *old.shape[1:])
            self.changes[:, : self.n] = old[parent, : self.n]

    def read(
        self, receivers: Sequence[int], stream: Float[Tensor, "... d"]
    ) -> Float[Tensor, "group receiver ... d"]:
        """What receivers read.

        Args:
            receivers: their indices
            stream: the stream made of stand-ins, at the rows of the changes
        """
        changes = self.changes[:, : self.n].flatten(2)  # group column (row d)
        edges = self.edges[self.first][:, : self.n][:, :, receivers]  # group column receiver
        weights = torch.from_numpy(edges).to(changes).transpose(1, 2)
        base = stream.reshape(1, 1, -1).expand(len(weights), len(receivers), -1)
        if not self.n:
            return base.unflatten(-1, stream.shape)
        return torch.baddbmm(base, weights, changes).unflatten(-1, stream.shape)

    def only_end(self) -> None:
        """Go on with the rows of END alone."""
        self.changes, self.at_end = self.changes[:, :, self.batch.end_rows], True

    def attention(self, layer: int) -> None:
        """Run the heads of a layer that matter."""
        batch, graph, block = self.batch, self.graph, self.model.blocks[layer]
        last = layer == batch.n_layers - 1
        h = graph.n_heads
        start = 1 + layer * (h + 1)
        mine = self.columns[(self.columns >= start) & (self.columns < start + h)]
        heads = (mine - start).tolist()
        if not heads:
            if last:
                self.only_end()
            return
        into = {letter: layer * (3 * h + 1) + i * h for i, letter in enumerate(QKV)}
        lives = {x: [i for i, head in enumerate(heads) if self.live[into[x] + head]] for x in QKV}
        self.part([into[x] + heads[i] for x, live in lives.items() for i in live])
        read: dict[str, tuple[list[int], Tensor]] = {}
        for letter in ("k", "v", "q"):  # the last layer has queries only at END
            if last and letter == "q":
                self.only_end()
            if live := lives[letter]:
                pre = at(batch.pre[layer], batch.end)[:, None] if self.at_end else batch.pre[layer]
                x = self.read([into[letter] + heads[i] for i in live], pre)
                own = self.project(layer, letter, [heads[i] for i in live], x)
                read[letter] = live, own
        alone = [x[:, :, heads] for x in batch.alone(layer)]  # b p h k
        if self.at_end:
            alone[0] = at(alone[0], batch.end)[:, None]
        q, k, v = (
            self.together(x, *read[letter]) if letter in read else self.together(x)
            for letter, x in zip(QKV, alone, strict=True)
        )  # group head b p k
        z = _attend(q, k, v, batch.end if last else None)
        old = batch.new["z", layer][:, :, heads]
        if last:
            old = at(old, batch.end)[:, None]
        change = z - old.permute(2, 0, 1, 3)  # group head b p k
        change = einsum(change.flatten(2, 3), block.attn.W_O[heads], "g h t k, h k d -> g h t d")
        self.write(len(heads), change)

    def project(
        self,
        layer: int,
        letter: str,
        heads: list[int],
        x: Float[Tensor, "group head prompt pos d"],
    ) -> Float[Tensor, "group head prompt pos k"]:
        """Queries, keys or values of heads with inputs of their own."""
        block, name = self.model.blocks[layer], letter.upper()
        weight = getattr(block.attn, f"W_{name}")[heads]
        bias = getattr(block.attn, f"b_{name}")[heads]
        x = block.ln1.unhooked(x)
        return einsum(x, weight, "g h b p d, h d k -> g h b p k") + bias[:, None, None]

    def together(
        self,
        alone: Float[Tensor, "prompt pos head k"],
        live: Sequence[int] = (),
        own: Float[Tensor, "_ live prompt pos k"] | None = None,
    ) -> Float[Tensor, "group head prompt pos k"]:
        """Queries, keys or values of all heads: their own where they read from the circuit."""
        every = alone.permute(2, 0, 1, 3).expand(len(self.changes), -1, -1, -1, -1)
        if own is None:
            return every
        every = every.clone()
        every[:, list(live)] = own
        return every

    def mlp(self, layer: int) -> None:
        """Run the MLP of a layer, if it matters."""
        batch, h = self.batch, self.graph.n_heads
        if 1 + layer * (h + 1) + h not in self.columns:
            return
        mid, old = batch.mid[layer], batch.new["mlp_out", layer]
        if self.at_end:
            mid, old = at(mid, batch.end), at(old, batch.end)
        into = layer * (3 * h + 1) + 3 * h
        block = self.model.blocks[layer]
        if self.live[into]:
            self.part([into])
            x = self.read([into], mid)[:, 0]  # group b p d
        else:
            x = mid[None]
        new = mlp_out(block, mlp_post(block, x))
        change = (new - old).reshape(len(x), 1, -1, new.shape[-1])
        self.write(1, change)


def _attend(
    q: Float[Tensor, "group head prompt query k"],
    k: Float[Tensor, "group head prompt pos k"],
    v: Float[Tensor, "group head prompt pos k"],
    end: Int[Tensor, " prompt"] | None,
) -> Float[Tensor, "group head prompt query k"]:
    """Heads' z; with `end`, the only query of each prompt is at END."""
    shape = q.shape[:2]
    q, k, v = (x.flatten(0, 1) for x in (q, k, v))  # (group head) prompt pos k
    if end is None:
        z = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    else:
        seen = torch.arange(k.shape[2], device=k.device) <= end[:, None]  # prompt pos
        z = F.scaled_dot_product_attention(q, k, v, seen[None, :, None])
    return z.unflatten(0, shape)
