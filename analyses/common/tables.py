"""Tables that several analyses show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import interp
from analyses.common.study import Study
from analyses.common.wording import text
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
    about = " Normalized: 0 is the corrupted run, 1 the clean one." if fractions is not None else ""
    return Table(rows, f"The {len(rows)} strongest, with 95 % intervals.{about}")


def _interval(estimate: xr.Dataset, cell: int) -> str:
    ends = (float(estimate[key].values.ravel()[cell]) for key in ("mean", "low", "high"))
    return text(interp.statistics.Estimate(*ends))


def derivation_tables(found: Derivation) -> list[Table]:
    """The evidence for the heads and links of a derived circuit.

    Args:
        found: the circuit with its evidence

    Returns:
        A table of heads and a table of links, if there are any.
    """
    tables = []
    behavior = [str(name) for name in found.behavior if name != "anti_copy"]
    if found.circuit.heads:
        tables.append(
            Table(
                _with_intervals(found.heads().drop(columns="anti_copy")),
                "Heads: effect of all paths into later heads of the circuit and the logits (in "
                "logits; negative: the paths favor the answer), with 95 % interval, q value, mean "
                "attention from the head's position, copying, and receivers.",
                {"q_value": ".1g", **dict.fromkeys(behavior, ".2f")},
            )
        )
    if found.circuit.links:
        tables.append(
            Table(
                _with_intervals(found.links()),
                "Links: mean effect of the path alone, in logits, with 95 % interval and q value.",
                {"q_value": ".1g"},
            )
        )
    return tables


def _with_intervals(table: pd.DataFrame) -> pd.DataFrame:
    """Effects with their intervals in one column."""
    ends = zip(table["effect"], table["low"], table["high"], strict=True)
    effects = [text(interp.statistics.Estimate(*each)) for each in ends]
    return table.assign(effect=effects).drop(columns=["low", "high"])
