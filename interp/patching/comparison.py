"""How well estimated effects agree with exact ones, to check attribution patching.

    rank_correlation   Spearman's: the correlation of the ranks of the mean effects
    correlation        Pearson's, of the mean effects themselves
    relative_error     mean |estimate - exact| / mean |exact|

A relative error of 0 is perfect; 1 is as bad as estimating that nothing has any effect. Ranks of
equal effects are averaged. Effects are averaged over prompts, and compared cell by cell.

Source: Kramar et al. 2024 (arXiv 2403.00745), who instead report how many nodes have to be patched,
in the order of the estimates, until the largest effects are found.
"""

from dataclasses import dataclass, field
from typing import Literal, get_args

import pandas as pd
import xarray as xr

from interp.patching.effects import effect, first_metric
from interp.results import SAME_PROMPTS, require_same

Estimated = Literal["effect", "grad_drop"]
"""What is compared: signed effects, or sizes of effects as "grad_drop" estimates them."""


@dataclass(frozen=True)
class Agreement:
    """How well estimates agree with exact effects.

    Args:
        rank_correlation: from -1 to 1; NaN where all effects are equal
        correlation: from -1 to 1; NaN where all effects are equal
        relative_error: a fraction, at least 0; NaN or infinite if all exact effects are zero
        n_cells: number of cells compared
        unit: unit of the effects
        worst: the cells with the largest absolute differences, largest first: their labels, and
            `estimate`, `exact` and `difference` (estimate minus exact), in `unit`
    """

    rank_correlation: float
    correlation: float
    relative_error: float
    n_cells: int
    unit: str
    worst: pd.DataFrame = field(compare=False)

    def __str__(self) -> str:
        """Summarize in two lines, with a table of the worst misses."""
        table = self.worst.to_string(index=False, float_format="{:+.3f}".format)
        return (
            f"{self.n_cells} cells: rank correlation {self.rank_correlation:.3f}, "
            f"correlation {self.correlation:.3f}, relative error {self.relative_error:.1%}\n"
            f"worst misses ({self.unit or 'unit of the metric'}):\n{table}"
        )


def agreement(
    estimated: xr.Dataset,
    exact: xr.Dataset,
    metric: str | None = None,
    *,
    by: Estimated = "effect",
    worst: int = 5,
) -> Agreement:
    """Compare estimated mean effects with exact ones, cell by cell.

    Args:
        estimated: result of `attribution_patch`
        exact: result of `patch`, or of `screen`, at the same site, in the same direction, over the
            same parts of the same task. Cells without a value (NaN) are left out.
        metric: a metric that both have; None for the first metric of the estimates
        by: "effect" compares mean effects; "grad_drop" compares the mean over prompts of their
            absolute values, which GradDrop estimates
        worst: number of worst misses to list

    Returns:
        The agreement over all cells.

    Raises:
        ValueError: the two differ in prompts, model, ablation, site, direction or parts; one lacks
            the metric or, for "grad_drop", its sizes; or there are fewer than two cells to compare
    """
    if by not in get_args(Estimated):
        raise ValueError(f"expected by 'effect' or 'grad_drop', got {by!r}")
    metric = first_metric(estimated) if metric is None else metric
    guess, truth = effect(estimated, metric), effect(exact, metric)
    require_same(
        guess,
        truth,
        fields=(*SAME_PROMPTS, "site", "ablation", "reference", "metric", "direction"),
        what=("the estimates", "the exact effects"),
    )
    if by == "grad_drop":
        sizes = f"{metric}_grad_drop"
        if sizes not in estimated:
            raise ValueError(f"the estimates have no {sizes}; make them with fixes=['grad_drop']")
        guess, truth = estimated[sizes], abs(truth)
    _require_same_cells(guess, truth)
    means = {"estimate": guess.mean("prompt"), "exact": truth.mean("prompt")}
    table = xr.Dataset(means).to_dataframe(means["exact"].dims).dropna().reset_index()
    if len(table) < 2:
        raise ValueError(f"agreement needs at least two cells; there are {len(table)}")
    estimates, effects = table["estimate"], table["exact"]
    table["difference"] = estimates - effects
    error = table["difference"].abs()
    missed = error.sort_values(ascending=False, kind="stable").index[:worst]
    return Agreement(
        rank_correlation=float(estimates.rank().corr(effects.rank())),
        correlation=float(estimates.corr(effects)),
        relative_error=float(error.mean() / effects.abs().mean()),
        n_cells=len(table),
        unit=str(truth.attrs.get("unit", "")),
        worst=table.loc[missed].reset_index(drop=True),
    )


_SHOWN = {"layers": ("layer",), "heads": ("head",), "neurons": ("neuron",),
          "positions": ("position", "role"), "sources": ("source", "source_role")}  # fmt: skip
"""The dims that show what a selection chose."""


def _together(result: xr.DataArray) -> dict[str, str]:
    """What a selection chose that no dim shows, because it is replaced together."""
    words = str(result.attrs.get("selection", "")).split("; ")
    parts = dict(word.split("=", 1) for word in words if "=" in word)
    return {
        name: value
        for name, value in parts.items()
        if name != "over" and not set(_SHOWN.get(name, ())) & set(map(str, result.dims))
    }


def _require_same_cells(guess: xr.DataArray, truth: xr.DataArray) -> None:
    """Refuse results over different parts."""
    one, other = _together(guess), _together(truth)
    for name in sorted({*one, *other}):
        if one.get(name) != other.get(name):
            raise ValueError(
                f"the estimates are of {name} {one.get(name, 'all')}, the exact effects of "
                f"{other.get(name, 'all')}; ask both for the same parts"
            )
    ours, theirs = ({str(d): x[d].values.tolist() for d in x.dims} for x in (guess, truth))
    if len(ours) < 2:
        raise ValueError("agreement needs several cells; sweep over a part, for instance 'layer'")
    if ours != theirs:
        wrong = [d for d in {**ours, **theirs} if ours.get(d) != theirs.get(d)]
        raise ValueError(
            f"the estimates are over {list(ours)} and the exact effects over {list(theirs)}, with "
            f"other values of {', '.join(wrong)}; ask both for the same parts"
        )
