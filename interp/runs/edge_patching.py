"""Cutting single edges: one edge at a time, everything after its receiver recomputed.

The model runs with all edges but one: the receiver r reads x_r - (a_s - a'_s), see
`interp.runs.edges`, and everything after it follows. The run resumes at the receiver, on the
prompts that the sender's stand-in changes, from the first position that it changes. Many edges into
a layer run as one matrix.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.parts import QKV
from interp.runs.edge_gradients import Attribution, Weights
from interp.runs.edge_senders import Senders, edge_batches, sender_keys
from interp.runs.forward import resume
from interp.runs.graph import Graph
from interp.runs.pair import BaseRun
from interp.runs.readout import Readout
from interp.runs.rows import Jobs, chunks, in_order
from interp.runs.sides import Progress, Prompts, at
from interp.runs.sites import Key

ROWS_PER_RUN = 1024
"""Number of rows in one run: enough for fast matrix products."""

MEMORY = 1 << 26
"""Number of values held at once: a quarter of a gigabyte."""


def n_forwards(graph: Graph) -> float:
    """The cost of cutting every edge, in forward passes over all prompts.

    A run that resumes at a layer counts as the fraction of the layers that it runs.
    """
    n = graph.n_layers
    left = [n - i // 2 - (i % 2) * 2 / 3 for i in range(len(graph.stages))]
    return sum(
        senders.start * (receivers.stop - receivers.start) * of_stage / n
        for (senders, receivers), of_stage in zip(graph.stages, left, strict=True)
    )


def cut_each(
    senders: Senders, readout: Readout, *, progress: Progress = iter
) -> dict[str, Float[Tensor, "prompt sender receiver"]]:
    """By how much each edge alone raises the metrics.

    Args:
        senders: the stand-ins
        readout: the metrics
        progress: wraps the steps: each stage of the graph, for each batch of prompts

    Returns:
        Metric -> its value in the whole model less its value with one edge cut; zero where there is
        no edge.
    """
    c = senders.model.config
    per_token = (len(senders.graph.senders) + 20 * c.n_layers) * c.d_model
    batches = edge_batches(senders.task, per_token, MEMORY)
    stages = len(senders.graph.stages) + 1
    steps = [(i, stage) for i in range(len(batches)) for stage in range(stages)]
    found: list[dict[str, Tensor]] = []
    batch: _Batch | None = None
    for i, stage in progress(steps):
        if stage == 0:
            batch = None  # release its activations
            batch = _Batch(senders, readout, batches[i])
            found.append(batch.effects)
        assert batch is not None
        batch.stage(stage)
    back = torch.cat(batches).argsort()
    return {name: torch.cat([one[name] for one in found])[back] for name in readout.chosen}


@dataclass(frozen=True)
class _Cuts:
    """Edges to cut on prompts: one job each."""

    sender: Int[Tensor, " job"]
    receiver: Int[Tensor, " job"]
    prompt: Int[Tensor, " job"]


class _Batch:
    """Some prompts: their clean run, and the changes of all senders."""

    def __init__(self, senders: Senders, readout: Readout, prompts: Prompts) -> None:
        model, self.graph = senders.model, senders.graph
        self.model, self.n_layers = model, model.config.n_layers
        keys: list[Key] = [
            (site, layer)
            for layer in range(self.n_layers)
            for site in ("resid_pre", "resid_mid", *QKV)
        ]
        keys += [*sender_keys(self.n_layers), ("resid_post", self.n_layers - 1)]
        self.run = BaseRun(model, senders.task, prompts, "clean", keys, readout, None)
        new = senders.values(prompts, self.run.length)
        flat = Attribution(self.graph, Weights(model), self.run.kept, new).changes
        self.changes = flat.unflatten(1, (len(prompts), self.run.length))  # s b p d
        differs = (self.changes != 0).any(-1) & self.run.up_to_end  # sender prompt pos
        self.some = differs.any(-1)  # sender prompt
        self.start = differs.int().argmax(-1)  # sender prompt
        shape = (len(prompts), *self.graph.exists.shape)
        self.effects = {
            name: torch.zeros(shape, dtype=value.dtype, device=value.device)
            for name, value in self.run.values.items()
        }

    def stage(self, stage: int) -> None:
        """Cut all edges into the receivers of a stage, or into the logits."""
        if stage == len(self.graph.stages):
            return self.logits()
        senders, receivers = self.graph.stages[stage]
        layer, is_mlp = divmod(stage, 2)
        width = self.model.config.d_model * (1 if is_mlp else 4)
        step = max(1, MEMORY // (self.changes[0, ..., 0].numel() * width))
        for first in range(0, senders.start, step):
            some = slice(first, min(first + step, senders.start))
            if is_mlp:
                self.mlps(layer, some, receivers.start)
            else:
                self.heads(layer, some, receivers.start)
        return None

    def heads(self, layer: int, senders: slice, first: int) -> None:
        """Cut edges into the queries, keys and values of a layer."""
        block, h = self.model.blocks[layer], self.model.config.n_heads
        x = block.ln1.unhooked(self.run.kept["resid_pre", layer] - self.changes[senders])
        qkv = torch.nn.functional.linear(x, block.attn.W_QKV.T, block.attn.b_QKV)
        new = qkv.unflatten(-1, (3, h, -1))  # sender prompt pos 3 h k
        cuts = self.cuts(senders, range(h))
        for i, letter in enumerate(QKV):
            self.measure(
                cuts, layer, letter,
                partial(self._one_head, cuts, layer, letter, new[:, :, :, i], senders.start),
                first + i * h,
            )  # fmt: skip

    def _one_head(
        self,
        cuts: _Cuts,
        layer: int,
        letter: str,
        new: Float[Tensor, "sender prompt pos head k"],
        first: int,
        jobs: Jobs,
        job: Int[Tensor, " job"],
    ) -> Float[Tensor, "row head k"]:
        """Queries, keys or values, of which each job has one head's with an edge cut."""
        rows = jobs.rows_of(letter, layer, self.n_layers)
        value = rows.of(self.run.kept[letter, layer]).clone()
        cut = job[rows.job]
        head, sender = cuts.receiver[cut], cuts.sender[cut] - first
        row = torch.arange(len(value), device=value.device)
        value[row, head] = new[sender, rows.prompt, rows.pos, head]
        return value

    def mlps(self, layer: int, senders: slice, receiver: int) -> None:
        """Cut edges into an MLP."""
        cuts = self.cuts(senders, range(1))

        def given(jobs: Jobs, job: Tensor) -> Tensor:
            rows = jobs.rows_of("mlp_in", layer, self.n_layers)
            change = self.changes[cuts.sender[job[rows.job]], rows.prompt, rows.pos]
            return rows.of(self.run.kept["resid_mid", layer]) - change

        self.measure(cuts, layer, "mlp_in", given, receiver)

    def logits(self) -> None:
        """Cut edges into the logits, of which only END is read."""
        final = at(self.run.kept["resid_post", self.n_layers - 1], self.run.end)
        prompt = torch.arange(len(final), device=final.device)
        for sender, change in enumerate(self.changes[:, prompt, self.run.end]):
            measured = self.run.readout(final - change, self.run.prompts)
            for name, value in measured.items():
                self.effects[name][:, sender, -1] = self.run.values[name] - value

    def cuts(self, senders: slice, receivers: Sequence[int]) -> _Cuts:
        """The jobs of some senders and receivers, with those of the same positions together."""
        sender, prompt = self.some[senders].nonzero(as_tuple=True)
        sender = sender + senders.start
        order = in_order(self.start[sender, prompt], self.run.end[prompt])
        n, device = len(receivers), prompt.device
        receiver = torch.arange(n, device=device).repeat(len(order))
        return _Cuts(
            sender[order].repeat_interleave(n), receiver, prompt[order].repeat_interleave(n)
        )

    def measure(
        self,
        cuts: _Cuts,
        layer: int,
        site: str,
        given: Callable[[Jobs, Int[Tensor, " job"]], Tensor],
        first: int,
    ) -> None:
        """Run jobs from a site, and record what they change.

        Args:
            cuts: the jobs
            layer: the layer of the receivers
            site: their site
            given: (some jobs, their indices) -> the activation at the rows of the jobs
            first: index of the first receiver
        """
        run = self.run
        start, end = self.start[cuts.sender, cuts.prompt], run.end[cuts.prompt]
        index = torch.arange(len(start), device=start.device)
        for chunk in chunks(start, end, ROWS_PER_RUN):
            prompt = cuts.prompt[chunk]
            jobs = Jobs(prompt, start[chunk], end[chunk], run.length)
            stream = resume(self.model, run.kept, jobs, layer, {site: given(jobs, index[chunk])})
            for name, value in run.readout(stream, run.prompts[prompt]).items():
                self.effects[name][prompt, cuts.sender[chunk], first + cuts.receiver[chunk]] = (
                    run.values[name][prompt] - value
                )
