"""Verdicts: the answer to the question in a section's heading, computed from the run.

A section asks in its heading, and its text begins with "Yes", "No" or "Cannot be told", followed by
the figure with its interval. The answer follows from the interval: yes if it lies on the side asked
about, no if it lies on the other, and "cannot be told" if it includes the bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyses.common.wording import minus, text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    import xarray as xr

    from interp.circuits import Verdict
    from interp.statistics import Estimate

LEADS = {"yes": "Yes", "no": "No", "cannot be told": "Cannot be told"}
"""Each answer -> the words that it begins with."""


def answered(answer: Literal["yes", "no", "cannot be told"], figures: str) -> Verdict:
    """Write an answer before its figures.

    Args:
        answer: the answer
        figures: a phrase with the figures, without a full stop

    Returns:
        The verdict.

    >>> str(answered("no", "the circuit has no name movers"))
    'No: the circuit has no name movers.'
    """
    from interp.circuits import Verdict  # --help does without it

    return Verdict(answer, f"{LEADS[answer]}: {figures}.")


def side_of(estimate: Estimate, bound: float = 0.0) -> Literal["yes", "no", "cannot be told"]:
    """Whether a quantity lies above a bound.

    Args:
        estimate: the quantity with its interval
        bound: the bound

    Returns:
        "yes" if the interval lies above the bound, "no" if it lies below it, else "cannot be told".
    """
    if estimate.low > bound:
        return "yes"
    return "no" if estimate.high < bound else "cannot be told"


def is_above(
    estimate: Estimate, what: str, bound: float = 0.0, *, unit: str = "", digits: int = 2
) -> Verdict:
    """Answer whether a quantity lies above a bound.

    Args:
        estimate: the quantity with its interval
        what: a phrase that names it, before its figure
        bound: the bound
        unit: unit of both
        digits: decimals

    Returns:
        The verdict.
    """
    against = f", against {minus(f'{bound:g}')}" if bound else ""
    figure = f"{what} {text(estimate, digits)} {unit}".rstrip()
    return answered(side_of(estimate, bound), figure + against)


def both(first: Verdict, second: Verdict) -> Verdict:
    """Join two verdicts that must both hold: yes if both are, no if one is no.

    Args:
        first: one verdict
        second: the other

    Returns:
        The verdict, with the figures of both.
    """
    answers = {first.answer, second.answer}
    answer = "no" if "no" in answers else "yes" if answers == {"yes"} else "cannot be told"
    figures = "; ".join(
        one.text.removeprefix(f"{LEADS[one.answer]}: ").removesuffix(".") for one in (first, second)
    )
    return answered(answer, figures)  # type: ignore[arg-type]


def any_effect(effects: xr.Dataset, what: str = "heads") -> Verdict:
    """Answer whether any part has an effect, and name the largest.

    Args:
        effects: `mean`, `low` and `high`, as `mean_effect` returns them
        what: plural of the parts

    Returns:
        "yes" if more intervals exclude zero than the twentieth that would by chance.
    """
    import numpy as np

    from interp.plots.labels import cell_labels
    from interp.statistics import Estimate

    mean, low, high = (effects[key].values.ravel() for key in ("mean", "low", "high"))
    there = np.isfinite(mean)
    told = there & ((low > 0) | (high < 0))
    n, n_told = int(there.sum()), int(told.sum())
    if not n:
        return answered("cannot be told", f"no {what} were measured")
    best = int(np.argmax(np.where(there, np.abs(mean), -1.0)))
    unit = effects["mean"].attrs.get("unit", "")
    figure = text(Estimate(float(mean[best]), float(low[best]), float(high[best])), 2)
    named = f"the largest is at {cell_labels(effects['mean'])[best]}, {figure} {unit}".rstrip()
    helps = effects["mean"].attrs.get("helps")
    if helps and told[best]:
        good = (mean[best] > 0) == (helps == "positive")
        named += f", which {'helps' if good else 'hurts'} the task"
    if n_told > n / 20:
        return answered("yes", f"{n_told} of {n} {what} have an interval without zero; {named}")
    return answered(
        "cannot be told",
        f"{n_told or 'none'} of {n} {what} {'has' if n_told < 2 else 'have'} an interval without "
        f"zero, as many as by chance; {named}",
    )


def opening(verdict: Verdict | str, *paragraphs: str) -> str:
    """The text of a section: the verdict first.

    Args:
        verdict: the verdict
        paragraphs: what follows; empty ones are left out

    Returns:
        Paragraphs with an empty line between them.
    """
    return "\n\n".join([str(verdict), *(one for one in paragraphs if one)])


def not_measured(why: str) -> Verdict:
    """The verdict of a section about something that was not measured."""
    return answered("cannot be told", f"not measured, since {why}")


def share_of(parts: Sequence[bool], what: str) -> Verdict:
    """Answer whether all of some checks hold.

    Args:
        parts: whether each holds
        what: a phrase after the count, such as "heads are found"

    Returns:
        The verdict, with the count.
    """
    count = f"{sum(parts)} of {len(parts)} {what}"
    return answered("yes" if all(parts) else "no", count)
