"""Backup name movers (section 3.4): which heads write the answer without the name movers?

The name movers' outputs at END are set to their group means, and direct effects are measured again.
Where the backups look is measured in the whole model, as in appendix F, which distinguishes four
kinds.
"""

from collections.abc import Mapping, Sequence

import xarray as xr

from analyses.common.shell import bar
from analyses.common.verdicts import answered, side_of
from analyses.common.wording import text
from analyses.ioi.parts.setting import (
    Chapter,
    Claim,
    Measured,
    PaperPart,
    Results,
    Setting,
    added,
    labels,
    missing,
    pick,
    titled,
    verdicts,
)
from interp.circuits import Verdict
from interp.patching import (
    Ablation,
    contribution,
    effect,
    heads_in_order,
    mean_over_prompts,
    measure,
    path_patch,
)
from interp.plots import effect_heatmap, effect_ranking, shared_limit
from interp.report import Figure, Section, Table
from interp.statistics import Estimate, estimate_mean, estimate_ratio

HEADING = "Do other heads step in for the name movers? (3.4)"
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
            label = (
                f"Direct effect of the {kind}s together, {name} the knock-out (negative: they help)"
            )
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
    title = "What direct paths add to the logit difference"
    before = titled(mean_over_prompts(contribution(setting.direct)), title)
    without = added(found["direct"], f"{title}, without the name movers")
    limit = shared_limit(before, without)
    gained = mean_over_prompts(contribution(change.assign_attrs(setting.direct.attrs)))
    section = Section(
        HEADING,
        f"{_step_in(kept, gained, movers)}\n\n"
        f"{setting.about()}\n\nThe outputs at END of the name movers ({labels(movers)}) are set to "
        "their means, and paths to the logits are patched again. Heads that add to the logit "
        "difference only then are backups.",
        [
            Figure(
                effect_heatmap(before, limit=limit),
                "In the whole model, in logits. Blue (positive) helps, red (negative) hurts.",
            ),
            Figure(
                effect_heatmap(without, limit=limit),
                "Without the name movers, with the same colors for the same sizes.",
            ),
            Figure(
                effect_ranking({"whole model": before, "without name movers": without}, n=12),
                "The strongest of both, with 95 % intervals; to the right of zero the head helps.",
            ),
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


def _step_in(kept: Estimate, gained: xr.Dataset, movers: Sequence[tuple[int, int]]) -> Verdict:
    """Whether heads other than the name movers add more once these are gone."""
    low = gained["low"]
    more = [h for h in heads_in_order(-gained["mean"]) if h not in movers and _at(low, h) > 0]
    figures = f"without the name movers the model keeps {text(kept, 2)} of the logit difference"
    if not more:
        return answered("no", f"no head adds more then, by its interval, and {figures}")
    by = sum(_at(gained["mean"], h) for h in more)
    figures = (
        f"{len(more)} heads add more then, most of all {labels(more[:3])}, together {by:.2f} "
        f"logits; {figures}"
    )
    enough = len(more) > low.size / 20 and side_of(kept) == "yes"
    return answered("yes" if enough else "cannot be told", figures)


def _at(values: xr.DataArray, head: tuple[int, int]) -> float:
    return float(values.sel(layer=head[0], head=head[1]))


PART = PaperPart("backups", 1, collect, write)
