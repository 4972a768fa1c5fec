"""Name movers (section 3.1): heads that copy the name they look at, or write against it.

Direct effects and attention are in the setting; this part adds what each head at END writes for the
name it looks at (attention against projection, over IO and S), and whether its OV circuit copies
names. Our copy score differs in that each head's own layer norm is applied; the authors' code
applies that of block 1 to all heads.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from analyses.common.shell import bar
from analyses.ioi.parts.setting import (
    Chapter,
    Measured,
    PaperPart,
    Results,
    Setting,
    labels,
    missing,
    pick,
    verdicts,
)
from interp.heads import attention_projection, copy_scores, correlation
from interp.plots import head_heatmap
from interp.report import Figure, Section, Table
from interp.statistics import Estimate, interval

HEADING = "Name movers copy the name they look at (3.1)"


def collect(setting: Setting) -> Results:
    """Measure attention, projection and copying of all heads.

    Args:
        setting: what the part works on

    Returns:
        `projection`: `attention` and `projection` at IO and S2; `copy`: `copy` and `anti_copy`.
    """
    model, task = setting.model, setting.task
    looks = attention_projection(model, task, roles=["IO", "S1"], progress=bar("projection"))
    return {
        "projection": looks,
        "copy": copy_scores(model, task, roles=["IO", "S1", "S2"], progress=bar("copying")),
    }


def write(setting: Setting, found: Results) -> Chapter:
    """Write the chapter.

    Args:
        setting: what the part worked on
        found: the result of `collect`

    Returns:
        The section and the figures.
    """
    movers = setting.heads("name mover", position="END")
    negatives = setting.heads("negative name mover", position="END")
    if not movers and not negatives:
        return missing(HEADING, "name movers at END")
    r = correlation(found["projection"])
    copies = {name: found["copy"][name].mean("role") for name in ("copy", "anti_copy")}
    figures = []
    for key, name, heads, what in (
        ("copy", "copy", movers, "name movers"),
        ("anti_copy", "anti_copy", negatives, "negative name movers"),
    ):
        title = "Copy score" if name == "copy" else "Copy score with the output negated"
        if heads:
            own = pick(copies[name], heads).mean("node")
            figures.append(Measured.mean(f"{key}_movers", f"{title}, {what}", own, "fraction"))
        every = copies[name].mean(["layer", "head"])
        figures.append(Measured.mean(f"{key}_average", f"{title}, average head", every, "fraction"))
    if movers:
        to_io = setting.attention.sel(query="END", key="IO")
        figures.append(
            Measured.mean(
                "attention_io",
                "Mean attention of the name movers, END to IO",
                pick(to_io, movers).mean("node"),
                "probability",
            )
        )
        figures.append(_correlation(found["projection"], movers))
    rows = [
        {
            "head": labels([(i, h)]),
            "class": kind,
            "correlation": float(r.sel(layer=i, head=h)),
            "copies": float(copies["copy"].sel(layer=i, head=h).mean()),
            "copies, negated": float(copies["anti_copy"].sel(layer=i, head=h).mean()),
        }
        for heads, kind in ((movers, "name mover"), (negatives, "negative name mover"))
        for i, h in heads
    ]
    section = Section(
        HEADING,
        f"{setting.about()}\n\nAttention from END to a name is correlated with what the head "
        "writes for that name (in logits above the mean token's), over prompts and the names IO "
        "and S1. Copy score: if the head attended to one name alone, would the name be among its "
        "five highest logits? Over prompts and IO, S1 and S2.",
        [
            Figure(
                head_heatmap(r),
                "Correlation of attention with projection. Blue: the head writes for what it looks "
                "at. Red: it writes against it.",
            ),
            Table(
                rows, "Heads that write to the logits.", {"copies": ".0%", "copies, negated": ".0%"}
            ),
            *verdicts(setting, figures, ()),
        ],
    )
    return Chapter(section, figures)


def _correlation(looks: xr.Dataset, movers: Sequence[tuple[int, int]]) -> Measured:
    """The lowest correlation among name movers, with that head's interval (Fisher's z)."""
    r = correlation(looks)
    values = [float(r.sel(layer=i, head=h)) for i, h in movers]
    i, h = movers[int(np.argmin(values))]
    one = looks.sel(layer=i, head=h)
    samples = [one[name].sel(role=role) for name in looks for role in looks["role"].values]

    def statistic(*each: np.ndarray) -> np.ndarray:  # each prompt contributes one point per role
        x, y = (np.concatenate(half, -1).ravel() for half in (each[:n_roles], each[n_roles:]))
        return np.array([np.arctanh(np.clip(np.corrcoef(x, y)[0, 1], -0.9999999, 0.9999999))])

    n_roles = looks.sizes["role"]
    ends = (float(np.tanh(end)) for end in interval(statistic, *samples))
    label = f"Lowest correlation of attention with projection ({labels([(i, h)])})"
    return Measured("correlation", label, Estimate(*ends), "r")


PART = PaperPart("name-movers", 1, collect, write)
