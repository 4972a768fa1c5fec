"""Minimality (section 4.2): what every node adds when others are knocked out.

For the paper's circuit, the sets K are the paper's; for any other, the same rule applies, with name
movers in the order of their direct effects.
"""

import numpy as np

from analyses.common.shell import bar
from analyses.common.verdicts import answered, not_measured
from analyses.common.wording import text
from analyses.ioi.labels import LABELS
from analyses.ioi.parts.setting import (
    Chapter,
    Measured,
    PaperPart,
    Results,
    Setting,
    titled,
    verdicts,
)
from interp.circuits import Member, faithfulness, gap, minimality, minimality_sets
from interp.circuits.published import IOI_EXCEPTIONS, IOI_IMPORTANCE
from interp.metrics import BEHAVIOR
from interp.patching import contribution, mean_over_prompts
from interp.plots import effect_ranking
from interp.report import Figure, Section, Table
from interp.statistics import estimate_mean, estimate_ratio

HEADING = "Does every node of the circuit add something? Minimality (4.2)"


_LEAST = 0.01
"""Fraction of F(M) that a node should change, as in the paper."""


def collect(setting: Setting) -> Results:
    """Measure every node's contribution with its K knocked out.

    Args:
        setting: what the part works on

    Returns:
        `nodes`: the result of `minimality` by the metrics of `interp.metrics.BEHAVIOR`; `whole`:
            the result of `faithfulness`. Empty for an empty circuit.
    """
    model, task, circuit = setting.model, setting.task, setting.circuit
    if not circuit.heads:
        return {}
    return {
        "nodes": minimality(
            model, task, circuit, sets_of(setting), metrics=BEHAVIOR, progress=bar("minimality")
        ),
        "whole": faithfulness(model, task, circuit, metrics="logit_diff"),
    }


def sets_of(setting: Setting) -> dict[str, tuple[Member, ...]]:
    """The set K of every node.

    Args:
        setting: what the part works on

    Returns:
        Name of each node, such as "9.6@END" -> K.
    """
    circuit = setting.circuit
    if setting.papers:
        return minimality_sets(circuit, importance=IOI_IMPORTANCE, exceptions=IOI_EXCEPTIONS)
    direct = setting.direct.mean("prompt")
    movers = setting.heads("name mover", "backup name mover")
    strongest = sorted(movers, key=lambda h: float(direct.sel(layer=h.layer, head=h.head)))
    return minimality_sets(circuit, importance=strongest)


def write(setting: Setting, found: Results) -> Chapter:
    """Write the chapter.

    Args:
        setting: what the part worked on
        found: the result of `collect`

    Returns:
        The section and the figures.
    """
    if not found:
        return Chapter(Section(HEADING, str(not_measured("the circuit is empty"))))
    changes, full = gap(found["nodes"]), found["whole"].logit_diff.sel(run="full")
    others = {name: gap(found["nodes"], name) for name in BEHAVIOR[1:]}
    sets = sets_of(setting)
    kinds = {str(head): head.kind for head in setting.circuit.heads}
    rows, shares = [], {}
    for name in map(str, changes["node"].values):
        change = changes.sel(node=name, drop=True)
        sign = 1 if float(change.mean()) >= 0 else -1
        shares[name] = estimate_ratio(sign * change, full)
        rows.append(
            {
                "node": name,
                "class": kinds[name],
                "K": " ".join(h.label for h in sets[name]) or "\N{EN DASH}",
                "adds (logits)": text(estimate_mean(-change)),
                "of F(M)": shares[name].mean,
                **{
                    LABELS[metric]: -float(one.sel(node=name).mean())
                    for metric, one in others.items()
                },
            }
        )
    least = min(shares, key=lambda name: shares[name].mean)
    enough = float(np.mean([share.mean >= _LEAST for share in shares.values()]))
    figures = [
        Measured("minimality", f"Smallest change, over F(M) ({least})", shares[least], "fraction")
    ]
    if setting.papers:
        figures += [
            Measured.mean(
                f"minimality_{head.label}",
                f"Change of F(C without K) without {head.label}",
                changes.sel(node=str(head)),
                "logits",
            )
            for head in setting.circuit.heads
        ]
    adds = contribution(changes.assign_attrs(helps="negative"))
    ranked = titled(mean_over_prompts(adds), "What the node adds to F(C without K)")
    verdict = answered(
        "yes"
        if all(share.low >= _LEAST for share in shares.values())
        else "no"
        if any(share.high < _LEAST for share in shares.values())
        else "cannot be told",
        f"{enough:.0%} of the nodes change F by at least {_LEAST:.0%} of F(M), the paper's "
        f"criterion; the least is {least}, {text(shares[least])}",
    )
    section = Section(
        HEADING,
        f"{verdict}\n\n{setting.about()}\n\nF(C without K) less F(C without K and the node), "
        "where K is chosen as the paper does.",
        [
            Figure(
                effect_ranking(ranked, n=40),
                "What each node adds, in logits, with intervals. Blue (right of zero): the circuit "
                "does better with it. Red: worse.",
            ),
            Table(
                rows,
                "Every node: what it adds to F, with its 95 % interval, and to every other "
                "measure, to the logits of IO and S apart.",
                {"of F(M)": ".1%"},
            ),
            *verdicts(setting, figures, ()),
        ],
    )
    return Chapter(section, figures)


PART = PaperPart("minimality", 3, collect, write)
