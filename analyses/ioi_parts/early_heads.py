"""Duplicate-token, induction and previous-token heads (section 3.3): how S2 knows that it is one.

Path patching from every head into the S-inhibition heads' values at S2, and into the induction
heads' keys at S1+1; and where the heads of these classes look.
"""

from analyses.ioi_parts.setting import (
    Claim,
    Found,
    Measured,
    Part,
    Setting,
    Told,
    labels,
    missing,
    order,
    pick,
    titled,
    verdicts,
)
from analyses.shell import bar
from interp.patching import Receivers, effect, mean_effect, path_patch
from interp.plots import effect_heatmap
from interp.report import Figure, Item, Section

HEADING = "Duplicate-token, induction and previous-token heads (3.3)"
_LOOKS = (
    ("duplicate token", "S2", "S1"),
    ("induction", "S2", "S1+1"),
    ("previous token", "S1+1", "S1"),
)


def measure(setting: Setting) -> Found:
    """Paths from all heads into S-inhibition values and induction keys.

    Args:
        setting: what to work on.

    Returns:
        `values` and `keys`: of `path_patch`; each only if the circuit has its receivers.
    """
    model, task = setting.model, setting.task
    found = {}
    inhibition = setting.heads("S-inhibition")
    if inhibition:
        into = Receivers("v", heads=inhibition, positions=["S2"])
        found["values"] = path_patch(model, task, into, progress=bar("S-inhibition values"))
    induction = setting.heads("induction", position="S2")
    if induction:
        into = Receivers("k", heads=induction, positions=["S1+1"])
        found["keys"] = path_patch(model, task, into, progress=bar("induction keys"))
    return found


def tell(setting: Setting, found: Found) -> Told:
    """What they say.

    Args:
        setting: what they were measured on.
        found: of `measure`.

    Returns:
        Section, figures and claims.
    """
    if not found:
        return missing(HEADING, "S-inhibition heads, and no induction heads at S2")
    items: list[Item] = []
    figures, claims = [], []
    for kind, query, key in _LOOKS:
        heads = setting.heads(kind, position=query)
        if heads:
            looks = pick(setting.attention.sel(query=query, key=key), heads).mean("node")
            label = f"Mean attention of {kind} heads, {query} to {key}"
            figures.append(Measured.mean(f"attention_{kind}", label, looks, "probability"))
    if "values" in found:
        strongest = order(effect(found["values"]))[:7]
        wanted = {(0, 1), (3, 0), (5, 5), (6, 9)}
        claims.append(
            Claim(
                "Heads whose paths into the S-inhibition values matter most",
                "0.1 3.0 5.5 6.9",
                labels(strongest),
                "three of the four among our seven",
                len(wanted & set(strongest)) >= 3,
            )
        )
        items.append(
            Figure(
                effect_heatmap(
                    titled(mean_effect(found["values"]), "Into the S-inhibition values")
                ),
                "From each head into the values of the S-inhibition heads at S2.",
            )
        )
    if "keys" in found:
        strongest = order(effect(found["keys"]))[:4]
        claims.append(
            Claim(
                "Heads whose paths into the induction keys matter most",
                "2.2 4.11",
                labels(strongest),
                "both among our four",
                {(2, 2), (4, 11)} <= set(strongest),
            )
        )
        items.append(
            Figure(
                effect_heatmap(titled(mean_effect(found["keys"]), "Into the induction keys")),
                "From each head into the keys of the induction heads at S1+1.",
            )
        )
    section = Section(
        HEADING,
        f"{setting.about()}\n\nAs before, by path patching with ABC partners: which heads tell the "
        "S-inhibition heads, by way of their values at S2, that the name there is a duplicate, and "
        "which tell the induction heads, by way of their keys at S1+1, that S1 stands before. Red: "
        "the logit difference falls, in logits.",
        [*items, *verdicts(setting, figures, claims)],
    )
    return Told(section, figures, claims)


PART = Part("early-heads", 1, measure, tell)
