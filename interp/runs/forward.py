"""Runs that start in the middle of the model: only what a change can reach is computed again.

A *base* run of every prompt is kept. A *job* is one prompt with something changed in it, from its
first changed position to END. Causality spares the work around: earlier layers are read from the
base run's residual stream, earlier positions from its keys and values, positions after END reach
nothing, and in the last block only END is carried on, since nothing else is read. The rows of all
jobs of a chunk, one a position, lie end to end in one matrix, so that a projection or an MLP is one
matrix product whatever the jobs are:

    rows     x [row d_model]         position by position, job by job
    segment  jobs of the same positions: what attention takes together

A layer is entered at any of its activations, in the order of `SITES`: whatever lies before it in
the layer is not computed. *Edits* replace activations while the run goes on (an ablation, or a
patch at a later layer).

The forward here has no hook points; `tests/patching/test_engine.py` shows it equal to HookedGPT2's.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from einops import einsum
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from interp.model import HookedGPT2

SITES = (
    "resid_pre", "q", "k", "v", "pattern", "z", "attn_out", "resid_mid",
    "mlp_in", "mlp_post", "mlp_out", "resid_post",
)  # fmt: skip
"""The activations of a layer, in the order in which they are computed."""

HOOKS = {
    **{site: f"hook_{site}" for site in ("embed", *SITES)},
    **{site: f"attn.hook_{site}" for site in ("q", "k", "v", "pattern", "z")},
    "mlp_post": "mlp.hook_post",
}
"""A site's hook point, within its layer."""

UNITS = {**dict.fromkeys(("q", "k", "v", "pattern", "z"), "head"), "mlp_post": "neuron"}
"""What the sites are made of that have parts."""

EVERYWHERE = ("resid_pre", "k", "v")
"""The sites that matter at every position even of the last layer; the others only at END."""


@dataclass(frozen=True)
class Rows:
    """Which job, prompt and position each row of a matrix of activations belongs to.

    Args:
        job: index of the job.
        prompt: index of its prompt in the batch.
        pos: position in that prompt.
    """

    job: Int[Tensor, " row"]
    prompt: Int[Tensor, " row"]
    pos: Int[Tensor, " row"]

    def of(self, activation: Shaped[Tensor, "prompt pos ..."]) -> Shaped[Tensor, "row ..."]:
        """Take each row's value out of a batch's activation."""
        return activation[self.prompt, self.pos]

    def take(self, index: Int[Tensor, " n"]) -> "Rows":
        """Pick rows."""
        return Rows(self.job[index], self.prompt[index], self.pos[index])


Edits = Mapping[tuple[str, int], Callable[[Rows, Tensor], Tensor]]
"""(site, layer) -> (rows, value [row ...]) -> the value to go on with."""

Kept = Mapping[tuple[str, int], Float[Tensor, "prompt pos ..."]]
"""Activations of a batch, by (site, layer)."""


@dataclass(frozen=True)
class Segment:
    """Jobs of the same positions, and where their rows lie.

    Args:
        start: their first position.
        stop: the one after END.
        jobs: slice of the jobs.
        rows: slice of the rows: job by job, positions in order.
    """

    start: int
    stop: int
    jobs: slice
    rows: slice


@dataclass(frozen=True)
class Jobs:
    """Prompts to be run again, each from a position of its own to its END.

    Jobs of the same start and END are best next to each other (`in_order`): they are one segment.

    Args:
        prompt: index of the prompt of each job.
        start: the first position to compute.
        end: END of each job, the last one.
        length: positions of the batch.
    """

    prompt: Int[Tensor, " job"]
    start: Int[Tensor, " job"]
    end: Int[Tensor, " job"]
    length: int

    @cached_property
    def counts(self) -> Int[Tensor, " job"]:
        """How many rows each job has."""
        return self.end - self.start + 1

    @cached_property
    def segments(self) -> list[Segment]:
        """The jobs of the same start and END together."""
        segments, row, job = [], 0, 0
        both, n_jobs = torch.stack([self.start, self.end + 1], -1).unique_consecutive(
            dim=0, return_counts=True
        )
        for (start, stop), count in zip(both.tolist(), n_jobs.tolist(), strict=True):
            n_rows = count * (stop - start)
            segments.append(Segment(start, stop, slice(job, job + count), slice(row, row + n_rows)))
            row, job = row + n_rows, job + count
        return segments

    @cached_property
    def rows(self) -> Rows:
        """Every row that is computed."""
        job = torch.arange(len(self.counts), device=self.counts.device)
        job = job.repeat_interleave(self.counts)
        before = self.counts.cumsum(0) - self.counts  # rows before each job's first
        pos = torch.arange(len(job), device=job.device) - before[job] + self.start[job]
        return Rows(job, self.prompt[job], pos)

    @cached_property
    def end_row(self) -> Int[Tensor, " job"]:
        """Index of each job's END among `rows`."""
        return self.counts.cumsum(0) - 1

    @cached_property
    def ends(self) -> Rows:
        """The rows at END, one a job."""
        return self.rows.take(self.end_row)

    def rows_of(self, site: str, layer: int, n_layers: int) -> Rows:
        """The rows that are needed of a site: in the last layer mostly END alone."""
        return self.ends if layer == n_layers - 1 and site not in EVERYWHERE else self.rows


