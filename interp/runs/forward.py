"""The resumed forward pass: runs that start in the middle of the model and compute what can change.

A *base* run of every prompt is kept. Causality limits the work after a change: earlier layers are
read from the base run's residual stream, earlier positions from its keys and values, positions
after END affect nothing, and in the last block only END is computed, since nothing else is read.
`interp.runs.rows` has the jobs and their layout in a matrix.

A layer can be entered at any of its sites; what comes before the site in the layer is not computed.
Edits replace activations during the run (an ablation, or a patch at a later layer).

This forward pass has no hook points; `tests/runs/test_forward.py` compares it with HookedGPT2's.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from einops import einsum
from jaxtyping import Bool, Float
from torch import Tensor

from interp.model import HookedGPT2
from interp.runs.edits import Edits
from interp.runs.rows import Jobs, Rows, Segment
from interp.runs.sites import Key, in_computed_order

Kept = Mapping[Key, Float[Tensor, "prompt pos ..."]]
"""The activations of a batch, by site and layer."""


def mlp_post(block: Any, resid_mid: Float[Tensor, "... d"]) -> Float[Tensor, "... d_mlp"]:
    """The neurons of a block, after the activation function."""
    pre = F.linear(block.ln2.unhooked(resid_mid), block.mlp.W_in.T, block.mlp.b_in)
    return block.mlp.fused_act(pre)


def mlp_out(block: Any, post: Float[Tensor, "... d_mlp"]) -> Float[Tensor, "... d"]:
    """The output of a block's MLP, from its neurons."""
    return F.linear(post, block.mlp.W_out.T, block.mlp.b_out)


def resume(
    model: HookedGPT2,
    base: Kept,
    jobs: Jobs,
    layer: int,
    given: dict[str, Float[Tensor, "row ..."]],
    edits: Edits | None = None,
    *,
    changed: Bool[Tensor, " row"] | None = None,
) -> Float[Tensor, "job d_model"]:
    """Run jobs from an activation of a layer to the end of the last block.

    Args:
        model: the model
        base: activations of the base run: `k` and `v` of every layer from `layer` on, and in
            `layer` whatever the entered site needs (`Site.needs`)
        jobs: the jobs to run
        layer: the layer to enter
        given: the site to enter at, with its activations at the rows of `Jobs.rows_of`. q, k and v
            enter together; those not given are the base run's
        edits: edits in this layer after the given site and in all later layers; what is given
            already includes earlier edits
        changed: the rows of a given `resid_pre` that differ from the base run's; queries, keys and
            values of the others are not recomputed

    Returns:
        The stream after the last block, at END.
    """
    entry = (next(reversed(given)), layer)
    later = {
        key: edit
        for key, edit in (edits or {}).items()
        if in_computed_order(key) > in_computed_order(entry)
    }
    run = _Run(model, base, jobs, later)
    x = run.enter(layer, given, changed)
    for i in range(layer + 1, model.config.n_layers):
        x = run.block(i, run.edit("resid_pre", i, x))
    return x


