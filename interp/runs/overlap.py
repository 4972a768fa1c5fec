"""Find what an ablation and the caller both replace, so that the result can state it.

`interp.runs.edits` has the rule of precedence.
"""

import torch

from interp.parts import MLP, Head, Neuron, Part, part_order
from interp.runs.ablation import PreparedAblation
from interp.runs.cells import Cells
from interp.runs.places import Places


def also_ablated(ablation: PreparedAblation | None, cells: Cells, places: Places) -> str:
    """The parts that an ablation and a sweep both replace at the same place.

    Args:
        ablation: what is knocked out, if anything
        cells: what the sweep replaces
        places: where

    Returns:
        The heads, MLPs and neurons, such as "9.6 m3"; "" for none.
    """
    if ablation is None:
        return ""
    found: set[Part] = set()
    where = places.where.any(0)  # slot prompt pos
    for (site, layer), members in cells.members.items():
        units = members.any(0)  # unit slot
        asked = torch.einsum("us,sbp->bpu", units.float(), where.float()) > 0  # prompt pos unit
        for key, mask in ablation.masks.items():
            if key[1] != layer or _PART_OF.get(site) != _PART_OF[key[0]]:
                continue
            whole = asked if asked.shape[-1] == mask.shape[-1] else asked.any(-1, keepdim=True)
            for unit in (whole & mask).flatten(0, 1).any(0).nonzero()[:, 0].tolist():
                found.add(_part(key[0], layer, unit))
    return " ".join(map(str, sorted(found, key=part_order)))


_PART_OF = {
    **dict.fromkeys(("q", "k", "v", "pattern", "z", "attn_out"), "head"),
    **dict.fromkeys(("mlp_in", "mlp_post", "mlp_out"), "MLP"),
}
"""Sites that are activations of the same part."""


def _part(site: str, layer: int, unit: int) -> Part:
    if site == "z":
        return Head(layer, unit)
    return MLP(layer) if site == "mlp_out" else Neuron(layer, unit)
