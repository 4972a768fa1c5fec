"""Measured connections of a circuit: from one head, or the tokens, into one input of another.

A link says which head writes, at which position, into whose queries, keys or values (or into the
logits), and what was measured: the effect of cutting that path alone, its interval, and its p value
after the control for the number of paths that were tried.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

INPUT, LOGITS = "input", "logits"
"""The ends of a circuit, in the place of a head's label."""


class LinkKey(NamedTuple):
    """What a link joins, without what was measured."""

    sender: str
    sent_from: str
    receiver: str
    received_at: str
    inputs: str


@dataclass(frozen=True, slots=True)
class Link:
    """One connection between two heads, or a head and an end of the circuit.

    Args:
        sender: the head that writes, such as "9.6", or "input" for the token embedding.
        sent_from: role of the position where it writes.
        receiver: the head that reads, or "logits".
        received_at: role of the position where the receiver acts: the query's.
        inputs: "q", "k" or "v": what is read into; "" for the logits.
        effect: mean change of the metric when the path is cut, logits; negative: the path speaks
            for the answer. None where nothing was measured.
        low: lower end of the effect's interval.
        high: upper end of it.
        q_value: the smallest false-discovery rate at which the link counts as found.

    Raises:
        ValueError: for inputs that the receiver does not have, or queries (or logits) read at
            another position than they are written at.

    Example:
        >>> Link("8.6", "END", "9.9", "END", "q").key.receiver
        '9.9'
    """

    sender: str
    sent_from: str
    receiver: str
    received_at: str
    inputs: str
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    q_value: float | None = None

    def __post_init__(self) -> None:
        allowed = ("",) if self.receiver == LOGITS else ("q", "k", "v")
        if self.inputs not in allowed:
            raise ValueError(f"{self} reads into {self.inputs!r}; expected one of {list(allowed)}")
        if self.inputs in ("", "q") and self.sent_from != self.received_at:
            raise ValueError(f"{self} changes position, which only keys and values can")

    def __str__(self) -> str:
        """The link as an arrow: `8.6 at END -> 9.9 q at END`."""
        into = f"{self.receiver} {self.inputs}".rstrip()
        return f"{self.sender} at {self.sent_from} -> {into} at {self.received_at}"

    @property
    def key(self) -> LinkKey:
        """What it joins; two links are the same connection if their keys are equal."""
        return LinkKey(self.sender, self.sent_from, self.receiver, self.received_at, self.inputs)

    def record(self) -> dict[str, Any]:
        """The link as a plain row, without what was not measured."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Link":
        """Read what `record` writes.

        Raises:
            ValueError: a field is missing or unknown, or as for `Link`.
        """
        try:
            return cls(**row)
        except TypeError as error:
            raise ValueError(f"A link has the fields of interp.circuits.Link: {error}.") from error
