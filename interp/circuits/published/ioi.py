"""What Wang et al. found about indirect object identification in GPT-2 small.

Source: Wang et al. 2022, *Interpretability in the Wild* (arXiv 2211.00593): section 3, figure 2 and
appendix B for the heads and their connections, section 4 and appendices K and M for the sets of
nodes; the naive circuit and the order of importance are those of the authors' code.
"""

from collections.abc import Mapping
from types import MappingProxyType

from interp.circuits.classes import NAME_MOVERS
from interp.parts import Head

SOURCE = "Wang et al. 2022, arXiv 2211.00593"

HEADS: Mapping[tuple[str, str], tuple[Head, ...]] = MappingProxyType(
    {
        ("previous token", "S1+1"): (Head(2, 2), Head(4, 11)),
        ("duplicate token", "S2"): (Head(0, 1), Head(0, 10), Head(3, 0)),
        ("induction", "S2"): (Head(5, 5), Head(5, 8), Head(5, 9), Head(6, 9)),
        ("S-inhibition", "END"): (Head(7, 3), Head(7, 9), Head(8, 6), Head(8, 10)),
        ("name mover", "END"): (Head(9, 6), Head(9, 9), Head(10, 0)),
        ("backup name mover", "END"): (
            *(Head(9, 0), Head(9, 7), Head(10, 1), Head(10, 2)),
            *(Head(10, 6), Head(10, 10), Head(11, 2), Head(11, 9)),
        ),
        ("negative name mover", "END"): (Head(10, 7), Head(11, 10)),
    }
)
"""Class and role -> the 26 heads."""

NAIVE_HEADS: Mapping[tuple[str, str], tuple[Head, ...]] = MappingProxyType(
    {
        ("previous token", "S1+1"): (Head(2, 2), Head(4, 11)),
        ("duplicate token", "S2"): (Head(0, 10), Head(3, 0)),
        ("induction", "S2"): (Head(5, 5), Head(5, 9)),
        ("S-inhibition", "END"): (Head(7, 3), Head(7, 9), Head(8, 6), Head(8, 10)),
        ("name mover", "END"): (Head(9, 6), Head(9, 9), Head(10, 0)),
    }
)
"""The same for the naive circuit."""

IOI_ROLES: tuple[str, ...] = ("IO", "IO+1", "S1", "S1+1", "S2", "S2+1", "END-1", "END")
"""The roles of the task, in the order of the ABBA template."""

IOI_PAPER_ROLES: tuple[str, ...] = ("IO", "S1", "S1+1", "S2", "END")
"""The roles in the paper; the others are for models that move names in more steps."""

IOI_GREEDY: tuple[tuple[Head, ...], ...] = (
    (Head(9, 9), Head(9, 6), Head(5, 8), Head(5, 5), Head(2, 2)),
    (Head(9, 9), Head(11, 10), Head(10, 7), Head(8, 6), Head(5, 8), Head(4, 11)),
    (Head(10, 7), Head(5, 5), Head(2, 2), Head(4, 11)),
    *((Head(9, 9), Head(11, 10), Head(10, 7), Head(11, 2), Head(3, 0), Head(5, 8), Head(2, 2)),),
)
"""The sets that the paper's greedy search found (appendix M, figure 22)."""

IOI_IMPORTANCE: tuple[Head, ...] = (
    *(Head(9, 9), Head(10, 0), Head(9, 6), Head(10, 10), Head(10, 6), Head(10, 2)),
    *(Head(10, 1), Head(11, 2), Head(9, 7), Head(9, 0), Head(11, 9)),
)
"""The name movers and their backups, the most important first (the authors' code)."""

IOI_EXCEPTIONS: Mapping[Head, tuple[str, ...]] = MappingProxyType(
    {
        Head(9, 0): ("name mover", "backup name mover", "negative name mover"),
        Head(11, 9): ("name mover", "backup name mover", "negative name mover"),
        Head(5, 8): ("negative name mover",),
        Head(5, 9): ("negative name mover",),
    }
)
"""Heads whose minimality is shown with a special set K -> the classes that make up K."""

STEPS = ("S2+1", "END-1")
"""Roles that are not in the paper: END reads what is written here. A model that settles on the
answer as soon as it has seen S2 moves it there before it moves it to END; one that copies as
induction heads do moves the name to IO+1 first."""

STEP_CLASSES = ("name mover", "S-inhibition")
"""The classes whose heads may stand at `STEPS`."""

CLASS_CONNECTIONS: tuple[tuple[str, str, str, str], ...] = (
    ("previous token", "S1+1", "induction", "kv"),
    *(("previous token", "IO+1", mover, "kv") for mover in NAME_MOVERS),
    *((kind, at, mover, "kv") for kind in STEP_CLASSES for at in STEPS for mover in NAME_MOVERS),
    ("duplicate token", "", "S-inhibition", "kv"),
    ("induction", "", "S-inhibition", "kv"),
    *(("S-inhibition", "", mover, "q") for mover in NAME_MOVERS),
    *((mover, "", "logits", "") for mover in NAME_MOVERS),
)
"""Class of the sender, its role ("" for any), class of the receiver, inputs of the receiver."""

TOKEN_CONNECTIONS: tuple[tuple[str, str, str, str], ...] = (
    ("previous token", "S1+1", "S1", "kv"),
    ("previous token", "S1+1", "S1+1", "q"),
    ("previous token", "IO+1", "IO", "kv"),
    ("previous token", "IO+1", "IO+1", "q"),
    ("duplicate token", "S2", "S1", "kv"),
    ("duplicate token", "S2", "S2", "q"),
    ("S-inhibition", "END", "END", "q"),
    *((mover, "END", "IO", "kv") for mover in NAME_MOVERS),
    *(("name mover", step, "IO", "kv") for step in STEPS),
)
"""Class of the receiver, its role, role of the token that is read, inputs of the receiver."""
