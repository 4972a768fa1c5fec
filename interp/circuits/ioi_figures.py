"""Every figure of "Interpretability in the Wild" that a run can be checked against.

The ranges are ours: they leave room for other prompts and for a few hundred of them (the standard
error of a mean logit difference at 100 prompts is about 0.15).

Source: Wang et al. 2022 (arXiv 2211.00593), the sections named; the authors' shipped run of 100
prompts, called "run data", where the paper prints no number.
"""

from interp.circuits.published import PublishedFigure

_KNOCKED_OUT = {  # class -> F(C without K), F(M without K)
    "none": (2.838, 3.302),
    "name movers of both positive kinds": (0.930, 1.529),
    "negative name mover": (4.267, 5.620),
    "S-inhibition": (0.227, 0.297),
    "induction": (1.035, 1.571),
    "duplicate token": (0.724, 1.515),
    "previous token": (1.517, 2.900),
}
_ROOM = 0.6  # logits

_LOGITS, _FRACTION, _PROBABILITY = "logits", "fraction", "probability"

IOI_FIGURES: tuple[PublishedFigure, ...] = tuple(
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
            "without_name_movers", "Logit difference without name movers, over F(M)",
            0.95, 0.85, 1.05, _FRACTION, "section 3.4",
        ),
        (
            "without_mlps", "Logit difference without all MLPs after the first",
            -1.1, -2.0, -0.2, _LOGITS, "appendix J",
        ),
        *(
            (
                f"{side}_without_{kind}", f"F({letter} without {kind})",
                value, value - _ROOM, value + _ROOM, _LOGITS, "run data",
            )
            for kind, values in _KNOCKED_OUT.items()
            for side, letter, value in zip(("circuit", "full"), "CM", values, strict=True)
        ),
        (
            "naive_circuit_without_none", "F of the naive circuit",
            2.862, 2.862 - _ROOM, 2.862 + _ROOM, _LOGITS, "run data",
        ),
        ("gap_greedy", "Largest gap of greedy sets", 3.09, 2.3, 3.9, _LOGITS, "section 4.1"),
        (
            "minimality", "Smallest change of a node, over F(M)",
            0.01, 0.01, 1.0, _FRACTION, "section 4.2",
        ),
        ("adversarial_plain", "S above IO, plain", 0.007, 0.0, 0.03, _FRACTION, "section 4.4"),
        ("adversarial_IO", "S above IO, IO twice", 0.234, 0.08, 0.5, _FRACTION, "section 4.4"),
        ("adversarial_S1", "S above IO, S once more", 0.004, 0.0, 0.03, _FRACTION, "section 4.4"),
    )
)  # fmt: skip
"""Figures of the IOI circuit in GPT-2 small; the value of `minimality` is the least there is."""