class _Run:
    """One chunk of jobs on its way through the layers."""

    def __init__(self, model: HookedGPT2, base: Kept, jobs: Jobs, edits: Edits) -> None:
        self.model, self.base, self.jobs, self.edits = model, base, jobs, edits
        self.n_layers = model.config.n_layers

    def rows(self, site: str, layer: int) -> Rows:
        return self.jobs.rows_of(site, layer, self.n_layers)

    def edit(self, site: str, layer: int, value: Tensor) -> Tensor:
        change = self.edits.get((site, layer))
        return value if change is None else change(self.rows(site, layer), value)

    def of_base(self, site: str, layer: int, like: str) -> Tensor:
        """The base run's activation on the rows that the site `like` needs."""
        return self.rows(like, layer).of(self.base[site, layer])

    def enter(
        self, layer: int, given: Mapping[str, Tensor], changed: Bool[Tensor, " row"] | None
    ) -> Float[Tensor, "_ d_model"]:
        """Run from a site of a layer to the layer's end."""
        site, value = next(iter(given.items()))
        if site == "resid_pre":
            return self.block(layer, value, changed)
        if site == "resid_post":
            return value
        if site in ("mlp_in", "mlp_post", "mlp_out"):
            resid_mid = self.of_base("resid_mid", layer, site)
            return self.mlp(layer, resid_mid, site, value)
        if site == "resid_mid":
            return self.mlp(layer, value, "mlp_in", value)
        if site in ("q", "k", "v"):
            q, k, v = (
                given[x] if x in given else self.of_base(x, layer, like=x) for x in ("q", "k", "v")
            )
            site, value = "z", self.attend(layer, q, k, v)
        elif site == "pattern":
            site, value = "z", self.mix(layer, value, self.of_base("v", layer, "v"))
        return self.after_z(layer, self.of_base("resid_pre", layer, "z"), site, value)

    def block(
        self,
        layer: int,
        resid_pre: Float[Tensor, "row d"],
        changed: Bool[Tensor, " row"] | None = None,
    ) -> Float[Tensor, "_ d"]:
        """Run a whole layer; the last layer keeps only END."""
        if changed is None:
            qkv = self.project(layer, resid_pre)
        else:
            qkv = self.project_changed(layer, resid_pre, changed)
        q, k, v = (self.edit(site, layer, x) for site, x in zip("qkv", qkv, strict=True))
        z = self.attend(layer, q, k, v)
        if layer == self.n_layers - 1:
            resid_pre = resid_pre[self.jobs.end_row]
        return self.after_z(layer, resid_pre, "z", z)

    def project(
        self, layer: int, resid_pre: Float[Tensor, "row d"]
    ) -> list[Float[Tensor, "_ h k"]]:
        """Queries, keys and values; in the last layer, queries only at END."""
        attn, x = self.model.blocks[layer].attn, self.model.blocks[layer].ln1.unhooked(resid_pre)
        if layer == self.n_layers - 1:
            d = x.shape[1]
            q = F.linear(x[self.jobs.end_row], attn.W_QKV[:, :d].T, attn.b_QKV[:d])
            k, v = F.linear(x, attn.W_QKV[:, d:].T, attn.b_QKV[d:]).chunk(2, -1)
        else:
            q, k, v = F.linear(x, attn.W_QKV.T, attn.b_QKV).chunk(3, -1)
        return [x.unflatten(-1, (attn.n_heads, attn.d_head)) for x in (q, k, v)]  # row h k

    def project_changed(
        self, layer: int, resid_pre: Float[Tensor, "row d"], changed: Bool[Tensor, " row"]
    ) -> list[Float[Tensor, "_ h k"]]:
        """The same, if only some rows differ from the base run's."""
        attn, at = self.model.blocks[layer].attn, changed.nonzero()[:, 0]
        qkv = [self.jobs.rows.of(self.base[site, layer]) for site in "qkv"]
        new = F.linear(
            self.model.blocks[layer].ln1.unhooked(resid_pre[at]), attn.W_QKV.T, attn.b_QKV
        )
        for x, part in zip(qkv, new.chunk(3, -1), strict=True):
            x[at] = part.unflatten(-1, (attn.n_heads, attn.d_head))  # row h k
        if layer == self.n_layers - 1:
            qkv[0] = qkv[0][self.jobs.end_row]
        return qkv

    def attend(
        self,
        layer: int,
        q: Float[Tensor, "query h k"],
        k: Float[Tensor, "row h k"],
        v: Float[Tensor, "row h k"],
    ) -> Float[Tensor, "query h k"]:
        """Heads' z from queries, keys and values, at each job's positions and earlier ones."""
        by_hand = ("pattern", layer) in self.edits
        parts = []
        for segment in self.jobs.segments:
            keys = self.with_past("k", layer, segment, k).transpose(1, 2)  # job h pos k
            queries = self.queries(layer, segment, q).transpose(1, 2)  # job h query k
            mask = self.mask(layer, segment)
            if by_hand:
                scores = queries @ keys.transpose(2, 3)  # job h query pos
                scores = scores / math.sqrt(queries.shape[-1])
                pattern = scores.masked_fill(~mask, -math.inf).softmax(-1)
                pattern = F.pad(pattern, (0, self.jobs.length - segment.stop))
                parts.append(pattern.transpose(1, 2))  # job query h pos
            else:
                values = self.with_past("v", layer, segment, v).transpose(1, 2)  # job h pos k
                z = F.scaled_dot_product_attention(queries, keys, values, mask)
                parts.append(z.transpose(1, 2))  # job query h k
        result = torch.cat([part.flatten(0, 1) for part in parts])  # query h ...
        return self.mix(layer, self.edit("pattern", layer, result), v) if by_hand else result

    def mix(
        self, layer: int, pattern: Float[Tensor, "query h pos"], v: Float[Tensor, "row h k"]
    ) -> Float[Tensor, "query h k"]:
        """Heads' z from given patterns: the values weighted by them."""
        parts = []
        for segment in self.jobs.segments:
            values = self.with_past("v", layer, segment, v)
            weights = self.queries(layer, segment, pattern)[..., : segment.stop]
            z = einsum(weights, values, "job query h pos, job pos h k -> job query h k")
            parts.append(z.flatten(0, 1))  # query h k
        return torch.cat(parts)

    def queries(
        self, layer: int, segment: Segment, value: Float[Tensor, "query ..."]
    ) -> Float[Tensor, "job _ ..."]:
        """A segment's part of an activation with one row per query."""
        at = segment.jobs if layer == self.n_layers - 1 else segment.rows
        n_jobs = segment.jobs.stop - segment.jobs.start
        return value[at].unflatten(0, (n_jobs, -1))  # job query ...

    def with_past(
        self, site: str, layer: int, segment: Segment, own: Float[Tensor, "row h k"]
    ) -> Float[Tensor, "job pos h k"]:
        """The keys or values of a segment up to END: the base run's, then its own."""
        prompt = self.jobs.prompt[segment.jobs]
        new = own[segment.rows].unflatten(0, (len(prompt), -1))  # job pos h k
        if segment.start == 0:
            return new
        return torch.cat([self.base[site, layer][prompt, : segment.start], new], 1)

    def mask(self, layer: int, segment: Segment) -> Bool[Tensor, "query pos"]:
        """The positions that each query of a segment sees: those up to its own."""
        pos = torch.arange(segment.stop, device=self.jobs.end.device)
        first = segment.stop - 1 if layer == self.n_layers - 1 else segment.start
        return pos <= pos[first:, None]

    def after_z(
        self, layer: int, resid_pre: Float[Tensor, "query d"], site: str, value: Tensor
    ) -> Float[Tensor, "query d"]:
        """Run from z or attn_out to the end of the layer."""
        attn = self.model.blocks[layer].attn
        if site == "z":
            z = self.edit("z", layer, value)
            value = F.linear(z.flatten(-2), attn.W_O.flatten(0, 1).T, attn.b_O)  # query d
            value = self.edit("attn_out", layer, value)
        resid_mid = self.edit("resid_mid", layer, resid_pre + value)
        return self.mlp(layer, resid_mid, "mlp_in", resid_mid)

    def mlp(
        self, layer: int, resid_mid: Float[Tensor, "query d"], site: str, value: Tensor
    ) -> Float[Tensor, "query d"]:
        """Run from a site of the MLP to the end of the layer."""
        block = self.model.blocks[layer]
        if site == "mlp_in":
            post = mlp_post(block, self.edit("mlp_in", layer, value))
            site, value = "mlp_post", self.edit("mlp_post", layer, post)
        if site == "mlp_post":
            value = mlp_out(block, value)
        value = self.edit("mlp_out", layer, value)
        return self.edit("resid_post", layer, resid_mid + value)
