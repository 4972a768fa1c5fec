"""A number from a paper, to check a run against."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PublishedFigure:
    """A number from a paper, and the range in which ours counts as agreeing with it.

    Args:
        key: short name, such as "logit_diff"
        label: what is measured
        value: the published number
        low: the lowest of our values that agrees
        high: the highest of our values that agrees
        unit: unit of the three numbers
        source: the section or the run that the number comes from
    """

    key: str
    label: str
    value: float
    low: float
    high: float
    unit: str
    source: str

    def agrees(self, ours: float) -> bool:
        """Whether a measured value lies in the accepted range.

        Args:
            ours: the measured value, in `unit`

        Returns:
            True from `low` to `high`, both included; False for NaN.
        """
        return self.low <= ours <= self.high
