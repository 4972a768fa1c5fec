"""The runs under path patching between nodes: what senders add to the stream, what receivers write.

One object holds the clean run of a batch of prompts and what the heads say in the corrupted one;
`interp.patching.node_paths` has the equations.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from interp.runs.ablation import Keep, Prepared
from interp.runs.forward import Jobs, Rows, chunks, in_order, merged, resume
from interp.runs.sides import Key, at, run_side
from interp.runs.sweep import ROWS, BaseRun
from interp.tasks import Task

TOKENS = -1
"""The layer of a sender that is the token embedding; its head is 0."""


class NodeRuns(BaseRun):
    """Some prompts: their clean run, and what senders say in the corrupted one."""

    def run_other(self, task: Task, ablation: Prepared | None) -> None:
        """Run the corrupted texts."""
        length = int(self.task.mask("corrupted").sum(-1).max())
        hooks = ablation.hooks(self.prompts, length) if ablation else ()
        keys: list[Key] = [("embed", 0), *(("z", layer) for layer in range(self.n_layers))]
        _, self.other = run_side(
            self.model, task, self.prompts, "corrupted", keys, length=length, hooks=hooks
        )

    def change(self, sender: Keep) -> Float[Tensor, "prompt d_model"]:
        """What a sender adds to the stream in the corrupted run, less what in the clean one."""
        layer, head, role = sender
        here, there = self.task.positions[role], self.task.roles("corrupted")[role]
        if layer == TOKENS:
            return at(self.other["embed", 0], there) - at(self.kept["embed", 0], here)
        z = at(self.other["z", layer], there)[:, head] - at(self.kept["z", layer], here)[:, head]
        return z @ self.model.blocks[layer].attn.W_O[head]

    def send(self, senders: Sequence[Keep]) -> dict[int, Float[Tensor, "_ prompt d_model"]]:
        """The stream at each sender's position before each layer after it."""
        pos = torch.stack([self.task.positions[role] for _, _, role in senders])  # sender prompt
        row = torch.arange(len(self.end), device=pos.device).expand_as(pos)
        x = torch.empty(*pos.shape, self.model.config.d_model, device=pos.device)
        x = x.to(self.model.dtype)
        streams: dict[int, Tensor] = {}
        n = 0
        for layer in range(TOKENS, self.n_layers):
            new = [i for i, one in enumerate(senders) if one[0] == layer]
            if layer >= 0:
                streams[layer] = x[:n].clone()
                live = row[: n + len(new)], pos[: n + len(new)]
                x[n : n + len(new)] = self.kept["resid_pre", layer][row[new], pos[new]]
                n += len(new)
                x[:n] += self.kept["attn_out", layer][live]
                if new:
                    x[new] += torch.stack([self.change(senders[i]) for i in new])
                x[:n] += self._mlp(layer, x[:n])
            elif new:
                x[new] = self.kept["resid_pre", 0][row[new], pos[new]]
                x[new] += torch.stack([self.change(senders[i]) for i in new])
                n = len(new)
        streams[self.n_layers] = x
        return streams

    def _mlp(self, layer: int, resid_mid: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        block = self.model.blocks[layer]
        pre = F.linear(block.ln2.unhooked(resid_mid), block.mlp.W_in.T, block.mlp.b_in)
        return F.linear(block.mlp.fused_act(pre), block.mlp.W_out.T, block.mlp.b_out)

    def receive(
        self,
        senders: Sequence[Keep],
        streams: Mapping[int, Float[Tensor, "_ prompt d_model"]],
        inputs: Mapping[Keep, str],
        logits: bool,
    ) -> Float[Tensor, "sender prompt"]:
        """The effect of each sender's paths into the inputs of all nodes."""
        sent_from = torch.stack([self.task.positions[role] for _, _, role in senders])
        start = torch.full_like(sent_from, self.length)  # the first position that changes
        changes: dict[int, list[tuple[int, Tensor, Tensor]]] = defaultdict(list)
        taken: dict[tuple[int, int], list[Tensor]] = defaultdict(list)
        for node, letters in sorted(inputs.items()):
            layer, head, role = node
            n = len(streams[layer])
            if not n:
                continue
            where = self.task.positions[role]
            change = self._received(node, letters, streams[layer], sent_from[:n])
            for other in taken[layer, head]:  # two roles of one head at one token are one node
                change = change * (where != other)[:, None]
            taken[layer, head].append(where)
            some = (change != 0).any(-1)  # sender prompt
            start[:n] = torch.where(some, torch.minimum(start[:n], where), start[:n])
            changes[layer].append((head, where, change))
        end = self.end.expand_as(start)
        direct = torch.zeros_like(streams[self.n_layers])
        if logits:
            final = at(self.kept["resid_post", self.n_layers - 1], self.end)
            to_end = (sent_from == end)[..., None]
            direct = (streams[self.n_layers] - final) * to_end
            start = torch.where(to_end[..., 0], torch.minimum(start, end), start)
        found = torch.zeros(start.shape, dtype=torch.float64, device=start.device)
        sender, prompt = (start < self.length).nonzero(as_tuple=True)
        order = in_order(start[sender, prompt], self.end[prompt])
        sender, prompt = sender[order], prompt[order]
        starts = start[sender, prompt]
        base = self.values["logit_diff"]
        for chunk in chunks(starts, self.end[prompt], ROWS):
            s, p = sender[chunk], prompt[chunk]
            jobs = Jobs(p, starts[chunk], self.end[p], self.length)
            stream = direct[s, p] + self._run(jobs, s, changes)
            value = self.readout(stream, self.prompts[p])["logit_diff"]
            found[s, p] = (value - base[p]).double()
        return found

    def _run(
        self, jobs: Jobs, sender: Int[Tensor, " job"], changes: Mapping[int, list]
    ) -> Float[Tensor, "job d_model"]:
        """The base run with the changes of each job's sender, to the end."""
        if not changes:
            return at(self.kept["resid_post", self.n_layers - 1], self.end)[jobs.prompt]

        def add(layer: int, rows: Rows, value: Tensor) -> Tensor:
            value = value.clone()
            for head, where, change in changes[layer]:
                row = (rows.pos == where[rows.prompt]).nonzero()[:, 0]
                by = sender[rows.job[row]]
                row, by = row[by < len(change)], by[by < len(change)]
                value[row, head] += change[by, rows.prompt[row]]
            return value

        first = min(changes)
        rows = jobs.rows_of("z", first, self.n_layers)
        given = {"z": add(first, rows, rows.of(self.kept["z", first]))}
        edits = {("z", layer): partial(add, layer) for layer in changes if layer > first}
        return resume(self.model, self.kept, jobs, first, given, merged(edits, self.edits))

    def _received(
        self,
        node: Keep,
        inputs: str,
        stream: Float[Tensor, "sender prompt d_model"],
        sent_from: Int[Tensor, "sender prompt"],
    ) -> Float[Tensor, "sender prompt d_head"]:
        """The change of a node's output; exactly zero where it does not read the position."""
        layer, head, role = node
        attn = self.model.blocks[layer].attn
        row = torch.arange(len(self.end), device=self.end.device)
        where = self.task.positions[role]
        normalized = self.model.blocks[layer].ln1.unhooked(stream)
        kept = {x: self.kept[x, layer][:, :, head] for x in "qkv"}  # prompt pos k
        new = {
            x: normalized @ getattr(attn, f"W_{x.upper()}")[head]
            + getattr(attn, f"b_{x.upper()}")[head]
            for x in inputs
        }  # sender prompt k
        old_k, old_v = (kept[x][row, sent_from] for x in "kv")
        q = at(kept["q"], where).expand(*sent_from.shape, -1)  # sender prompt k
        own = (sent_from == where)[..., None]
        new_q = torch.where(own, new["q"], q) if "q" in inputs else q
        seen = self.pos <= where[:, None]  # prompt pos
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
