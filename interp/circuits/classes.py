"""Classes of heads on tasks other than IOI, from where they look and what they write.

    at FIRST+1, looks at FIRST most                    previous token
    at END, looks at FIRST+1 most                      induction
    at END, direct effect of at least `smallest`       mover (the answer loses without it), or
                                                       negative mover (it gains)
    else                                               other

"Looks at most" means: more than at any other role, and with at least `min_attention` on average.
The roles FIRST and FIRST+1 are those of `interp.tasks.induction`.

Source: Olsson et al. 2022 (arXiv 2209.11895), for induction; Wang et al. 2022 (arXiv 2211.00593),
section 3.1, for the sign of a direct effect.
"""

from collections.abc import Sequence

import xarray as xr

from interp.circuits.circuit import Circuit, CircuitHead
from interp.patching import Keep

_BY_ATTENTION = {("FIRST+1", "FIRST"): "previous token", ("END", "FIRST+1"): "induction"}


def classify_roles(
    keep: Sequence[Keep],
    direct: xr.DataArray,
    attention: xr.DataArray,
    *,
    smallest: float,
    min_attention: float = 0.2,
    source: str = "",
) -> Circuit:
    """A circuit of the given head outputs, each classed by its attention and its direct effect.

    Args:
        keep: (layer, head, role) of each head.
        direct: direct effects on the metric, dims layer, head, prompt.
        attention: of `attention_between`: dims layer, head, query, key, prompt, as a probability.
        smallest: smallest direct effect that makes a mover, in the unit of `direct`, above 0.
        min_attention: smallest mean attention that decides a class, as a probability.
        source: how the heads were found, for whoever reads the circuit.

    Returns:
        The circuit; a head at several positions is there once for each.

    Raises:
        ValueError: `smallest` is not above 0.
    """
    if not smallest > 0:
        raise ValueError(f"smallest must be above 0, in the unit of the effects; got {smallest}")
    straight, looks = direct.mean("prompt"), attention.mean("prompt")
    heads = []
    for layer, head, role in keep:
        here = looks.sel(layer=layer, head=head, query=role)
        most = str(here["key"].values[int(here.values.argmax())])
        effect = float(straight.sel(layer=layer, head=head))
        if float(here.max()) >= min_attention and (role, most) in _BY_ATTENTION:
            kind = _BY_ATTENTION[role, most]
        elif role == "END" and abs(effect) >= smallest:
            kind = "mover" if effect < 0 else "negative mover"
        else:
            kind = "other"
        heads.append(CircuitHead(layer, head, kind, role))
    return Circuit(direct.attrs["model"], tuple(heads), source)
