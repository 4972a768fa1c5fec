"""A first circuit for any model: the heads whose outputs matter, with a class read off attention.

A head joins the circuit at a position if replacing its output there by that of the corrupted
prompt changes the logit difference by at least `threshold` of the model's own, or if its direct
path to the logits does. Its class follows from where it looks:

    END    direct effect above the threshold: name mover (the answer loses without it) or
           negative name mover (gains); otherwise S-inhibition if it looks at S2 or S1 most
    S2     duplicate token if it looks at S1 most, induction if at S1+1 most
    S1+1   previous token if it looks at S1 most
    else   other

"Looks at most" means: more than at any other role, and with at least `attention` on average.

Source: the classes and their attention are those of Wang et al. 2022 (arXiv 2211.00593), section 3.
"""

import xarray as xr

from interp.circuits.circuit import Circuit, CircuitHead

_CLASS_BY_ATTENTION = {
    ("END", "S2"): "S-inhibition",
    ("END", "S1"): "S-inhibition",
    ("S2", "S1"): "duplicate token",
    ("S2", "S1+1"): "induction",
    ("S1+1", "S1"): "previous token",
}


def threshold_circuit(
    effects: xr.DataArray,
    direct: xr.DataArray,
    attention: xr.DataArray,
    *,
    logit_diff: float,
    threshold: float = 0.02,
    min_attention: float = 0.2,
) -> Circuit:
    """The heads and positions whose effect passes a threshold, classed by their attention.

    Args:
        effects: of `head_effects`: dims layer, head, position, prompt, in logits.
        direct: of `direct_effect`: dims layer, head, prompt, in logits.
        attention: of `attention_between`: dims layer, head, query, key, prompt, as a probability.
        logit_diff: the model's mean logit difference, which the threshold is a fraction of.
        threshold: smallest effect of a head of the circuit, as a fraction of `logit_diff`.
        min_attention: smallest mean attention that decides a class, as a probability.

    Returns:
        The circuit; a head that matters at several positions is there once for each.

    Raises:
        ValueError: for a threshold that is not positive.
    """
    if threshold <= 0:
        raise ValueError(f"threshold must be a positive fraction, got {threshold}")
    smallest = threshold * abs(logit_diff)
    total, straight = effects.mean("prompt"), direct.mean("prompt")
    looks = attention.mean("prompt")
    heads = []
    for layer in total["layer"].values.tolist():
        for head in total["head"].values.tolist():
            direct_here = float(straight.sel(layer=layer, head=head))
            for position in total["position"].values.tolist():
                effect = float(total.sel(layer=layer, head=head, position=position))
                moves = position == "END" and abs(direct_here) >= smallest
                if abs(effect) < smallest and not moves:
                    continue
                if moves:
                    kind = "name mover" if direct_here < 0 else "negative name mover"
                else:
                    here = looks.sel(layer=layer, head=head, query=position)
                    kind = _class_of(position, here, min_attention)
                heads.append(CircuitHead(layer, head, kind, position))
    return Circuit(effects.attrs["model"], tuple(heads), f"heads above {threshold:.0%} of F(M)")


def _class_of(position: str, attention: xr.DataArray, min_attention: float) -> str:
    target = str(attention["key"][int(attention.values.argmax())].item())
    if float(attention.max()) < min_attention:
        return "other"
    return _CLASS_BY_ATTENTION.get((position, target), "other")
