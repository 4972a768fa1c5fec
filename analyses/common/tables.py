"""Tables that several analyses show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import interp
from analyses.common.study import Study
from analyses.common.wording import text
from interp.parts import EVERYWHERE
from interp.report import Table

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from interp.circuits import Derivation


def behavior(study: Study) -> Table:
    """The metric in the unchanged runs.

    Args:
        study: a study with at least one result

    Returns:
        A table with one row per run, with intervals.
    """
    result = next(iter(study.results.values()))
    unit = interp.metrics.METRICS[study.metric]
    rows = [
        {
            "run": side,
            f"{study.metric} ({unit})": text(interp.statistics.estimate_mean(result[name])),
        }
        for side in ("clean", "corrupted")
        if (name := f"{study.metric}_{side}") in result
    ]
    return Table(rows, "Means over prompts with 95 % intervals.")


def effects_table(effects: xr.Dataset, fractions: xr.Dataset | None = None, *, n: int = 6) -> Table:
    """The strongest cells of a sweep, with their intervals.

    Args:
        effects: mean effects, as `mean_effect` returns them
        fractions: normalized effects of the same cells, for a second column
        n: number of cells

    Returns:
        A table with one row per cell, the strongest first.
    """
    import numpy as np

    labels = interp.plots.labels.cell_labels(effects["mean"])
    mean = effects["mean"].values.ravel()
    order = np.argsort(-np.nan_to_num(np.abs(mean), nan=-1.0), kind="stable")[:n]
    columns = {f"effect ({effects.attrs['unit']})": effects}
    if fractions is not None:
        columns["normalized"] = fractions
    rows = [
        {"where": labels[i], **{name: _interval(one, int(i)) for name, one in columns.items()}}
        for i in order
    ]
    helps = effects["mean"].attrs.get("helps")
    sign = f" {helps.capitalize()}: the part helps the task." if helps else ""
    about = " Normalized: 0 is the corrupted run, 1 the clean one." if fractions is not None else ""
    return Table(rows, f"The {len(rows)} strongest, with 95 % intervals.{sign}{about}")


def _interval(estimate: xr.Dataset, cell: int) -> str:
    ends = (float(estimate[key].values.ravel()[cell]) for key in ("mean", "low", "high"))
    return text(interp.statistics.Estimate(*ends))


_ABOUT_HEADS = (
    "Heads: what all their paths into later heads of the circuit and the logits add (in the unit "
    "of the metric; positive: the head helps), with 95 % interval, q value, mean attention from "
    "the head's position, copying, what it writes to the logits for the answer and for the foil, "
    "and receivers."
)
_ABOUT_EVERYWHERE = (
    "Heads: what the head adds to the circuit alone (positive: the circuit needs it), with 95 % "
    "interval, q value, mean attention from END, and copying."
)


def derivation_tables(found: Derivation) -> list[Table]:
    """The evidence for the heads and links of a derived circuit.

    Args:
        found: the circuit with its evidence

    Returns:
        A table of heads and a table of links, if there are any.
    """
    tables = []
    everywhere = any(head.role == EVERYWHERE for head in found.circuit.heads)
    behavior = [str(name) for name in found.behavior if name != "anti_copy"]
    if found.circuit.heads:
        tables.append(
            Table(
                _with_intervals(found.heads().drop(columns="anti_copy")),
                _ABOUT_EVERYWHERE if everywhere else _ABOUT_HEADS,
                {"q_value": ".1g", **dict.fromkeys(behavior, ".2f")},
            )
        )
    if found.circuit.links:
        tables.append(
            Table(
                _with_intervals(found.links()),
                "Links: what the path alone adds, in the unit of the metric (positive: it helps), "
                f"with 95 % interval and q value. Above a q value of {found.fdr:g} the link is the "
                "strongest of a head none of whose single paths passes the test.",
                {"q_value": ".1g"},
            )
        )
    return tables


def _with_intervals(table: pd.DataFrame) -> pd.DataFrame:
    """What is added, the reverse of the effect of cutting a path, with intervals in one column."""
    ends = zip(-table["effect"], -table["high"], -table["low"], strict=True)
    adds = [text(interp.statistics.Estimate(*each)) for each in ends]
    at = list(table.columns).index("effect")
    kept = table.drop(columns=["effect", "low", "high"])
    kept.insert(at, "adds", adds)
    return kept
