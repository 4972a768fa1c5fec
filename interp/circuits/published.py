"""Circuits and figures from the literature, as data to check a run against.

Source: Wang et al. 2022, *Interpretability in the Wild* (arXiv 2211.00593), section 3, Figure 2 and
appendix B for the heads; the naive circuit is that of the authors' code.
"""

from dataclasses import dataclass

from interp.circuits.circuit import Circuit, CircuitHead

_IOI_GPT2: tuple[tuple[str, str, str], ...] = (
    ("previous token", "S1+1", "2.2 4.11"),
    ("duplicate token", "S2", "0.1 0.10 3.0"),
    ("induction", "S2", "5.5 5.8 5.9 6.9"),
    ("S-inhibition", "END", "7.3 7.9 8.6 8.10"),
    ("name mover", "END", "9.6 9.9 10.0"),
    ("backup name mover", "END", "9.0 9.7 10.1 10.2 10.6 10.10 11.2 11.9"),
    ("negative name mover", "END", "10.7 11.10"),
)
_IOI_NAIVE: tuple[tuple[str, str, str], ...] = (
    ("previous token", "S1+1", "2.2 4.11"),
    ("duplicate token", "S2", "0.10 3.0"),
    ("induction", "S2", "5.5 5.9"),
    ("S-inhibition", "END", "7.3 7.9 8.6 8.10"),
    ("name mover", "END", "9.6 9.9 10.0"),
)
_PUBLISHED = {
    ("ioi", "gpt2"): (_IOI_GPT2, "Wang et al. 2022, arXiv 2211.00593"),
    ("ioi naive", "gpt2"): (_IOI_NAIVE, "Wang et al. 2022, arXiv 2211.00593: the naive circuit"),
}


@dataclass(frozen=True, slots=True)
class PublishedFigure:
    """A number of a paper, and the range within which we call ours equal to it.

    Args:
        key: Short name, such as "logit_diff".
        label: What is measured.
        value: The published number.
        low: Lowest value of ours that agrees.
        high: Highest value of ours that agrees.
        unit: Unit of all three.
        source: Section, or the run, that the number is from.
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
            ours: The measured value, in `unit`.

        Returns:
            True from `low` to `high`, both included; False for NaN.
        """
        return self.low <= ours <= self.high


def published(task: str, model: str) -> Circuit:
    """A published circuit.

    Args:
        task: Name of the task, such as "ioi".
        model: Name of the model, such as "gpt2".

    Returns:
        The circuit, heads from the tokens to the logits.

    Raises:
        KeyError: No circuit is stored for the pair; the message lists those that are.

    >>> len(published("ioi", "gpt2").heads)
    26
    """
    if (task, model) not in _PUBLISHED:
        known = ", ".join(f"({t!r}, {m!r})" for t, m in _PUBLISHED)
        raise KeyError(f"No published circuit for ({task!r}, {model!r}); there is {known}.")
    rows, source = _PUBLISHED[task, model]
    heads = tuple(
        CircuitHead(int(layer), int(head), kind, position)
        for kind, position, labels in rows
        for layer, head in (label.split(".") for label in labels.split())
    )
    return Circuit(model, heads, source)
