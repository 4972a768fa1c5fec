"""The classes of heads: what the heads of a circuit do.

A class names what was measured of a head (see `interp.circuits.behavior`), in the words of the
literature. "Mover" without "name" is for tasks other than indirect object identification.
"""

from collections.abc import Mapping
from types import MappingProxyType

CLASSES: Mapping[str, str] = MappingProxyType(
    {
        "previous token": "copy the token before",
        "duplicate token": "find the earlier copy",
        "induction": "find what followed before",
        "S-inhibition": "keep attention off S",
        "name mover": "bring IO to the logits",
        "backup name mover": "step in for name movers",
        "negative name mover": "write against IO",
        "S suppressor": "write against S",
        "mover": "carry what a token says",
        "backup mover": "step in for movers",
        "negative mover": "write against the answer",
        "foil suppressor": "write against the foil",
        "other": "no class fits",
    }
)
"""Every class of heads, in order from the tokens to the logits -> what its heads do."""

MLP_CLASS = "MLP"
"""What MLPs have in place of a class."""

BACKUPS: Mapping[str, str] = MappingProxyType(
    {"name mover": "backup name mover", "mover": "backup mover"}
)
"""Class of a head -> its class if it has an effect only with others of that class ablated."""

NAME_MOVERS: tuple[str, ...] = ("name mover", "backup name mover", "negative name mover")
"""The classes that write names to the logits."""
