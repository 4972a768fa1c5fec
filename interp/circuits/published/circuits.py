"""Circuits and figures from the literature, as data to check a run against.

Source: Wang et al. 2022, *Interpretability in the Wild* (arXiv 2211.00593), section 3, Figure 2 and
appendix B for the heads; the naive circuit is that of the authors' code. Hanna et al. 2023 (arXiv
2305.00586) and its authors' code for greater-than. García-Carrasco et al. 2024 (arXiv 2405.04156)
for acronyms: the heads are the paper's, which keeps them at all positions; the positions are ours,
those that its patching of the third letter is at. Induction is no paper's circuit: its heads are
those with the highest scores on repeated random tokens, and the previous-token head that their
weights read most.
"""

from dataclasses import dataclass

from interp.circuits.circuit import Circuit, CircuitHead, CircuitMLP

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
_GREATER_THAN_GPT2: tuple[tuple[str, str, str], ...] = (
    ("mover", "YY", "0.1 0.3 0.5"),
    ("mover", "END", "5.1 5.5 6.9 7.10 8.8 8.11 9.1"),
)
_INDUCTION_GPT2: tuple[tuple[str, str, str], ...] = (
    ("previous token", "FIRST+1", "4.11"),
    ("induction", "END", "5.1 5.5 6.9 7.2 7.10"),
)
_ACRONYM_GPT2: tuple[tuple[str, str, str], ...] = (
    ("previous token", "C3", "1.0 2.2 4.11"),
    ("other", "END", "5.8"),
    ("mover", "END", "8.11 9.9 10.10 11.4"),
)
_PUBLISHED = {
    ("ioi", "gpt2"): (_IOI_GPT2, "Wang et al. 2022, arXiv 2211.00593"),
    ("ioi naive", "gpt2"): (_IOI_NAIVE, "Wang et al. 2022, arXiv 2211.00593: the naive circuit"),
    ("greater_than", "gpt2"): (_GREATER_THAN_GPT2, "Hanna et al. 2023, arXiv 2305.00586"),
    ("induction", "gpt2"): (
        _INDUCTION_GPT2,
        "scores on repeated random tokens; 4.11 by the composition of weights",
    ),
    ("acronym", "gpt2"): (_ACRONYM_GPT2, "Garc\u00eda-Carrasco et al. 2024, arXiv 2405.04156"),
}
_MLPS = {("greater_than", "gpt2"): (("YY", (0, 1, 2, 3)), ("END", (8, 9, 10, 11)))}
_NOT_ESTABLISHED = ("pronoun", "agreement")


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
        KeyError: No circuit is stored for the pair; the message lists those that are. For pronouns
            and agreement no list of heads is established in the literature.

    >>> len(published("ioi", "gpt2").heads)
    26
    """
    if (task, model) not in _PUBLISHED:
        known = ", ".join(f"({t!r}, {m!r})" for t, m in _PUBLISHED)
        why = (
            f" No list of heads for {task!r} is established in the literature."
            if task in _NOT_ESTABLISHED
            else ""
        )
        raise KeyError(f"No published circuit for ({task!r}, {model!r}); there is {known}.{why}")
    rows, source = _PUBLISHED[task, model]
    heads = tuple(
        CircuitHead(int(layer), int(head), kind, position)
        for kind, position, labels in rows
        for layer, head in (label.split(".") for label in labels.split())
    )
    mlps = tuple(
        CircuitMLP(layer, at) for at, layers in _MLPS.get((task, model), ()) for layer in layers
    )
    return Circuit(model, heads, source, mlps=mlps)
