"""S-inhibition heads (section 3.2): heads that keep the name movers from looking at S.

Path patching from every head into the name movers' queries at END, and then the effect of the
S-inhibition heads' paths on the name movers' attention.
"""

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
    Receivers,
    effect,
    heads_in_order,
    mean_effect,
    path_attention,
    path_patch,
)
from interp.plots import effect_heatmap
from interp.report import Figure, Section, Table
from interp.statistics import estimate_mean

HEADING = "S-inhibition heads steer the name movers' queries (3.2)"
_NAMES = ("IO", "S1", "S2")


def collect(setting: Setting) -> Results:
    """Patch the paths from all heads into the name movers' queries, and measure the attention.

    Args:
        setting: what the part works on

    Returns:
        `queries`: the result of `path_patch`; `attention`: the result of `path_attention`, if there
            are S-inhibition heads. Empty without name movers.
    """
    model, task = setting.model, setting.task
    movers = setting.heads("name mover", position="END")
    senders = setting.heads("S-inhibition", position="END")
    if not movers:
        return {}
    into = Receivers("q", heads=movers, positions=["END"])
    found = {"queries": path_patch(model, task, into, progress=bar("name movers' queries"))}
    if senders:
        found["attention"] = path_attention(model, task, senders, movers, keys=_NAMES)
    return found


def write(setting: Setting, found: Results) -> Chapter:
    """Write the chapter.

    Args:
        setting: what the part worked on
        found: the result of `collect`

    Returns:
        The section, the figures and the claims.
    """
    if "queries" not in found:
        return missing(HEADING, "name movers at END")
    change = effect(found["queries"])
    lowest = heads_in_order(change)[:4]
    senders = setting.heads("S-inhibition", position="END")
    figures, items = [], []
    if senders:
        to_s2 = setting.attention.sel(query="END", key="S2")
        label = "Mean attention of the S-inhibition heads, END to S2"
        own = pick(to_s2, senders).mean("node")
        figures.append(Measured.mean("attention_s2", label, own, "probability"))
        looks = found["attention"].mean("head")
        rows = []
        for role in _NAMES:
            before, after = (looks[side].sel(key=role) for side in ("clean", "patched"))
            rows.append(
                {
                    "from END to": role,
                    "clean": text(estimate_mean(before)),
                    "S-inhibition paths patched": text(estimate_mean(after)),
                }
            )
            label = f"Change of the name movers' attention to {role} without S-inhibition"
            figures.append(
                Measured.mean(f"attention_change_{role}", label, after - before, "probability")
            )
        items.append(
            Table(rows, "Mean attention of the name movers, a probability, with intervals.")
        )
    claims = [
        Claim(
            "Heads whose paths into the name movers' queries matter most",
            "7.3 7.9 8.6 8.10",
            labels(sorted(lowest)),
            "the same heads",
            set(lowest) == {(7, 3), (7, 9), (8, 6), (8, 10)},
        )
    ]
    section = Section(
        HEADING,
        f"{setting.about()}\n\nThe output of one head at END is taken from the ABC partner on its "
        "direct way (residual stream and MLPs) into the queries of the name movers "
        f"({labels(setting.heads('name mover', position='END'))}) at END. Red: the logit "
        "difference falls, so the head tells the name movers where to look.",
        [
            Figure(
                effect_heatmap(
                    titled(mean_effect(found["queries"]), "Into the name movers' queries")
                ),
                "Change of the logit difference, in logits, for each sending head.",
            ),
            *items,
            *verdicts(setting, figures, claims),
        ],
    )
    return Chapter(section, figures, claims)


PART = PaperPart("s-inhibition", 1, collect, write)
