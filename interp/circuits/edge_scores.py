"""Scores of edges: what each edge of a model does for a task.

The sign, for every method and metric: a score is how much the edge raises the metric, so positive
helps the task; for a metric that is better when lower (`LOWER_IS_BETTER`), it is how much the edge
lowers it. Hence cutting a single edge costs about its score, in the unit of the metric.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from interp.metrics import METRICS
from interp.model import HookedGPT2
from interp.parts import Edge
from interp.results import Question, labeled
from interp.runs.graph import Graph
from interp.tasks import Task

LOWER_IS_BETTER = ("kl_divergence", "rank", "foil_logit")
"""The metrics that fall when a task is done better; their scores have the opposite sign."""


@dataclass(frozen=True, eq=False)
class EdgeScores:
    """The scores of all edges of a model.

    Args:
        graph: the graph of the model
        data: one variable for each metric, dims sender, receiver, and prompt unless they were
            imported; NaN where there is no edge; the attrs have the whole question

    Raises:
        ValueError: the arrays do not have the graph's senders and receivers
    """

    graph: Graph
    data: xr.Dataset

    def __post_init__(self) -> None:
        names = {"sender": self.graph.sender_names, "receiver": self.graph.receiver_names}
        for dim, expected in names.items():
            if dim not in self.data.coords or tuple(self.data[dim].values) != expected:
                raise ValueError(
                    f"scores of edges need the dim {dim!r} with the graph's {len(expected)} names, "
                    f"from {expected[0]} to {expected[-1]}"
                )

    @staticmethod
    def make(
        graph: Graph,
        values: Mapping[str, Float[Tensor, "prompt sender receiver"]],
        *,
        model: HookedGPT2,
        task: Task,
        title: str,
        question: Mapping[str, Any],
    ) -> "EdgeScores":
        """Label scores, and give them their sign.

        Args:
            graph: the graph of the model
            values: metric -> by how much each edge raises it
            model: the model
            task: the prompts
            title: one line that says what was measured
            question: fields of the question

        Returns:
            The scores.
        """
        data = {}
        exists = xr.DataArray(graph.exists, dims=("sender", "receiver"))
        for name, value in values.items():
            sign = -1 if name in LOWER_IS_BETTER else 1
            array = labeled(
                (sign * value).permute(1, 2, 0),
                ("sender", "receiver", "prompt"),
                name=name,
                title=title,
                unit=METRICS.get(name, ""),
                model=model,
                task=task,
                coords={
                    "sender": list(graph.sender_names),
                    "receiver": list(graph.receiver_names),
                },
                question={**question, "metric": name},
            )
            attrs = array.attrs | {"positive": "helps the task"}
            data[name] = array.where(exists).assign_attrs(attrs)
        return EdgeScores(graph, xr.Dataset(data))

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics, in order."""
        return tuple(map(str, self.data.data_vars))

    def of(self, metric: str | None = None) -> xr.DataArray:
        """The scores in one metric.

        Args:
            metric: its name; None for the first

        Returns:
            Dims sender, receiver, and prompt if the prompts were kept.

        Raises:
            ValueError: there is no such metric
        """
        name = self.metrics[0] if metric is None else metric
        if name not in self.data:
            raise ValueError(f"the scores have no metric {name!r}; they have {list(self.metrics)}")
        return self.data[name]

    def mean(self, metric: str | None = None) -> Float[np.ndarray, " edge"]:
        """The mean score over prompts of every edge, in the order of the graph.

        Args:
            metric: name of the metric; None for the first
        """
        values = self.of(metric)
        values = values.mean("prompt") if "prompt" in values.dims else values
        matrix = values.transpose("sender", "receiver").values
        return np.asarray(matrix[self.graph.sender, self.graph.receiver], dtype=np.float64)

    def by_prompt(self, metric: str | None = None) -> Float[np.ndarray, "edge prompt"]:
        """The scores of every edge on every prompt.

        Args:
            metric: name of the metric; None for the first

        Raises:
            ValueError: the prompts were not kept
        """
        values = self.of(metric)
        if "prompt" not in values.dims:
            raise ValueError("these scores are means over prompts; the prompts were not kept")
        matrix = values.transpose("sender", "receiver", "prompt").values
        return matrix[self.graph.sender, self.graph.receiver]

    def score(self, edge: Edge | str, metric: str | None = None) -> float:
        """The mean score of one edge.

        Args:
            edge: such as "9.6 -> logits"
            metric: name of the metric; None for the first

        Raises:
            ValueError: the graph has no such edge
        """
        return float(self.mean(metric)[self.graph.index(edge)])

    def save(self, path: str | PathLike[str]) -> None:
        """Write the scores to a netCDF file.

        Args:
            path: the file
        """
        sizes = {"n_layers": self.graph.n_layers, "n_heads": self.graph.n_heads}
        self.data.assign_attrs(sizes).to_netcdf(path)

    @staticmethod
    def load(path: str | PathLike[str]) -> "EdgeScores":
        """Read what `save` wrote.

        Args:
            path: the file
        """
        with xr.open_dataset(path) as file:
            data = file.load()
        n_layers, n_heads = (int(data.attrs.pop(name)) for name in ("n_layers", "n_heads"))
        return EdgeScores(Graph(n_layers, n_heads), data)

    def question(self, metric: str | None = None) -> Question:
        """The question that the scores answer."""
        return Question.of(self.of(metric))
