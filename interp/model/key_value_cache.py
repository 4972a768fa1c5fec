"""Keys and values of earlier tokens, kept so that a longer text costs only its new tokens."""

from jaxtyping import Float
from torch import Tensor, cat

from interp.model.config import GPT2Config

_Layers = dict[int, tuple[Tensor, Tensor]]


class KeyValueCache:
    """Keys and values of the tokens seen so far, by layer, each [batch pos head d_head].

    `model(tokens, past=cache)` appends those of `tokens`; hooks on k and v act on the new ones. A
    run that fails, or does not go through every layer, leaves the cache as it was.
    """

    def __init__(self) -> None:
        self._layers: _Layers = {}

    @property
    def length(self) -> int:
        """The number of tokens seen so far."""
        return next(iter(self._layers.values()))[0].shape[1] if self._layers else 0

    def require_fit(self, config: GPT2Config, batch: int) -> None:
        """Check that the cache belongs to a model of this shape and has this number of prompts.

        Args:
            config: the model's shape
            batch: number of prompts in the run

        Raises:
            ValueError: it does not
        """
        if not self._layers:
            return
        b, _, h, k = self._layers[0][0].shape
        if (len(self._layers), h, k) != (config.n_layers, config.n_heads, config.d_head):
            raise ValueError(
                f"`past` was filled by a model of {len(self._layers)} layers of {h} heads of width "
                f"{k}; this one has {config.n_layers} of {config.n_heads} of width "
                f"{config.d_head}. Start with an empty KeyValueCache"
            )
        if b != batch:
            raise ValueError(
                f"`past` holds {b} prompts and the input has {batch}; continue the same prompts, "
                "or start with an empty KeyValueCache"
            )

    def growing(self) -> "GrowingCache":
        """A copy for a run to append to; the cache itself changes only with `keep`."""
        return GrowingCache(self._layers)

    def keep(self, grown: "GrowingCache") -> None:
        """Take over what a run through every layer has appended."""
        self._layers = grown.new


class GrowingCache:
    """A cache while a run appends to it.

    Args:
        old: keys and values of earlier tokens, by layer; not changed
    """

    def __init__(self, old: _Layers) -> None:
        self._old = old
        self.new: _Layers = {}

    def append(
        self, layer: int, k: Float[Tensor, "b p h k"], v: Float[Tensor, "b p h k"]
    ) -> tuple[Float[Tensor, "b keys h k"], Float[Tensor, "b keys h k"]]:
        """Append the keys and values of new tokens; return all of them."""
        if layer in self._old:
            past_k, past_v = self._old[layer]
            k, v = cat([past_k, k], 1), cat([past_v, v], 1)
        self.new[layer] = (k, v)
        return k, v
