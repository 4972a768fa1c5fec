"""The sites: every activation of a layer that can be read, replaced, or used as an entry point.

This table has, for each site, its hook point, its units, what a run that enters there needs from
the base run, and whether it matters at positions other than END in the last layer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from interp.model import HookedGPT2
from interp.parts import Head, Neuron, Node

Key = tuple[str, int]
"""Site and layer of an activation."""


@dataclass(frozen=True)
class Site:
    """An activation of every layer.

    Args:
        hook: name of its hook point within the layer
        unit: "head" or "neuron" if the activation is made of them, else ""
        needs: what a run that enters here needs from the base run in this layer, besides the keys
            and values of all later layers
        everywhere: whether it matters at every position of the last layer; otherwise it matters
            there only at END, since nothing else is read
    """

    hook: str
    unit: str = ""
    needs: tuple[str, ...] = ()
    everywhere: bool = False

    @property
    def dims(self) -> tuple[str, ...]:
        """The parts that it can be swept over, except the sources of patterns."""
        return ("layer", self.unit, "position") if self.unit else ("layer", "position")


_QKV = ("q", "k", "v", "resid_pre")

SITES: Mapping[str, Site] = MappingProxyType(
    {
        "resid_pre": Site("hook_resid_pre", needs=_QKV, everywhere=True),
        "q": Site("attn.hook_q", "head", needs=_QKV),
        "k": Site("attn.hook_k", "head", needs=_QKV, everywhere=True),
        "v": Site("attn.hook_v", "head", needs=_QKV, everywhere=True),
        "pattern": Site("attn.hook_pattern", "head", needs=("resid_pre", "v")),
        "z": Site("attn.hook_z", "head", needs=("resid_pre",)),
        "attn_out": Site("hook_attn_out", needs=("resid_pre",)),
        "resid_mid": Site("hook_resid_mid"),
        "mlp_in": Site("hook_mlp_in", needs=("resid_mid",)),
        "mlp_post": Site("mlp.hook_post", "neuron", needs=("resid_mid",)),
        "mlp_out": Site("hook_mlp_out", needs=("resid_mid",)),
        "resid_post": Site("hook_resid_post"),
    }
)
"""The sites, in the order in which a layer computes them."""

ORDER: Mapping[str, int] = MappingProxyType({site: i for i, site in enumerate(SITES)})
"""The order of each site within its layer."""


def hook_name(site: str, layer: int) -> str:
    """The full name of a site's hook point; "embed" is in no layer."""
    return "hook_embed" if site == "embed" else f"blocks.{layer}.{SITES[site].hook}"


def in_computed_order(key: Key) -> tuple[int, int]:
    """A sort key for the order in which a forward pass computes activations."""
    return key[1], ORDER[key[0]]


def site_of(node: Node) -> Key:
    """The site at which a part is ablated: z for heads, mlp_post for neurons, mlp_out for MLPs."""
    part = node.part
    if isinstance(part, Head):
        return "z", part.layer
    return ("mlp_post" if isinstance(part, Neuron) else "mlp_out"), node.layer


def n_units(model: HookedGPT2, site: str) -> int:
    """Number of heads or neurons of a layer at a site; 1 if it has neither."""
    return {"head": model.config.n_heads, "neuron": model.config.d_mlp, "": 1}[SITES[site].unit]
