"""One line a head: everything that is measured of it, side by side.

Scores of attention are means over repeated random tokens, those of copying means over a task's
prompts, eigenvalues are of the weights. Read them together: an induction head looks at what
followed (`induction`) and copies it (`eigenvalue`, `copy`); a name mover copies and writes what it
looks at (`correlation`); a head that looks and does not copy moves something else.

Source: Wang et al. 2022 (arXiv 2211.00593), section 3, which tells the classes of heads apart by
these scores.
"""

from collections.abc import Sequence

import pandas as pd
import xarray as xr
from jaxtyping import Int
from torch import Tensor

from interp.heads.copying import copy_scores, eigenvalue_scores
from interp.heads.projection import attention_projection, correlation
from interp.heads.scores import attention_scores, repeated_tokens
from interp.model import HookedGPT2
from interp.patching import Progress
from interp.statistics import bootstrap_interval
from interp.tasks import Task


def head_table(
    model: HookedGPT2,
    task: Task | None = None,
    *,
    roles: Sequence[str] | None = None,
    tokens: Int[Tensor, "prompt pos"] | None = None,
    k: int = 5,
    seed: int = 0,
    progress: Progress = iter,
) -> xr.Dataset:
    """Every score of every head.

    Args:
        model: the model.
        task: prompts for what heads copy; without one those columns are left out.
        roles: of `attention_projection` and `copy_scores`.
        tokens: two prompts or more for `attention_scores`; by default `repeated_tokens`.
        k: of `copy_scores`.
        seed: of the random tokens and of the bootstrap.
        progress: wraps the steps of each part, for a progress bar.

    Returns:
        Dims layer, head. Means: `previous_token`, `duplicate_token`, `induction`, `first_token`,
        `current_token` (probability), `entropy` (nats); `eigenvalue`; with a task `copy`,
        `anti_copy` (fractions) and `correlation`, and of each role `attention_to_ROLE`. Whatever is
        a mean over prompts has its 95 % bootstrap interval in `NAME_low` and `NAME_high`.
        `.to_dataframe()` makes it a table, `ranked` sorts.

    Raises:
        ValueError: as the functions that it calls.
    """
    given = repeated_tokens(model, seed=seed) if tokens is None else tokens
    means = dict(attention_scores(model, given, progress=progress).data_vars)
    alone = {"eigenvalue": eigenvalue_scores(model)}
    if task is not None:
        looks = attention_projection(model, task, roles=roles, progress=progress)
        for role in looks["role"].values:
            means[f"attention_to_{role}"] = looks["attention"].sel(role=role, drop=True)
        copies = copy_scores(model, task, roles=roles, k=k, progress=progress)
        means |= {str(name): each.mean("role", keep_attrs=True) for name, each in copies.items()}
        alone["correlation"] = correlation(looks)
    table = xr.Dataset(attrs=alone["eigenvalue"].attrs | ({"task": task.name} if task else {}))
    for name, values in means.items():
        values = values.transpose("layer", "head", "prompt")
        table[name] = values.mean("prompt", keep_attrs=True)
        low, high = bootstrap_interval(values)
        table[f"{name}_low"], table[f"{name}_high"] = (
            (("layer", "head"), low),
            (("layer", "head"), high),
        )
    return table.assign(alone)


def ranked(table: xr.Dataset, by: str, *, n: int | None = None) -> pd.DataFrame:
    """The heads in the order of one score.

    Args:
        table: of `head_table`.
        by: the score, highest first.
        n: how many heads; None for all.

    Returns:
        One row a head: `head` ("9.6") and every score, without the ends of their intervals.

    Raises:
        ValueError: for a score that the table does not have.
    """
    scores = score_names(table)
    if by not in scores:
        raise ValueError(f"the table has no score {by!r}; it has {', '.join(scores)}")
    frame = table[scores].to_dataframe().reset_index()
    frame.insert(0, "head", frame.pop("layer").astype(str) + "." + frame.pop("head").astype(str))
    order = frame.sort_values(by, ascending=False, kind="stable")
    return order.head(len(order) if n is None else n).reset_index(drop=True)


def score_names(table: xr.Dataset) -> list[str]:
    """The scores of a table, without the ends of their intervals."""
    return [str(name) for name in table.data_vars if not str(name).endswith(("_low", "_high"))]
