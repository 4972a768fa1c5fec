"""A derived circuit with its evidence, its tables and its file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from interp.circuits import files
from interp.circuits.circuit import Circuit
from interp.metrics import METRICS
from interp.model import HookedGPT2
from interp.parts import Node
from interp.results import labeled
from interp.statistics import interval
from interp.tasks import Task

FORMAT = "interp.Derivation"


@dataclass(frozen=True, eq=False)
class Derivation:
    """A derived circuit with its evidence.

    Args:
        circuit: the heads with class and role, and their links with effect, interval and q value
        effects: effect of each link on each prompt, one variable for each metric; dims link
            ("9.6@END -> 10.0.q@END"), prompt
        nodes: effect of each head's paths into all nodes found before it, one variable for each
            metric; dims node ("9.6@END"), prompt. The coordinates are `q_value`, dims metric, node,
            and `found_by`, dim node: the metrics that found the head, separated by commas. For a
            head that has an effect only without the heads that write the answer, it is the effect
            without them.
        behavior: what `node_behavior` returns for each head of the circuit at its role
        tested: number of paths tested
        smallest: the effect that a node must exceed, in the unit of the first metric; the attrs of
            each variable have that of its own metric
        fdr: bound on the expected fraction of false discoveries in each family of tests
    """

    circuit: Circuit
    effects: xr.Dataset
    nodes: xr.Dataset
    behavior: xr.Dataset
    tested: int
    smallest: float
    fdr: float

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics in which effects were measured; links were tested in the first."""
        return tuple(str(name) for name in self.effects.data_vars)

    @property
    def found_by(self) -> Mapping[Node, tuple[str, ...]]:
        """Node of each head -> the metrics that found it; none for nodes that were given."""
        names = {
            str(node): tuple(name for name in str(some).split(", ") if name)
            for node, some in zip(
                self.nodes["node"].values, self.nodes["found_by"].values, strict=True
            )
        }
        return {one.node: names[str(one)] for one in self.circuit.heads}

    def heads(self) -> pd.DataFrame:
        """One row for each head: its class, role, effect and behavior, and who reads it.

        Returns:
            The columns are `head`, `position` (its role) and `class`; `effect`, `low` and `high` of
            its paths and `q_value`, in the first metric that found it (the first of all, if the
            head was given), and `found_by` if there are several metrics; those of `node_behavior`
            (means over prompts); and `receivers`, by input: "4.0 4.6 v, logits".
        """
        if not self.circuit.heads:
            return pd.DataFrame()
        means = self.behavior.mean("prompt")
        ends = {name: interval("mean", self.nodes[name]) for name in self.metrics}
        place = {str(name): i for i, name in enumerate(self.nodes["node"].values)}
        rows = []
        for head in self.circuit.heads:
            i = place[str(head)]
            found_by = self.found_by[head.node] or self.metrics
            shown = next(name for name in self.metrics if name in found_by)
            mean, low, high = (float(end[i]) for end in ends[shown])
            row: dict[str, object] = {
                "head": head.label,
                "position": head.role,
                "class": head.kind,
                "effect": mean,
                "low": low,
                "high": high,
                "q_value": float(self.nodes["q_value"].sel(metric=shown)[i]),
            }
            if len(self.metrics) > 1:
                row["found_by"] = str(self.nodes["found_by"].values[i])
            of_head = means.sel(node=str(head))
            row |= {str(name): float(value) for name, value in of_head.items()}
            rows.append({**row, "receivers": self._receivers(head.node)})
        return pd.DataFrame(rows)

    def links(self) -> pd.DataFrame:
        """One row for each link: its ends, its input, its effect with interval, and its q value."""
        return pd.DataFrame([link.record() for link in self.circuit.links])

    def to_json(self) -> str:
        """Write the derivation as the text of a file.

        Returns:
            JSON with the circuit, as `Circuit.to_json` writes it, every array, and the options.
        """
        return files.dumps(
            FORMAT,
            {
                "circuit": json.loads(self.circuit.to_json()),
                **{name: files.dataset_record(getattr(self, name)) for name in _ARRAYS},
                "tested": self.tested,
                "smallest": self.smallest,
                "fdr": self.fdr,
            },
        )

    @classmethod
    def from_json(cls, text: str) -> "Derivation":
        """Read what `to_json` writes.

        Args:
            text: the text of a file

        Returns:
            The derivation, with the same numbers.

        Raises:
            ValueError: the text is not JSON, of another format or version, lacks a field (the
                message names it), or the arrays are not those of the circuit
        """
        data = files.loads(FORMAT, text, ("circuit", *_ARRAYS, "tested", "smallest", "fdr"))
        what = "the derivation"
        circuit = Circuit.from_json(json.dumps(files.field(data, "circuit", dict, what)))
        arrays = {name: files.dataset_of(data[name], f"{name} of {what}") for name in _ARRAYS}
        for name, dim, own in (
            ("effects", "link", [str(link) for link in circuit.links]),
            ("nodes", "node", [str(head) for head in circuit.heads]),
            ("behavior", "node", [str(head) for head in circuit.heads]),
        ):
            labels = arrays[name][dim].values.tolist() if dim in arrays[name] else None
            if labels != own:
                raise ValueError(
                    f"{name} of {what} are not those of its circuit: expected one row for each "
                    f"{'link' if dim == 'link' else 'head'} along {dim!r}; got {labels}"
                )
        if not {"q_value", "found_by"} <= set(arrays["nodes"].coords):
            raise ValueError(f"nodes of {what} lack q_value or found_by")
        return cls(
            circuit,
            **arrays,
            tested=files.field(data, "tested", int, what),
            smallest=float(files.field(data, "smallest", (int, float), what)),
            fdr=float(files.field(data, "fdr", (int, float), what)),
        )

    def save(self, path: str | PathLike[str]) -> None:
        """Write the derivation to one JSON file.

        Args:
            path: the file; missing folders are created

        Raises:
            OSError: it cannot be written
        """
        files.write(path, self.to_json())

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "Derivation":
        """Read a file that `save` wrote.

        Args:
            path: the file

        Returns:
            The derivation.

        Raises:
            ValueError: the file holds no derivation; see `from_json`
            OSError: it cannot be read
        """
        return cls.from_json(files.read(path))

    def _receivers(self, node: Node) -> str:
        """The receivers that read a node, by input."""
        found: dict[str, dict[str, None]] = {}  # input -> its receivers, each once
        for link in self.circuit.links:
            if link.sender == node:
                found.setdefault(link.input, {})[str(link.receiver.part)] = None
        each = (f"{' '.join(receivers)} {letter}".strip() for letter, receivers in found.items())
        return ", ".join(each)


_ARRAYS = ("effects", "nodes", "behavior")


def effects_by_prompt(
    what: str,
    names: Sequence[str],
    effects: Mapping[str, Float[np.ndarray, "_ prompt"]],
    smallest: Mapping[str, float],
    model: HookedGPT2,
    task: Task,
    asked: Mapping[str, Any],
) -> xr.Dataset:
    """Label the effects of nodes or links, as a derivation keeps them.

    Args:
        what: "node" or "link", the name of the dim
        names: a name for each
        effects: metric -> effect of each on each prompt
        smallest: metric -> the effect that must be exceeded
        model: the model
        task: the prompts
        asked: the question, as `interp.results.question` returns it

    Returns:
        One variable for each metric, dims `what`, prompt.
    """
    return xr.Dataset(
        {
            metric: labeled(
                values,
                (what, "prompt"),
                name=metric,
                title=f"Effect of each {what} on {metric}",
                unit=METRICS.get(metric, ""),
                model=model,
                task=task,
                coords={what: list(names)},
                question={**asked, "metric": metric},
            ).assign_attrs(smallest=smallest[metric])
            for metric, values in effects.items()
        }
    )
