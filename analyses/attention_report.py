"""The sections of the report on attention: all heads, single heads, all layers, roles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import interp
from analyses.common.verdicts import answered, is_above
from interp.parts import Head
from interp.report import Drawing, Figure, Item, Section, Table

if TYPE_CHECKING:
    import xarray as xr

    from interp.circuits import Verdict


def all_heads(patterns: xr.DataArray, weighted: xr.DataArray) -> Section:
    """Every head's pattern, as it is and value-weighted."""
    return Section(
        "Does a head look sharply at one earlier token?",
        f"{_sharp(patterns)}\n\n"
        "Rows are the tokens that attend, columns those attended to. A diagonal is a head that "
        "looks at a fixed distance; a column one that looks at the same token from everywhere, "
        "often the first, where heads rest.",
        [
            Figure(
                interp.plots.attention_grid(patterns),
                "Attention, a probability from 0 (white) to 1 (dark green); each row of a tile "
                "sums to 1.",
            ),
            Figure(
                interp.plots.attention_grid(weighted),
                "The same, weighted by the length of what is read, as a fraction of the head's "
                "longest value vector. Cells that are pale here but not above attend to short "
                "vectors.",
            ),
        ],
    )


def _sharp(patterns: xr.DataArray) -> Verdict:
    """Whether some head gives most of its attention to one earlier token, at the mean query."""
    import numpy as np

    n = patterns.sizes["key"]
    if n < 3:
        return answered("cannot be told", "the text is too short for a choice between tokens")
    values = patterns.transpose("layer", "head", "query", "key").values
    earlier = np.tril(values, -1)[:, :, 2:].max(-1)  # layer head query
    mean = earlier.mean(-1)
    layer, head = np.unravel_index(mean.argmax(), mean.shape)
    figures = (
        f"{layer}.{head} looks most sharply, with {mean.max():.2f} of its attention on its first "
        "choice among earlier tokens, averaged over the text; 0.5 is asked for"
    )
    return answered("yes" if mean.max() > 0.5 else "no", figures)


def _looks(rows: Sequence[dict[str, Any]]) -> Verdict:
    """Whether the strongest look from END at a role takes most of the head's attention."""
    most = max(rows, key=lambda row: row["attention"].mean)
    what = f"the strongest look is that of {most['head']} at {most['role']}, a probability of"
    return is_above(most["attention"], what, 0.5)


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
                interp.plots.attention_heatmap(rollout, largest=1.0),
                "Rollout sums over all paths; each row sums to 1. Both scales run from 0 to 1.",
            ),
            Figure(
                interp.plots.attention_heatmap(flow, largest=max(1.0, float(flow.max()))),
                "Flow: how much fits through the narrowest places.",
            ),
        ],
    )


def by_role(
    between: xr.DataArray, shown: Sequence[Head], rows: Sequence[dict[str, Any]], about: str
) -> Section:
    """Mean attention from role to role, of all heads and of the chosen ones."""
    mean = between.mean("prompt", keep_attrs=True)
    roles = ", ".join(mean["key"].values)
    either = " IO and S1 come in either order, so each may attend to the other."
    either = either if about == "IOI" else ""
    return Section(
        "Does a head look from END at a token with a role?",
        f"{_looks(rows)}\n\n"
        f"Means over {between.sizes['prompt']} {about} prompts, by the roles of tokens, for "
        f"interpreting circuits. Only some tokens have roles, so rows do not sum to 1.{either}",
        [
            Figure(
                interp.plots.attention_grid(mean),
                f"Rows, downward, and columns, rightward: {roles}.",
            ),
            *(
                Figure(
                    interp.plots.attention_heatmap(mean.sel(layer=layer, head=head), largest=1.0),
                    f"Head {layer}.{head}, rows to columns; the scale runs from 0 to 1.",
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
