"""What the IOI analysis measured of the model and the circuit on every prompt, and its figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import xarray as xr

import interp
from analyses.ioi.parts.setting import pick
from interp.circuits import Circuit, Member, Verdict, does_the_task, fraction_kept, run_mean
from interp.parts import Node, as_head
from interp.patching import strongest_heads
from interp.statistics import Estimate, estimate_mean
from interp.tasks import Task

STRONGEST = 10
"""Number of heads in the tables and the scatter plot."""


@dataclass(frozen=True)
class Findings:
    """What the analysis measured on every prompt.

    Args:
        model: the model
        task: the prompts
        seed: seed that they were drawn with
        options: the other arguments of the run, with which it can be repeated
        behavior: accuracy and the metrics of `interp.metrics.BEHAVIOR`, dims prompt, with the order
            of each
        direct: direct effects, dims layer, head, prompt, in logits
        attention: attention between roles, dims layer, head, query, key, prompt
        attribution: direct logit attribution of heads at END, dims layer, head, prompt, in logits
        circuit: the circuit
        alone: the metrics of `interp.metrics.BEHAVIOR` as `faithfulness` measures them, dims run
            ("full", "circuit"), prompt
    """

    model: interp.HookedGPT2
    task: Task
    seed: int
    options: Mapping[str, Any]
    behavior: xr.Dataset
    direct: xr.DataArray
    attention: xr.DataArray
    attribution: xr.DataArray
    circuit: Circuit
    alone: xr.Dataset

    def estimate(self, name: str, order: str | None = None) -> Estimate:
        """Mean of one measure of behavior with its 95 % interval, for one order or for all."""
        values = self.behavior[name]
        if order is not None:
            values = values[values.order == order]
        return estimate_mean(values)

    def faithfulness(self, metric: str = "logit_diff") -> dict[str, Estimate]:
        """F(M), F(C) and, for the logit difference, their ratio, with 95 % intervals."""
        found = {
            "F_M": run_mean(self.alone, "full", metric),
            "F_C": run_mean(self.alone, "circuit", metric),
        }
        if metric == "logit_diff":
            found["ratio"] = fraction_kept(self.alone, metric)
        return found

    def verdict(self) -> Verdict:
        """Whether the circuit does the task alone."""
        return does_the_task(self.alone)

    def contribution(self) -> xr.DataArray:
        """What each head's direct path adds to the logit difference: minus the direct effect."""
        mean = -self.direct.mean("prompt", keep_attrs=True)
        return mean.assign_attrs(title="Direct contribution to the logit difference", unit="logits")

    def strongest(self) -> list[Member]:
        """The heads with the largest direct effects, with their class in the circuit, if any."""
        kinds = {head.node: head.kind for head in self.circuit.heads}
        nodes = [Node(head, "END") for head in strongest_heads(self.direct, STRONGEST)]
        return [Member(node, kinds.get(node, "other")) for node in nodes]

    def attention_of(self, heads: Sequence[Member], key: str) -> Estimate:
        """Mean attention of heads from END to a role, as a probability."""
        looks = self.attention.sel(query="END", key=key)
        return estimate_mean(pick(looks, [as_head(head.part) for head in heads]).mean("node"))
