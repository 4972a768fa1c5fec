"""What papers found about greater-than, induction and acronyms in GPT-2 small.

Greater-than: Hanna et al. 2023 (arXiv 2305.00586) and the authors' code. The induction circuit is
not from a paper: its heads are those with the highest scores on repeated random tokens, and the
previous-token head that their weights read most; the connections are those of Olsson et al. 2022
(arXiv 2209.11895). Acronyms: García-Carrasco et al. 2024 (arXiv 2405.04156); the heads are the
paper's, which keeps them at all positions; the roles are ours: those at which the paper patches the
third letter.
"""

from collections.abc import Mapping
from types import MappingProxyType

from interp.circuits.classes import MLP_CLASS
from interp.parts import MLP, Head

GREATER_THAN: Mapping[tuple[str, str], tuple[Head | MLP, ...]] = MappingProxyType(
    {
        ("mover", "YY"): (Head(0, 1), Head(0, 3), Head(0, 5)),
        ("mover", "END"): (
            *(Head(5, 1), Head(5, 5), Head(6, 9), Head(7, 10), Head(8, 8), Head(8, 11), Head(9, 1)),
        ),
        (MLP_CLASS, "YY"): (MLP(0), MLP(1), MLP(2), MLP(3)),
        (MLP_CLASS, "END"): (MLP(8), MLP(9), MLP(10), MLP(11)),
    }
)
INDUCTION: Mapping[tuple[str, str], tuple[Head | MLP, ...]] = MappingProxyType(
    {
        ("previous token", "FIRST+1"): (Head(4, 11),),
        ("induction", "END"): (Head(5, 1), Head(5, 5), Head(6, 9), Head(7, 2), Head(7, 10)),
    }
)
ACRONYM: Mapping[tuple[str, str], tuple[Head | MLP, ...]] = MappingProxyType(
    {
        ("previous token", "C3"): (Head(1, 0), Head(2, 2), Head(4, 11)),
        ("other", "END"): (Head(5, 8),),
        ("mover", "END"): (Head(8, 11), Head(9, 9), Head(10, 10), Head(11, 4)),
    }
)

CLASS_CONNECTIONS: tuple[tuple[str, str, str, str], ...] = (
    ("mover", "YY", MLP_CLASS, ""),
    (MLP_CLASS, "YY", "mover", "v"),
    ("mover", "END", MLP_CLASS, ""),
    *((kind, "END", "logits", "") for kind in ("mover", "negative mover", "induction", MLP_CLASS)),
    ("previous token", "FIRST+1", "induction", "kv"),
)
"""As in `interp.circuits.published.ioi`."""

TOKEN_CONNECTIONS: tuple[tuple[str, str, str, str], ...] = (
    ("mover", "YY", "YY", "qkv"),
    (MLP_CLASS, "YY", "YY", ""),
    ("previous token", "FIRST+1", "FIRST", "kv"),
    ("previous token", "FIRST+1", "FIRST+1", "q"),
    ("induction", "END", "END", "q"),
    ("induction", "END", "FIRST+1", "kv"),
)
"""As in `interp.circuits.published.ioi`."""
