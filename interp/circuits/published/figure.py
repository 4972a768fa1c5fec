"""A number of a paper, to check a run against."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PublishedFigure:
    """A number of a paper, and the range within which we call ours equal to it.

    Args:
        key: short name, such as "logit_diff".
        label: what is measured.
        value: the published number.
        low: the lowest value of ours that agrees.
        high: the highest value of ours that agrees.
        unit: unit of all three.
        source: the section, or the run, that the number is from.
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
            ours: the measured value, in `unit`.

        Returns:
            True from `low` to `high`, both included; False for NaN.
        """
        return self.low <= ours <= self.high
