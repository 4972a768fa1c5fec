"""Every figure of "Interpretability in the Wild" that a run can be checked against.

The ranges are ours: they allow for other prompts, and for a sample of a few hundred (the standard
error of a mean logit difference over 100 prompts is about 0.15).

Source: Wang et al. 2022 (arXiv 2211.00593), the sections named; the authors' shipped run of 100
prompts, called "run data", where the paper prints no number.
"""

from interp.circuits.published.figure import PublishedFigure

_SIGNALS = {  # (token, position) signal of the S-inhibition heads -> logit difference
    (1, 1): 3.55, (1, -1): -0.99, (0, 1): 2.45, (0, -1): -1.96, (-1, 1): 1.77, (-1, -1): -3.16,
}  # fmt: skip
_KNOCKED_OUT = {  # class -> F(C without K), F(M without K)
    "none": (2.838, 3.302),
    "name movers of both positive kinds": (0.930, 1.529),
    "negative name mover": (4.267, 5.620),
    "S-inhibition": (0.227, 0.297),
    "induction": (1.035, 1.571),
    "duplicate token": (0.724, 1.515),
    "previous token": (1.517, 2.900),
}
_MINIMALITY = {  # head -> F(C without K), F(C without K and the head)
    "2.2": (1.75, 1.31), "4.11": (2.28, 1.31),
    "0.1": (1.90, 0.60), "0.10": (1.66, 0.60), "3.0": (1.05, 0.60),
    "5.5": (2.12, 0.97), "5.8": (4.07, 3.83), "5.9": (4.07, 3.33), "6.9": (1.46, 0.97),
    "7.3": (0.43, 0.24), "7.9": (0.92, 0.24), "8.6": (0.86, 0.24), "8.10": (1.01, 0.24),
    "9.6": (1.91, 2.11), "9.9": (2.62, 2.26), "10.0": (2.26, 1.91),
    "9.0": (0.45, 0.41), "9.7": (0.95, 0.81), "10.1": (1.49, 1.37), "10.2": (1.65, 1.49),
    "10.6": (1.88, 1.65), "10.10": (2.11, 1.88), "11.2": (1.37, 0.95), "11.9": (0.45, 0.41),
    "10.7": (3.13, 4.07), "11.10": (3.27, 4.07),
}  # fmt: skip
_ADVERSARIAL = {  # prompts -> logit difference, probability of IO, S above IO: value and range
    "plain": ("plain", (3.55, 2.9, 4.2), (0.49, 0.4, 0.6), (0.007, 0.0, 0.03)),
    "IO": ("IO twice", (1.23, 0.3, 2.2), (0.36, 0.2, 0.5), (0.234, 0.08, 0.5)),
    "S1": ("S once more", (3.64, 2.7, 4.6), (0.59, 0.4, 0.8), (0.004, 0.0, 0.03)),
}

_LOGITS, _FRACTION, _PROBABILITY = "logits", "fraction", "probability"

_READ_OFF = (
    ("_diff", "Logit difference", _LOGITS),
    ("_io", "Mean probability of IO", _PROBABILITY),
    ("", "S above IO", _FRACTION),
)


def _near(key: str, label: str, value: float, source: str, room: float = 0.6) -> PublishedFigure:
    """A mean logit difference, with the given room on both sides."""
    return PublishedFigure(key, label, value, value - room, value + room, _LOGITS, source)


def _like(key: str, label: str, value: float, source: str) -> PublishedFigure:
    """A difference, from a third of it to three times it; 0.05 logits count as none."""
    low, high = sorted((value / 3, value * 3))
    return PublishedFigure(key, label, value, low - 0.05, high + 0.05, _LOGITS, source)