def merged(first: Edits, second: Edits) -> Edits:
    """Both edits, the second on what the first makes of a site that they share."""

    def one_after_the_other(key: tuple[str, int]) -> Callable[[Rows, Tensor], Tensor]:
        return lambda rows, value: second[key](rows, first[key](rows, value))

    shared = first.keys() & second.keys()
    return {**first, **second, **{key: one_after_the_other(key) for key in shared}}


def in_order(start: Int[Tensor, " job"], end: Int[Tensor, " job"]) -> Int[Tensor, " job"]:
    """The order of jobs in which those of the same positions are together, the earliest first."""
    by_end = end.argsort(stable=True)
    return by_end[start[by_end].argsort(stable=True)]


def chunks(starts: Int[Tensor, " job"], ends: Int[Tensor, " job"], n_rows: int) -> Iterator[slice]:
    """Cut jobs into runs of at most `n_rows` rows, and of one job at least.

    Args:
        starts: first position of each job.
        ends: END of each job.
        n_rows: how many rows a run may have.

    Yields:
        Slices of the jobs.
    """
    first, rows = 0, 0
    for job, count in enumerate((ends - starts + 1).tolist()):
        if rows and rows + count > n_rows:
            yield slice(first, job)
            first, rows = job, 0
        rows += count
    if rows:
        yield slice(first, len(starts))


