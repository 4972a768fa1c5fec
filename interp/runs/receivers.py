"""Receivers: where the paths of path patching end."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from interp.model import HookedGPT2
from interp.parts import MLP, QKV, as_heads, require_in_model
from interp.runs.places import Position, positions_mask, require_positions
from interp.runs.selection import require_indices
from interp.tasks import Task

BEFORE_ATTENTION = ("q", "k", "v", "resid_pre")
_RECEIVERS = ("logits", *BEFORE_ATTENTION, "mlp_in", "resid_mid")


@dataclass(frozen=True)
class Receivers:
    """Where the changed paths end.

    Args:
        site: "q", "k" or "v" of heads, "mlp_in", "resid_pre" or "resid_mid" of layers, or "logits"
        heads: heads, such as "9.6" or (9, 6), for q, k and v
        layers: layers, for mlp_in, resid_pre and resid_mid
        positions: roles or indices at which they receive; None for all

    Raises:
        ValueError: the site is unknown, the receivers do not fit it, or one is given twice
        TypeError: an argument is of another type

    Example:
        >>> name_movers = Receivers("q", heads=["9.9", "9.6", "10.0"], positions=["END"])
        >>> name_movers.by_layer
        {9: [9, 6], 10: [0]}
        >>> print(name_movers, Receivers("mlp_in", layers=[3, 1]), Receivers(), sep="; ")
        q of 9.9 9.6 10.0 at END; mlp_in of 3 1; logits
    """

    site: str = "logits"
    heads: Sequence[Any] = ()
    layers: Sequence[int] = ()
    positions: Sequence[Position] | None = None

    def __post_init__(self) -> None:
        if self.site not in _RECEIVERS:
            raise ValueError(
                f"unknown receiver {self.site!r}; expected one of {', '.join(_RECEIVERS)}"
            )
        object.__setattr__(self, "heads", tuple(as_heads(self.heads)))
        require_positions(self.positions)
        if self.layers != ():
            require_indices("layers", self.layers)
        takes = {"logits": None}.get(self.site, "heads" if self.site in QKV else "layers")
        for name, given in (("heads", self.heads), ("layers", self.layers)):
            if bool(given) != (takes == name):
                need = f"needs {name}" if takes == name else f"takes no {name}"
                raise ValueError(f"receiver {self.site!r} {need}; got {list(given)}")

    @property
    def by_layer(self) -> dict[int, list[int]]:
        """Layer -> its receiving heads, in order; empty for sites without heads."""
        found: dict[int, list[int]] = {layer: [] for layer in sorted(self.layers)}
        for layer, head in sorted(self.heads, key=lambda pair: pair[0]):
            found.setdefault(layer, []).append(head)
        return found

    def require(self, model: HookedGPT2, task: Task) -> None:
        """Refuse receivers that the model or the task lacks.

        Args:
            model: the model
            task: the prompts, padded on the right

        Raises:
            ValueError: a layer, head, role or position does not exist
        """
        require_in_model(model, [*self.heads, *(MLP(layer) for layer in self.layers)])
        positions_mask(task, self.positions)

    def __str__(self) -> str:
        """Describe the receivers in one line, such as "q of 9.9 9.6 at END"."""
        parts = " ".join(map(str, self.heads or self.layers))
        where = "" if self.positions is None else f" at {' '.join(map(str, self.positions))}"
        return self.site + (f" of {parts}" if parts else "") + where
