"""Duplicate-token, induction and previous-token heads (section 3.3): how the repeat is noticed.

Path patching from every head into the values and keys of the S-inhibition heads at S2 (appendix C),
and into the keys of the induction heads at S1+1 (appendix D); and where heads of these classes
look.
"""

from analyses.common.shell import bar
from analyses.ioi.parts.setting import (
    Chapter,
    Claim,
    Measured,
    PaperPart,
    Results,
    Setting,
    labels,
    missing,
    pick,
    titled,
    verdicts,
)
from interp.patching import Receivers, effect, heads_in_order, mean_effect, path_patch
from interp.plots import effect_heatmap
from interp.report import Figure, Item, Section

HEADING = "Duplicate-token, induction and previous-token heads (3.3)"
_LOOKS = (
    ("duplicate token", "S2", "S1"),
    ("induction", "S2", "S1+1"),
    ("previous token", "S1+1", "S1"),
)
_PATHS = (  # result, receivers, role, the paper's heads, how many of ours, how many must agree
    ("values", "S-inhibition values", "S2", ((0, 1), (3, 0), (5, 5), (6, 9)), 7, 3),
    ("inhibition_keys", "S-inhibition keys", "S2", ((0, 10), (5, 8), (5, 9)), 6, 2),
    ("keys", "induction keys", "S1+1", ((2, 2), (4, 11)), 4, 2),
)


def collect(setting: Setting) -> Results:
    """Patch the paths from all heads into S-inhibition values and keys, and into induction keys.

    Args:
        setting: what the part works on

    Returns:
        `values`, `inhibition_keys`, `keys`: results of `path_patch`, each only if the circuit has
            the receivers.
    """
    model, task = setting.model, setting.task
    found = {}
    inhibition = setting.heads("S-inhibition")
    for name, letter in (("values", "v"), ("inhibition_keys", "k")) if inhibition else ():
        into = Receivers(letter, heads=inhibition, positions=["S2"])
        about = bar(f"S-inhibition {letter}")
        found[name] = path_patch(model, task, into, progress=about)
    induction = setting.heads("induction", position="S2")
    if induction:
        into = Receivers("k", heads=induction, positions=["S1+1"])
        found["keys"] = path_patch(model, task, into, progress=bar("induction keys"))
    return found


def write(setting: Setting, found: Results) -> Chapter:
    """Write the chapter.

    Args:
        setting: what the part worked on
        found: the result of `collect`

    Returns:
        The section, the figures and the claims.
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
    for name, receivers, role, wanted, n, least in _PATHS:
        if name in found:
            strongest = heads_in_order(effect(found[name]))[:n]
            claims.append(
                Claim(
                    f"Heads whose paths into the {receivers} matter most",
                    labels(wanted),
                    labels(strongest),
                    f"{least} of the {len(wanted)} among our {n}",
                    len(set(wanted) & set(strongest)) >= least,
                )
            )
            items.append(
                Figure(
                    effect_heatmap(titled(mean_effect(found[name]), f"Into the {receivers}")),
                    f"From each head into the {receivers} at {role}.",
                )
            )
    section = Section(
        HEADING,
        f"{setting.about()}\n\nAs before, by path patching with ABC partners: which heads tell the "
        "S-inhibition heads, by way of their values or keys at S2, that the name there is a "
        "duplicate, and which tell the induction heads, by way of their keys at S1+1, that S1 "
        "stands before. Red: the logit difference falls, in logits.",
        [*items, *verdicts(setting, figures, claims)],
    )
    return Chapter(section, figures, claims)


PART = PaperPart("early-heads", 2, collect, write)
