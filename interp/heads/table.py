"""One row per head: all its scores, side by side.

Attention scores are means over repeated random tokens, copying scores are means over a task's
prompts, and eigenvalues need only the weights. Read them together: an induction head looks at what
followed (`induction`) and copies it (`eigenvalue`, `copy`); a name mover copies, and writes what it
looks at (`correlation`); a head that looks but does not copy moves something else.

Source: Wang et al. 2022 (arXiv 2211.00593), section 3, which distinguishes the classes of heads by
these scores.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from interp.heads.copying import copy_scores, eigenvalue_scores
from interp.heads.projection import attention_projection, correlation
from interp.heads.roles import answer_roles
from interp.heads.scores import attention_scores, repeated_random_tokens
from interp.model import HookedGPT2
from interp.parts import Head
from interp.results import Question
from interp.runs.arguments import count
from interp.runs.question import question
from interp.runs.sides import Progress, ready_task
from interp.runs.texts import Prompt
from interp.statistics import interval
from interp.tasks import Task


def head_table(
    model: HookedGPT2,
    task: Task | None = None,
    *,
    roles: Sequence[str] | None = None,
    tokens: Prompt | None = None,
    k: int = 5,
    seed: int = 0,
    progress: Progress = iter,
) -> xr.Dataset:
    """Compute every score of every head.

    Args:
        model: the model
        task: prompts for the copying scores; None leaves them out
        roles: roles for `attention_projection` and `copy_scores`
        tokens: prompts for `attention_scores`; by default `repeated_random_tokens`
        k: number of highest logits that count in `copy_scores`
        seed: seed of the random tokens
        progress: wraps the steps of each part, for a progress bar

    Returns:
        The scores, dims layer, head: `previous_token`, `duplicate_token`, `induction`,
        `first_token`, `current_token` (probabilities), `entropy` (nats) and `eigenvalue`; with a
        task also `copy`, `anti_copy` (fractions), `correlation`, and `attention_to_ROLE` for each
        role. A score NAME that is a mean over prompts has a 95 % interval (see `interp.statistics`)
        in `NAME_low` and `NAME_high`, NaN for a single prompt. A prompt without a repeated token is
        left out of `duplicate_token` and `induction`, which are NaN if no prompt has one.
        `.to_dataframe()` turns the scores into a table; `ranked` sorts them.

    Raises:
        ValueError: as for the functions that it calls
        TypeError: as for the functions that it calls
    """
    count(k, "k", 1, model.config.d_vocab, " (d_vocab)")
    if task is not None:
        task = ready_task(model, task, "head_table")
        roles = answer_roles(task, roles)
    given = repeated_random_tokens(model, seed=seed) if tokens is None else tokens
    means = dict(attention_scores(model, given, progress=progress).data_vars)
    alone = {"eigenvalue": eigenvalue_scores(model)}
    if task is not None:
        looks = attention_projection(model, task, roles=roles, progress=progress)
        for role in looks["role"].values:
            means[f"attention_to_{role}"] = looks["attention"].sel(role=role, drop=True)
        copies = copy_scores(model, task, roles=roles, k=k, progress=progress)
        means |= {str(name): each.mean("role", keep_attrs=True) for name, each in copies.items()}
        alone["correlation"] = correlation(looks)
    named = {} if task is None else {"task": task.name, "prompts": task.fingerprint}
    asked = question("head_table", k=k, roles=roles) | {"seed": seed} | named
    attrs = alone["eigenvalue"].attrs | {"title": "Scores of heads"}
    table = xr.Dataset(attrs=attrs | Question.make(**asked).attrs())
    for name, values in means.items():
        values = values.transpose("layer", "head", "prompt")
        scored = values.isel(prompt=np.flatnonzero(values.notnull().all(("layer", "head"))))
        table[name] = values.mean("prompt", keep_attrs=True)
        low = high = np.full(table[name].shape, np.nan)
        if scored.sizes["prompt"] > 1:
            low, high = interval("mean", scored)[1:]
        table[f"{name}_low"] = (("layer", "head"), low)
        table[f"{name}_high"] = (("layer", "head"), high)
    return table.assign(alone)


def ranked(table: xr.Dataset, by: str, *, n: int | None = None) -> pd.DataFrame:
    """Sort the heads by one score.

    Args:
        table: what `head_table` returns
        by: the score, highest first
        n: number of heads; None for all

    Returns:
        One row per head: `head` ("9.6") and every score, without the ends of their intervals.

    Raises:
        ValueError: the table lacks the score, or n is below 1
        TypeError: n is not an integer
    """
    scores = score_names(table)
    if by not in scores:
        raise ValueError(f"the table has no score {by!r}; it has {', '.join(scores)}")
    frame = table[scores].to_dataframe().reset_index()
    pairs = zip(frame.pop("layer"), frame.pop("head"), strict=True)
    frame.insert(0, "head", [str(Head(layer, head)) for layer, head in pairs])
    order = frame.sort_values(by, ascending=False, kind="stable")
    shown = len(order) if n is None else count(n, "n", 1)
    return order.head(shown).reset_index(drop=True)


def score_names(table: xr.Dataset) -> list[str]:
    """The scores of a table, without the ends of their intervals."""
    return [str(name) for name in table.data_vars if not str(name).endswith(("_low", "_high"))]
