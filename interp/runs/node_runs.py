"""The runs under path patching between nodes: what senders add to the stream, what receivers write.

One object holds the clean run of a batch of prompts and what heads and MLPs say in the corrupted
one; `interp.patching.node_paths` has the equations.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property, partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.parts import MLP, QKV, Head, Input, Logits, Node, Port
from interp.runs.edits import over
from interp.runs.forward import mlp_out, mlp_post, resume
from interp.runs.pair import Pair
from interp.runs.rows import Jobs, Rows, chunks, in_order
from interp.runs.sides import Prompts, at, run_side
from interp.runs.sites import Key, in_computed_order
from interp.runs.sweep import ROWS_PER_RUN

Streams = dict[int, Float[Tensor, "_ _ d_model"]]
"""Layer -> the stream [sender prompt d_model] before it, at the positions of earlier senders."""


class NodeRuns:
    """Some prompts: their clean run, and what senders say in the corrupted one.

    Args:
        pair: how the runs are made.
        prompts: which prompts.
        keys: the activations of the clean run to keep.
    """

    def __init__(self, pair: Pair, prompts: Prompts, keys: Sequence[Key]) -> None:
        self.pair, self.run = pair, pair.base(prompts, keys)
        self.model, self.n_layers = pair.model, pair.model.config.n_layers
        self.kept, self.end, self.task = self.run.kept, self.run.end, self.run.task
        z: list[Key] = [("embed", 0), *(("z", layer) for layer in range(self.n_layers))]
        self.other = self._said("corrupted", z)

    def _said(self, side: str, keys: Sequence[Key]) -> dict[Key, Tensor]:
        """Activations of one side, with what is ablated there."""
        pair, prompts = self.pair, self.run.prompts
        length = int(self.task.mask(side).sum(-1).max())  # type: ignore[arg-type]
        ablation = pair.ablation if side == pair.side else pair.there
        hooks = ablation.hooks(prompts, length) if ablation else ()
        return run_side(pair.model, pair.task, prompts, side, keys, length=length, hooks=hooks)[1]  # type: ignore[arg-type]

    @cached_property
    def mlps(self) -> tuple[dict[Key, Tensor], dict[Key, Tensor]]:
        """What all MLPs say in the clean and in the corrupted run, for those that send."""
        keys: list[Key] = [("mlp_out", layer) for layer in range(self.n_layers)]
        return self._said("clean", keys), self._said("corrupted", keys)

    def where(self, node: Node) -> Int[Tensor, " prompt"]:
        """The position of a node in the clean texts."""
        assert node.role is not None
        return self.task.positions[node.role]

    def change(self, sender: Node) -> Float[Tensor, "prompt d_model"]:
        """What a sender adds to the stream in the corrupted run, less what in the clean one."""
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
        """The stream at each sender's position before each layer after it.

        Args:
            senders: in the order of a forward pass.

        Returns:
            The streams, and under the number of layers those after the last one.
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
            """The senders that begin here join the others, with the base run's stream."""
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
            block = self.model.blocks[layer]
            x[:n] += mlp_out(block, mlp_post(block, x[:n]))
            before, n = n, enter(MLP, layer, self.resid_post(layer))
            for i in range(before, n):
                x[i] += changes[i]
        streams[self.n_layers] = x
        return streams

    def receive(
        self, senders: Sequence[Node], streams: Streams, ports: Sequence[Port]
    ) -> dict[str, Float[Tensor, "sender prompt"]]:
        """The effect of each sender's paths into all ports together.

        Args:
            senders: as given to `send`.
            streams: what `send` returned.
            ports: inputs of nodes, and the logits.

        Returns:
            Metric -> its change.
        """
        run = self.run
        sent_from = torch.stack([self.where(sender) for sender in senders])
        start = torch.full_like(sent_from, run.length)  # the first position that changes
        changes: dict[Key, list[tuple[int, Tensor, Tensor]]] = defaultdict(list)
        taken: dict[object, list[Tensor]] = defaultdict(list)
        for node, letters in self._inputs(ports).items():
            where = self.where(node)
            change = self._received(node, letters, senders, streams, sent_from)
            n = len(change)
            if not n:
                continue
            for other in taken[node.part]:  # two roles of one part at one token are one node
                change = change * (where != other)[:, None]
            taken[node.part].append(where)
            some = (change != 0).any(-1)  # sender prompt
            start[:n] = torch.where(some, torch.minimum(start[:n], where), start[:n])
            head = node.part.head if isinstance(node.part, Head) else 0
            site = "z" if isinstance(node.part, Head) else "resid_post"
            changes[site, node.layer].append((head, where, change))
        end = self.end.expand_as(start)
        direct = torch.zeros_like(streams[self.n_layers])
        if any(isinstance(port.node.part, Logits) for port in ports):
            final = at(self.kept["resid_post", self.n_layers - 1], self.end)
            to_end = (sent_from == end)[..., None]
            direct = (streams[self.n_layers] - final) * to_end
            start = torch.where(to_end[..., 0], torch.minimum(start, end), start)
        base = run.values
        found = {
            name: torch.zeros(start.shape, dtype=torch.float64, device=start.device)
            for name in base
        }
        sender, prompt = (start < run.length).nonzero(as_tuple=True)
        order = in_order(start[sender, prompt], self.end[prompt])
        sender, prompt = sender[order], prompt[order]
        starts = start[sender, prompt]
        for chunk in chunks(starts, self.end[prompt], ROWS_PER_RUN):
            s, p = sender[chunk], prompt[chunk]
            jobs = Jobs(p, starts[chunk], self.end[p], run.length)
            stream = direct[s, p] + self._run(jobs, s, changes)
            for name, value in run.readout(stream, run.prompts[p]).items():
                found[name][s, p] = (value - base[name][p]).double()
        return found

    def _inputs(self, ports: Sequence[Port]) -> dict[Node, str]:
        """The inputs of each node that receive, in the order of a forward pass."""
        found: dict[Node, str] = defaultdict(str)
        for port in ports:
            if not isinstance(port.node.part, Logits):
                letters = port.input or ("qkv" if isinstance(port.node.part, Head) else "")
                found[port.node] += "".join(x for x in letters if x not in found[port.node])
        return dict(sorted(found.items()))

    def _run(
        self,
        jobs: Jobs,
        sender: Int[Tensor, " job"],
        changes: Mapping[Key, list[tuple[int, Tensor, Tensor]]],
    ) -> Float[Tensor, "job d_model"]:
        """The base run with the changes of each job's sender, to the end."""
        last: Key = ("resid_post", self.n_layers - 1)
        if not changes:
            return at(self.kept[last], self.end)[jobs.prompt]

        def add(key: Key, rows: Rows, value: Tensor) -> Tensor:
            value = value.clone()
            for head, where, change in changes[key]:
                row = (rows.pos == where[rows.prompt]).nonzero()[:, 0]
                by = sender[rows.job[row]]
                row, by = row[by < len(change)], by[by < len(change)]
                new = change[by, rows.prompt[row]]
                if key[0] == "z":
                    value[row, head] += new
                else:
                    value[row] += new
            return value

        first = min(changes, key=in_computed_order)
        site, layer = first
        rows = jobs.rows_of(site, layer, self.n_layers)
        kept = self.kept[first] if site == "z" else self.resid_post(layer)
        given = {site: add(first, rows, rows.of(kept))}
        edits = {key: partial(add, key) for key in changes if key != first}
        return resume(self.model, self.kept, jobs, layer, given, over(self.run.edits, edits))

    def _received(
        self,
        node: Node,
        inputs: str,
        senders: Sequence[Node],
        streams: Streams,
        sent_from: Int[Tensor, "sender prompt"],
    ) -> Float[Tensor, "_ prompt width"]:
        """The change of a node's output; exactly zero where it does not read the position."""
        stream = streams[node.layer]
        if isinstance(node.part, MLP):
            return self._received_by_mlp(node, senders, stream, sent_from)
        assert isinstance(node.part, Head)
        layer, head = node.part
        sent_from = sent_from[: len(stream)]
        attn = self.model.blocks[layer].attn
        row = torch.arange(len(self.end), device=self.end.device)
        where = self.where(node)
        normalized = self.model.blocks[layer].ln1.unhooked(stream)
        kept = {x: self.kept[x, layer][:, :, head] for x in QKV}  # prompt pos k
        new = {
            x: normalized @ getattr(attn, f"W_{x.upper()}")[head]
            + getattr(attn, f"b_{x.upper()}")[head]
            for x in inputs
        }  # sender prompt k
        old_k, old_v = (kept[x][row, sent_from] for x in "kv")
        q = at(kept["q"], where).expand(*sent_from.shape, -1)  # sender prompt k
        own = (sent_from == where)[..., None]
        new_q = torch.where(own, new["q"], q) if "q" in inputs else q
        seen = self.run.pos <= where[:, None]  # prompt pos
        scale = 1 / math.sqrt(q.shape[-1])

        def mixed(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            scores = torch.einsum("sbk,bpk->sbp", query, kept["k"]) * scale
            scores = scores.masked_fill(~seen, -math.inf)
            changed = (query * key).sum(-1, keepdim=True) * scale
            scores = scores.scatter(-1, sent_from[..., None], changed)
            pattern = scores.softmax(-1)
            z = torch.einsum("sbp,bpk->sbk", pattern, kept["v"])
            return z + pattern.gather(-1, sent_from[..., None]) * (value - old_v)

        change = mixed(new_q, new.get("k", old_k), new.get("v", old_v)) - mixed(q, old_k, old_v)
        reads = own if inputs == "q" else (sent_from <= where)[..., None]
        return torch.where(reads, change, 0.0)

    def _received_by_mlp(
        self,
        node: Node,
        senders: Sequence[Node],
        stream: Float[Tensor, "_ prompt d_model"],
        sent_from: Int[Tensor, "sender prompt"],
    ) -> Float[Tensor, "_ prompt d_model"]:
        """The change of an MLP's output, from earlier layers and from heads of its own."""
        layer, where = node.layer, self.where(node)
        row = torch.arange(len(self.end), device=self.end.device)
        base = (self.kept["resid_pre", layer] + self.kept["attn_out", layer])[row, where]
        own = [s for s in senders if isinstance(s.part, Head) and s.layer == layer]
        before = stream + self.kept["attn_out", layer][row, sent_from[: len(stream)]]
        mids = [before, *(base[None] + self.change(sender) for sender in own)]
        mid = torch.cat(mids)  # sender prompt d
        block = self.model.blocks[layer]
        change = mlp_out(block, mlp_post(block, mid)) - mlp_out(block, mlp_post(block, base))
        reads = (sent_from[: len(mid)] == where)[..., None]
        return torch.where(reads, change, 0.0)