def resume(
    model: HookedGPT2,
    base: Kept,
    jobs: Jobs,
    layer: int,
    given: Mapping[str, Float[Tensor, "row ..."]],
    edits: Edits | None = None,
    *,
    changed: Bool[Tensor, " row"] | None = None,
) -> Float[Tensor, "job d_model"]:
    """Run jobs from an activation of a layer to the end of the last block.

    Args:
        model: the model.
        base: of the base run, `k` and `v` of every layer from `layer` on; of `layer`, also q, k and
            v to enter at one of them or with `changed`, `v` at `pattern`, `resid_pre` anywhere in
            the attention, and `resid_mid` at the sites of the MLP.
        jobs: what to run.
        layer: the layer to enter.
        given: the site to enter at, with its activations on the rows of `Jobs.rows_of`. Of q, k and
            v, which enter together, those not given are the base run's.
        edits: what to change, in this layer after the site given and in all later ones.
        changed: of a given `resid_pre`, the rows that are not the base run's: queries, keys and
            values of the others are not computed again.

    Returns:
        The stream after the last block, at END.
    """
    run = _Run(model, base, jobs, edits or {})
    x = run.enter(layer, given, changed)
    for later in range(layer + 1, model.config.n_layers):
        x = run.block(later, run.edit("resid_pre", later, x))
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
        """From a site of a layer to its end."""
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
        """A whole layer; the last one keeps END alone."""
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
        """Queries, keys and values; of the last layer, queries at END alone."""
        attn, x = self.model.blocks[layer].attn, self.model.blocks[layer].ln1.unhooked(resid_pre)
        if layer == self.n_layers - 1:
            d = x.shape[1]
            q = F.linear(x[self.jobs.end_row], attn.W_QKV[:, :d].T, attn.b_QKV[:d])
            k, v = F.linear(x, attn.W_QKV[:, d:].T, attn.b_QKV[d:]).chunk(2, -1)
        else:
            q, k, v = F.linear(x, attn.W_QKV.T, attn.b_QKV).chunk(3, -1)
        return [x.unflatten(-1, (attn.n_heads, attn.d_head)) for x in (q, k, v)]

    def project_changed(
        self, layer: int, resid_pre: Float[Tensor, "row d"], changed: Bool[Tensor, " row"]
    ) -> list[Float[Tensor, "_ h k"]]:
        """The same where only some rows differ from the base run's."""
        attn, at = self.model.blocks[layer].attn, changed.nonzero()[:, 0]
        qkv = [self.jobs.rows.of(self.base[site, layer]) for site in "qkv"]
        new = F.linear(
            self.model.blocks[layer].ln1.unhooked(resid_pre[at]), attn.W_QKV.T, attn.b_QKV
        )
        for x, part in zip(qkv, new.chunk(3, -1), strict=True):
            x[at] = part.unflatten(-1, (attn.n_heads, attn.d_head))
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
        """Attention output: every job attends to its own positions and to earlier ones."""
        by_hand = ("pattern", layer) in self.edits
        parts = []
        for segment in self.jobs.segments:
            keys = self.with_past("k", layer, segment, k).transpose(1, 2)  # job h pos k
            queries = self.queries(layer, segment, q).transpose(1, 2)  # job h query k
            mask = self.mask(layer, segment)
            if by_hand:
                scores = queries @ keys.transpose(2, 3) / math.sqrt(queries.shape[-1])
                pattern = scores.masked_fill(~mask, -math.inf).softmax(-1)
                pattern = F.pad(pattern, (0, self.jobs.length - segment.stop))
                parts.append(pattern.transpose(1, 2))  # job query h pos
            else:
                values = self.with_past("v", layer, segment, v).transpose(1, 2)
                z = F.scaled_dot_product_attention(queries, keys, values, mask)
                parts.append(z.transpose(1, 2))  # job query h k
        result = torch.cat([part.flatten(0, 1) for part in parts])
        return self.mix(layer, self.edit("pattern", layer, result), v) if by_hand else result

    def mix(
        self, layer: int, pattern: Float[Tensor, "query h pos"], v: Float[Tensor, "row h k"]
    ) -> Float[Tensor, "query h k"]:
        """Attention output from given patterns: values weighted by them."""
        parts = []
        for segment in self.jobs.segments:
            values = self.with_past("v", layer, segment, v)
            weights = self.queries(layer, segment, pattern)[..., : segment.stop]
            z = einsum(weights, values, "job query h pos, job pos h k -> job query h k")
            parts.append(z.flatten(0, 1))
        return torch.cat(parts)

    def queries(
        self, layer: int, segment: Segment, value: Float[Tensor, "query ..."]
    ) -> Float[Tensor, "job _ ..."]:
        """A segment's share of what has a row for each query."""
        at = segment.jobs if layer == self.n_layers - 1 else segment.rows
        return value[at].unflatten(0, (segment.jobs.stop - segment.jobs.start, -1))

    def with_past(
        self, site: str, layer: int, segment: Segment, own: Float[Tensor, "row h k"]
    ) -> Float[Tensor, "job pos h k"]:
        """Keys or values of a segment up to END: the base run's, then its own."""
        prompt = self.jobs.prompt[segment.jobs]
        new = own[segment.rows].unflatten(0, (len(prompt), -1))
        if segment.start == 0:
            return new
        return torch.cat([self.base[site, layer][prompt, : segment.start], new], 1)

    def mask(self, layer: int, segment: Segment) -> Bool[Tensor, "query pos"]:
        """Which positions a query of a segment sees: those up to its own."""
        pos = torch.arange(segment.stop, device=self.jobs.end.device)
        first = segment.stop - 1 if layer == self.n_layers - 1 else segment.start
        return pos <= pos[first:, None]

    def after_z(
        self, layer: int, resid_pre: Float[Tensor, "query d"], site: str, value: Tensor
    ) -> Float[Tensor, "query d"]:
        """From z or attn_out to the end of the layer."""
        attn = self.model.blocks[layer].attn
        if site == "z":
            z = self.edit("z", layer, value)
            value = F.linear(z.flatten(-2), attn.W_O.flatten(0, 1).T, attn.b_O)
            value = self.edit("attn_out", layer, value)
        resid_mid = self.edit("resid_mid", layer, resid_pre + value)
        return self.mlp(layer, resid_mid, "mlp_in", resid_mid)

    def mlp(
        self, layer: int, resid_mid: Float[Tensor, "query d"], site: str, value: Tensor
    ) -> Float[Tensor, "query d"]:
        """From a site of the MLP to the end of the layer."""
        block = self.model.blocks[layer]
        if site == "mlp_in":
            value = self.edit("mlp_in", layer, value)
            pre = F.linear(block.ln2.unhooked(value), block.mlp.W_in.T, block.mlp.b_in)
            site, value = "mlp_post", self.edit("mlp_post", layer, block.mlp.fused_act(pre))
        if site == "mlp_post":
            value = F.linear(value, block.mlp.W_out.T, block.mlp.b_out)
        value = self.edit("mlp_out", layer, value)
        return self.edit("resid_post", layer, resid_mid + value)
