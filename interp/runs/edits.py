"""Edits: replacements of activations during a run, and their precedence.

The rule of precedence, for every technique, site and layer: what the caller asks for takes
precedence over the ablation in which it runs. Both act on activations; where both replace the same
activation of the same unit at the same place, the caller's value is used. An intervention upstream
of an ablated activation has no effect beyond it: new queries of a head whose output is ablated
change nothing. In both cases the result names the parts (attr `also_ablated`).
"""

from collections.abc import Callable, Mapping

from torch import Tensor

from interp.runs.rows import Rows
from interp.runs.sites import Key

Edit = Callable[[Rows, Tensor], Tensor]
"""(rows, value [row ...]) -> the value to continue with."""

Edits = Mapping[Key, Edit]
"""(site, layer) -> the edit there."""


def over(ablation: Edits, asked: Edits) -> Edits:
    """Combine the edits of an ablation with the caller's, which take precedence.

    Args:
        ablation: what is knocked out in every run
        asked: what the caller asks for

    Returns:
        The combined edits.
    """

    def one_after_the_other(key: Key) -> Edit:
        return lambda rows, value: asked[key](rows, ablation[key](rows, value))

    shared = ablation.keys() & asked.keys()
    return {**ablation, **asked, **{key: one_after_the_other(key) for key in shared}}


def edited(edits: Edits, key: Key, rows: Rows, value: Tensor) -> Tensor:
    """The value at a site, after the edit there, if any."""
    edit = edits.get(key)
    return value if edit is None else edit(rows, value)
