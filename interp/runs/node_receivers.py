"""How nodes respond to what senders tell them, and how the run continues from there.

`interp.runs.node_runs` computes the streams that senders change; `interp.patching.node_paths` has
the equations.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.parts import MLP, QKV, Head, Logits, Node, Port
from interp.runs.edits import over
from interp.runs.forward import mlp_out, resume
from interp.runs.node_runs import NodeRuns, Streams
from interp.runs.rows import Jobs, Rows, chunks, in_order
from interp.runs.sides import at
from interp.runs.sites import Key, in_computed_order
from interp.runs.sweep import ROWS_PER_RUN


def receive(
    runs: NodeRuns, senders: Sequence[Node], streams: Streams, ports: Sequence[Port]
) -> dict[str, Float[Tensor, "sender prompt"]]:
    """Measure the effect of each sender's paths into all ports together.

    Args:
        runs: the runs of some prompts
        senders: the senders, as given to `send`
        streams: the result of `send`
        ports: inputs of nodes, and the logits

    Returns:
        Metric -> its change.
    """
    run = runs.run
    sent_from = torch.stack([runs.where(sender) for sender in senders])  # sender prompt
    start = torch.full_like(sent_from, run.length)  # the first position that changes
    changes: dict[Key, list[tuple[int, Tensor, Tensor]]] = defaultdict(list)
    taken: dict[object, list[Tensor]] = defaultdict(list)
    for node, letters in _inputs(ports).items():
        where = runs.where(node)
        change = _received(runs, node, letters, senders, streams, sent_from)
        n = len(change)
        if not n:
            continue
        for other in taken[node.part]:  # two roles of a part at the same token are one node
            change = change * (where != other)[:, None]
        taken[node.part].append(where)
        some = (change != 0).any(-1)  # sender prompt
        start[:n] = torch.where(some, torch.minimum(start[:n], where), start[:n])
        head = node.part.head if isinstance(node.part, Head) else 0
        site = "z" if isinstance(node.part, Head) else "resid_post"
        changes[site, node.layer].append((head, where, change))
    end = runs.end.expand_as(start)
    direct = torch.zeros_like(streams[runs.n_layers])
    if any(isinstance(port.node.part, Logits) for port in ports):
        final = at(runs.kept["resid_post", runs.n_layers - 1], runs.end)
        to_end = (sent_from == end)[..., None]
        direct = (streams[runs.n_layers] - final) * to_end
        start = torch.where(to_end[..., 0], torch.minimum(start, end), start)
    base = run.values
    found = {
        name: torch.zeros(start.shape, dtype=torch.float64, device=start.device) for name in base
    }
    sender, prompt = (start < run.length).nonzero(as_tuple=True)
    order = in_order(start[sender, prompt], runs.end[prompt])
    sender, prompt = sender[order], prompt[order]
    starts = start[sender, prompt]
    for chunk in chunks(starts, runs.end[prompt], ROWS_PER_RUN):
        s, p = sender[chunk], prompt[chunk]
        jobs = Jobs(p, starts[chunk], runs.end[p], run.length)
        stream = direct[s, p] + _run(runs, jobs, s, changes)
        for name, value in run.readout(stream, run.prompts[p]).items():
            found[name][s, p] = (value - base[name][p]).double()
    return found


def _inputs(ports: Sequence[Port]) -> dict[Node, str]:
    """Node -> its inputs that receive, in the order of a forward pass."""
    found: dict[Node, str] = defaultdict(str)
    for port in ports:
        if not isinstance(port.node.part, Logits):
            letters = port.input or ("qkv" if isinstance(port.node.part, Head) else "")
            found[port.node] += "".join(x for x in letters if x not in found[port.node])
    return dict(sorted(found.items()))


def _run(
    runs: NodeRuns,
    jobs: Jobs,
    sender: Int[Tensor, " job"],
    changes: Mapping[Key, list[tuple[int, Tensor, Tensor]]],
) -> Float[Tensor, "job d_model"]:
    """Run the base run, with the changes from each job's sender, to the end."""
    last: Key = ("resid_post", runs.n_layers - 1)
    if not changes:
        return at(runs.kept[last], runs.end)[jobs.prompt]

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
    rows = jobs.rows_of(site, layer, runs.n_layers)
    kept = runs.kept[first] if site == "z" else runs.resid_post(layer)
    given = {site: add(first, rows, rows.of(kept))}
    edits = {key: partial(add, key) for key in changes if key != first}
    return resume(runs.model, runs.kept, jobs, layer, given, over(runs.run.edits, edits))


