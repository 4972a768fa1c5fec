"""The sections of the report on attention: all heads, single heads, all layers, roles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import interp
from interp.parts import Head
from interp.report import Drawing, Figure, Item, Section, Table

if TYPE_CHECKING:
    import xarray as xr


def all_heads(patterns: xr.DataArray, weighted: xr.DataArray) -> Section:
    """Every head's pattern, as it is and value-weighted."""
    return Section(
        "All heads",
        "Rows are the tokens that attend, columns those attended to. A diagonal is a head that "
        "looks at a fixed distance; a column one that looks at the same token from everywhere, "
        "often the first, where heads rest.",
        [
            Figure(
                interp.plots.attention_grid(patterns), "Attention; each row of a tile sums to 1."
            ),
            Figure(
                interp.plots.attention_grid(weighted),
                "The same, weighted by the length of what is read, as a fraction of the head's "
                "longest value vector. Cells that are pale here but not above attend to short "
                "vectors.",
            ),
        ],
    )


def detail(patterns: xr.DataArray, shown: Sequence[Head]) -> Section:
    """Each chosen head as a heat map and as arcs."""
    items: list[Item] = []
    for layer, head in shown:
        one = patterns.sel(layer=layer, head=head)
        name = f"Head {layer}.{head}"
        items += [
            Figure(interp.plots.attention_heatmap(one, largest=1.0), f"{name}, token by token."),
            Drawing(
                interp.plots.attention_arcs(one),
                f"{name}: arcs from each token back to those that get at least 0.1 of its "
                "attention. A disc is attention to itself.",
            ),
        ]
    return Section("Single heads", "", items)


def through_layers(rollout: xr.DataArray, flow: xr.DataArray) -> Section:
    """Rollout and flow from the last token, layer by layer."""
    return Section(
        "Through all layers",
        "Which tokens the last position can draw on after each layer, if half of each position's "
        "stream stays in place and half is the mean of the heads. Neither measure takes values or "
        "MLPs into account.",
        [
            Figure(
                interp.plots.attention_heatmap(rollout),
                "Rollout sums over all paths; each row sums to 1.",
            ),
            Figure(
                interp.plots.attention_heatmap(flow),
                "Flow: how much fits through the narrowest places.",
            ),
        ],
    )


def by_role(
    between: xr.DataArray, shown: Sequence[Head], rows: Sequence[dict[str, Any]]
) -> Section:
    """Mean attention from role to role, of all heads and of the chosen ones."""
    mean = between.mean("prompt", keep_attrs=True)
    roles = ", ".join(mean["key"].values)
    return Section(
        "From role to role",
        f"Means over {between.sizes['prompt']} IOI prompts, by the roles of tokens, for "
        "interpreting circuits. Only some tokens have roles, so rows do not sum to 1. IO and S1 "
        "come in either order, so each may attend to the other.",
        [
            Figure(
                interp.plots.attention_grid(mean),
                f"Rows, downward, and columns, rightward: {roles}.",
            ),
            *(
                Figure(
                    interp.plots.attention_heatmap(mean.sel(layer=layer, head=head)),
                    f"Head {layer}.{head}, rows to columns.",
                )
                for layer, head in shown
            ),
            Table(rows, "From END to each role: the head that attends most, with 95 % intervals."),
        ],
    )


def looked_at_most(between: xr.DataArray) -> list[dict[str, Any]]:
    """For each role, the head that attends to it most from END.

    Args:
        between: attention between roles, dims layer, head, query, key and prompt

    Returns:
        One row per role: the role, the head, and its mean attention with an interval.
    """
    import numpy as np

    rows: list[dict[str, Any]] = []
    for role in between["key"].values:
        at = between.sel(query="END", key=role).transpose("layer", "head", "prompt")
        layer, head = np.unravel_index(at.values.mean(-1).argmax(), at.shape[:2])
        attention = interp.statistics.estimate_mean(at[layer, head])
        rows.append({"role": str(role), "head": f"{layer}.{head}", "attention": attention})
    return rows
