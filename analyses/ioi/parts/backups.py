"""Backup name movers (section 3.4): which heads write the answer without the name movers?

The name movers' outputs at END are set to their group means, and direct effects are measured again.
Where the backups look is measured in the whole model, as in appendix F, which distinguishes four
kinds.
"""

from collections.abc import Mapping, Sequence

import xarray as xr

from analyses.common.shell import bar
from analyses.common.wording import text
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
from interp.patching import (
    Ablation,
    effect,
    heads_in_order,
    mean_effect,
    mean_over_prompts,
    measure,
    path_patch,
)
from interp.plots import effect_heatmap, effect_ranking
from interp.report import Figure, Section, Table
from interp.statistics import estimate_mean, estimate_ratio

HEADING = "Backup name movers step in (3.4)"
_PAPERS = ((9, 0), (9, 7), (10, 1), (10, 2), (10, 6), (10, 10), (11, 2), (11, 9))
_LOOKS = {  # the name that they look at most -> the paper's backups
    "IO": ((9, 0), (10, 1), (10, 6), (10, 10)),
    "S1": ((11, 2),),
    "S2": ((9, 7),),
}


def collect(setting: Setting) -> Results:
    """Measure the model without its name movers.

    Args:
        setting: what the part works on

    Returns:
        `without`: `logit_diff` of the whole model (`clean`) and without name movers (`gone`);
            `direct`: the result of `path_patch` to the logits without them. Empty if there are no
            name movers.
    """
    movers = setting.heads("name mover", position="END")
    if not movers:
        return {}
    model, task = setting.model, setting.task
    gone = Ablation(movers, value="group mean", positions=["END"])
    runs = {
        "clean": measure(model, task).logit_diff,
        "gone": measure(model, task, ablation=gone).logit_diff,
    }
    direct = path_patch(model, task, ablation=gone, progress=bar("effects without name movers"))
    return {"without": xr.Dataset(runs), "direct": direct}


def write(setting: Setting, found: Results) -> Chapter:
    """Write the chapter.

    Args:
        setting: what the part worked on
        found: the result of `collect`

    Returns:
        The section, the figures and the claims.
    """
    if "direct" not in found:
        return missing(HEADING, "name movers at END")
    movers = setting.heads("name mover", position="END")
    after = effect(found["direct"])
    change = (after - setting.direct).transpose(*after.dims)
    others = [head for head in heads_in_order(change) if head not in movers][:10]
    kept = estimate_ratio(found["without"].gone, found["without"].clean)
    figures = [
        Measured(
            "without_name_movers",
            "Logit difference without name movers, over F(M)",
            kept,
            "fraction",
        )
    ]
    for key, kind in (("backups", "backup name mover"), ("negatives", "negative name mover")):
        heads = setting.heads(kind, position="END")
        for name, values in (("before", setting.direct), ("after", after)) if heads else ():
            label = f"Direct effect of the {kind}s together, {name} the knock-out"
            total = pick(values, heads).sum("node")
            figures.append(Measured.mean(f"{key}_{name}", label, total, "logits"))
    claims = [
        Claim(
            "Heads that gain most direct effect when the name movers are gone",
            labels(_PAPERS),
            labels(others),
            "five of the eight among our ten",
            len(set(others) & set(_PAPERS)) >= 5,
        )
    ]
    backups = setting.heads("backup name mover", position="END")
    looks = {role: setting.attention.sel(query="END", key=role) for role in _LOOKS}
    if setting.papers:
        claims += [_looks_at(looks, role, heads) for role, heads in _LOOKS.items()]
    both = {
        "whole model": titled(mean_over_prompts(setting.direct), "Paths to the logits"),
        "without name movers": mean_effect(found["direct"]),
    }
    section = Section(
        HEADING,
        f"{setting.about()}\n\nThe outputs at END of the name movers ({labels(movers)}) are set to "
        "their means, and paths to the logits are patched again. Heads that write the answer only "
        "then are backups. Red: the logit difference falls when the head's direct path is patched.",
        [
            Figure(
                effect_heatmap(titled(mean_effect(found["direct"]), "Paths to the logits")),
                "Direct effects without the name movers, in logits.",
            ),
            Figure(effect_ranking(both, n=12), "The strongest of both, with 95 % intervals."),
            *([_table(looks, backups)] if backups else []),
            *verdicts(setting, figures, claims),
        ],
    )
    return Chapter(section, figures, claims)


def _looks_at(
    looks: Mapping[str, xr.DataArray], role: str, heads: Sequence[tuple[int, int]]
) -> Claim:
    """Whether heads look at one name more than at the others (appendix F)."""
    most = []
    for head in heads:
        mean = {name: float(pick(values, [head]).mean()) for name, values in looks.items()}
        most.append(max(mean, key=lambda name: mean[name]))
    return Claim(
        f"The name that {labels(heads)} look at most from END",
        role,
        " ".join(most),
        f"all at {role}",
        set(most) == {role},
    )


def _table(looks: Mapping[str, xr.DataArray], heads: Sequence[tuple[int, int]]) -> Table:
    """Where each head looks from END."""
    rows = [
        {"head": labels([head])}
        | {name: text(estimate_mean(pick(values, [head])[0])) for name, values in looks.items()}
        for head in heads
    ]
    return Table(rows, "Mean attention of each backup from END to the names, a probability.")


PART = PaperPart("backups", 1, collect, write)
