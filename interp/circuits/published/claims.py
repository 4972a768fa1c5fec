"""A published claim, and the verdict of a measurement on it.

    agrees                  the measured mean lies in the accepted range
    disagrees               it does not, and neither does any part of its interval
    could not be measured   the measurement failed, or its interval is too wide to tell

An interval is too wide if the mean lies outside the range and the interval reaches into it, or if
the interval covers the whole range and more.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from interp.circuits.published.figure import PublishedFigure
from interp.statistics import Estimate

Judgment = Literal["agrees", "disagrees", "could not be measured"]

AGREES: Judgment = "agrees"
DISAGREES: Judgment = "disagrees"
UNMEASURED: Judgment = "could not be measured"


@dataclass(frozen=True)
class Claim:
    """What somebody published about a model.

    Args:
        key: short name, unique among claims
        group: heading under which the claim stands in a table
        what: what is measured
        published: the published value, as text
        source: paper or repository, with section or file
        tolerance: which of our values agree, as text
        why: why this tolerance
        how: how it is measured here
        lowest: the lowest value that agrees; None if the claim is not a number
        highest: the highest value that agrees; None if the claim is not a number
    """

    key: str
    group: str
    what: str
    published: str
    source: str
    tolerance: str
    why: str
    how: str
    lowest: float | None = None
    highest: float | None = None

    @classmethod
    def of_figure(cls, figure: PublishedFigure, group: str, *, why: str, how: str) -> "Claim":
        """The claim that a measured value lies in a figure's accepted range.

        Args:
            figure: the published figure
            group: heading of the claim
            why: why this tolerance
            how: how it is measured here

        Returns:
            The claim, with the figure's key.
        """
        return cls(
            figure.key, group, figure.label, f"{figure.value:g}", figure.source,
            f"{figure.low:.3g} to {figure.high:.3g} {figure.unit}", why, how, figure.low,
            figure.high,
        )  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """A measurement that is not a number, such as a list of heads.

    Args:
        text: what was found
        agrees: whether that is what was published
    """

    text: str
    agrees: bool


Value = Estimate | Answer | float
"""A measurement: a mean over prompts with its interval, something else, or a single number."""


@dataclass(frozen=True)
class Outcome:
    """A claim with our measurement.

    Args:
        claim: the claim
        verdict: whether the measurement agrees
        measured: the measurement, as text; "" if there is none
        value: the measured number; None if there is none
        low: lower end of its 95 % interval over prompts; None without an interval
        high: upper end
        note: why the claim could not be measured; else ""
    """

    claim: Claim
    verdict: Judgment
    measured: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """All fields, those of the claim too, for JSON; it has no infinity, so that is None."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        every = asdict(own.pop("claim")) | own
        return {
            key: None if isinstance(one, float) and not math.isfinite(one) else one
            for key, one in every.items()
        }

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> "Outcome":
        """Read what `to_dict` wrote.

        Args:
            given: the fields of the claim and of the outcome

        Returns:
            The outcome.

        Raises:
            ValueError: a field is missing or unknown, or the verdict is none of the three
        """
        of_claim = [field.name for field in fields(Claim)]
        own = [field.name for field in fields(cls) if field.name != "claim"]
        wrong = set(given) ^ {*of_claim, *own}
        if wrong:
            raise ValueError(
                f"expected the fields {', '.join([*of_claim, *own])}; missing or unknown: "
                f"{', '.join(sorted(wrong))}"
            )
        if given["verdict"] not in get_args(Judgment):
            raise ValueError(
                f"a verdict is one of {', '.join(get_args(Judgment))}; got {given['verdict']!r}"
            )
        claim = Claim(**{name: given[name] for name in of_claim})
        return cls(claim, **{name: given[name] for name in own})


def judge(claim: Claim, value: Value) -> Outcome:
    """Compare a measurement with a claim.

    Args:
        claim: the claim
        value: the measurement, in the claim's unit

    Returns:
        The outcome.

    Raises:
        ValueError: only one of claim and measurement is a number
    """
    numeric = claim.lowest is not None and claim.highest is not None
    if numeric == isinstance(value, Answer):
        raise ValueError(
            f"the claim {claim.key!r} is {'a number' if numeric else 'not a number'}; got {value!r}"
        )
    if isinstance(value, Answer):
        return Outcome(claim, AGREES if value.agrees else DISAGREES, value.text)
    if not isinstance(value, Estimate):
        value = Estimate(float(value), math.nan, math.nan)
    mean, low, high = value.mean, value.low, value.high
    if math.isnan(mean):
        return unmeasured(claim, "the measured value is not a number")
    alone = math.isnan(low) or math.isnan(high)
    text = f"{mean:.3g}" if alone else f"{value:.3g}"
    least, most = claim.lowest or 0.0, claim.highest or 0.0
    inside = least <= mean <= most
    verdict, note = AGREES if inside else DISAGREES, ""
    if not alone and ((low < least and high > most) if inside else low <= most and high >= least):
        verdict, note = UNMEASURED, "the interval is too wide to tell; use more prompts"
    ends = (None, None) if alone else (low, high)
    return Outcome(claim, verdict, text, mean, ends[0], ends[1], note)


def unmeasured(claim: Claim, why: str) -> Outcome:
    """The outcome of a claim that could not be measured.

    Args:
        claim: the claim
        why: what went wrong

    Returns:
        The outcome.
    """
    return Outcome(claim, UNMEASURED, note=why)