_ONE_BY_ONE = tuple(
    PublishedFigure(*row)
    for row in (
        ("logit_diff", "Mean logit difference, IO minus S", 3.56, 3.1, 4.0, _LOGITS, "section 2"),
        ("accuracy", "IO above S", 0.993, 0.97, 1.0, _FRACTION, "section 2"),
        ("io_probability", "Mean probability of IO", 0.49, 0.41, 0.57, _PROBABILITY, "section 2"),
        ("faithfulness", "Faithfulness, F(C) / F(M)", 0.87, 0.80, 0.95, _FRACTION, "section 4"),
        (
            "attention_io", "Mean attention of the name movers, END to IO",
            0.59, 0.49, 0.69, _PROBABILITY, "section 3.1",
        ),
        (
            "attention_s2", "Mean attention of the S-inhibition heads, END to S2",
            0.51, 0.41, 0.61, _PROBABILITY, "section 3.2",
        ),
        (
            "correlation", "Lowest correlation of attention with projection, name movers",
            0.81, 0.76, 1.0, "r", "section 3.1",
        ),
        ("copy_movers", "Copy score, name movers", 0.95, 0.90, 1.0, _FRACTION, "section 3.1"),
        ("copy_average", "Copy score, average head", 0.20, 0.0, 0.25, _FRACTION, "section 3.1"),
        (
            "anti_copy_movers", "Copy score with the output negated, negative name movers",
            0.98, 0.93, 1.0, _FRACTION, "section 3.1",
        ),
        (
            "anti_copy_average", "Copy score with the output negated, average head",
            0.12, 0.0, 0.20, _FRACTION, "section 3.1",
        ),
        ("signal_position", "Effect of the position signal", 2.31, 1.8, 2.8, _LOGITS, "appendix A"),
        ("signal_token", "Effect of the token signal", 0.99, 0.6, 1.4, _LOGITS, "appendix A"),
        ("signal_error", "Mean error of the fit", 0.07, 0.0, 0.15, _FRACTION, "appendix A"),
        (
            "located_position", "Least loss by early heads of another place, over S-inhibition's",
            0.88, 0.75, 1.25, _FRACTION, "section 3.3",
        ),
        (
            "located_token", "Loss by early heads of another name, over S-inhibition's",
            0.08, -0.2, 0.2, _FRACTION, "section 3.3",
        ),
        (
            "without_name_movers", "Logit difference without name movers, over F(M)",
            0.95, 0.85, 1.05, _FRACTION, "section 3.4",
        ),
        (
            "without_mlps", "Logit difference without all MLPs after the first",
            -1.1, -2.0, -0.2, _LOGITS, "appendix J",
        ),
        ("gap_greedy", "Largest gap of greedy sets", 3.09, 2.3, 3.9, _LOGITS, "section 4.1"),
        (
            "gap_paper", "Largest gap of the greedy sets that the paper lists",
            3.09, 2.3, 3.9, _LOGITS, "section 4.1",
        ),
        (
            "minimality", "Smallest change of a node, over F(M)",
            0.01, 0.01, 1.0, _FRACTION, "section 4.2",
        ),
    )
)  # fmt: skip

IOI_FIGURES: tuple[PublishedFigure, ...] = (
    *_ONE_BY_ONE,
    *(
        _near(
            f"signal_{token}_{position}",
            f"Logit difference, token signal {token}, position signal {position}",
            value,
            "appendix A",
        )
        for (token, position), value in _SIGNALS.items()
    ),
    _near("signal_longer", "Logit difference, signals of a longer text", 3.57, "appendix A"),
    *(
        _near(f"{side}_without_{kind}", f"F({letter} without {kind})", value, "run data")
        for kind, values in _KNOCKED_OUT.items()
        for side, letter, value in zip(("circuit", "full"), "CM", values, strict=True)
    ),
    _near("naive_circuit_without_none", "F of the naive circuit", 2.862, "run data"),
    *(
        _like(f"minimality_{head}", f"Change of F(C without K) without {head}", out - whole,
              "appendix K")
        for head, (whole, out) in _MINIMALITY.items()
    ),
    *(
        PublishedFigure(f"adversarial_{name}{key}", f"{label}, {about}", *row, unit, "section 4.4")
        for name, (about, *rows) in _ADVERSARIAL.items()
        for (key, label, unit), row in zip(_READ_OFF, rows, strict=True)
    ),
)  # fmt: skip
"""Figures of the IOI circuit in GPT-2 small; for `minimality`, the value is the smallest one."""