def _received(
    runs: NodeRuns,
    node: Node,
    inputs: str,
    senders: Sequence[Node],
    streams: Streams,
    sent_from: Int[Tensor, "sender prompt"],
) -> Float[Tensor, "_ prompt width"]:
    """The change of a node's output; exactly zero if it does not read the position."""
    stream = streams[node.layer]
    if isinstance(node.part, MLP):
        return _received_by_mlp(runs, node, senders, stream, sent_from)
    assert isinstance(node.part, Head)
    layer, head = node.part
    sent_from = sent_from[: len(stream)]
    attn = runs.model.blocks[layer].attn
    row = torch.arange(len(runs.end), device=runs.end.device)
    where = runs.where(node)
    normalized = runs.model.blocks[layer].ln1.unhooked(stream)
    kept = {x: runs.kept[x, layer][:, :, head] for x in QKV}  # prompt pos k
    new = {
        x: normalized @ getattr(attn, f"W_{x.upper()}")[head]
        + getattr(attn, f"b_{x.upper()}")[head]
        for x in inputs
    }  # sender prompt k
    old_k, old_v = (kept[x][row, sent_from] for x in "kv")
    q = at(kept["q"], where).expand(*sent_from.shape, -1)  # sender prompt k
    own = (sent_from == where)[..., None]
    new_q = torch.where(own, new["q"], q) if "q" in inputs else q
    seen = runs.run.pos <= where[:, None]  # prompt pos
    scale = 1 / math.sqrt(q.shape[-1])

    def mixed(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        scores = torch.einsum("sbk,bpk->sbp", query, kept["k"]) * scale  # sender prompt pos
        scores = scores.masked_fill(~seen, -math.inf)
        changed = (query * key).sum(-1, keepdim=True) * scale
        scores = scores.scatter(-1, sent_from[..., None], changed)
        pattern = scores.softmax(-1)
        z = torch.einsum("sbp,bpk->sbk", pattern, kept["v"])  # sender prompt k
        return z + pattern.gather(-1, sent_from[..., None]) * (value - old_v)

    change = mixed(new_q, new.get("k", old_k), new.get("v", old_v)) - mixed(q, old_k, old_v)
    reads = own if inputs == "q" else (sent_from <= where)[..., None]
    return torch.where(reads, change, 0.0)


def _received_by_mlp(
    runs: NodeRuns,
    node: Node,
    senders: Sequence[Node],
    stream: Float[Tensor, "_ prompt d_model"],
    sent_from: Int[Tensor, "sender prompt"],
) -> Float[Tensor, "_ prompt d_model"]:
    """The change of an MLP's output, due to earlier layers and to heads of its own layer."""
    layer, where = node.layer, runs.where(node)
    row = torch.arange(len(runs.end), device=runs.end.device)
    base = (runs.kept["resid_pre", layer] + runs.kept["attn_out", layer])[row, where]
    own = [s for s in senders if isinstance(s.part, Head) and s.layer == layer]
    before = stream + runs.kept["attn_out", layer][row, sent_from[: len(stream)]]
    mids = [before, *(base[None] + runs.change(sender) for sender in own)]
    mid = torch.cat(mids)  # sender prompt d
    block, at_both = runs.model.blocks[layer], torch.stack([where] * len(mid))
    old = mlp_out(block, runs.neurons(layer, base[None], where[None]))
    change = mlp_out(block, runs.neurons(layer, mid, at_both)) - old
    reads = (sent_from[: len(mid)] == where)[..., None]
    return torch.where(reads, change, 0.0)
