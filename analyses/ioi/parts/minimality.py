"""Minimality (section 4.2): what every node adds, others being gone.

For the paper's circuit its own sets K; for another one the same rule, name movers in the order of
their direct effects.
"""

import numpy as np

from analyses.common.shell import bar
from analyses.common.wording import text
from analyses.ioi.parts.setting import Found, Measured, Part, Setting, Told, titled, verdicts
from interp.circuits import CircuitHead, faithfulness, minimality, minimality_sets
from interp.patching import mean_over_prompts
from interp.plots import effect_ranking
from interp.report import Figure, Section, Table
from interp.statistics import bootstrap_mean, bootstrap_ratio

HEADING = "Minimality: what every node adds (4.2)"


def measure(setting: Setting) -> Found:
    """Every node with and without, its K being gone.

    Args:
        setting: what to work on.

    Returns:
        `nodes`: of `minimality`; `whole`: of `faithfulness`; nothing for an empty circuit.
    """
    model, task, circuit = setting.model, setting.task, setting.circuit
    if not circuit.heads:
        return {}
    return {
        "nodes": minimality(model, task, circuit, sets_of(setting), progress=bar("minimality")),
        "whole": faithfulness(model, task, circuit),
    }


def sets_of(setting: Setting) -> dict[str, tuple[CircuitHead, ...]]:
    """The set K of every node.

    Args:
        setting: with the circuit.

    Returns:
        "9.6 END", ... -> K.
    """
    if setting.papers:
        return minimality_sets(setting.circuit)
    direct = setting.direct.mean("prompt")

    def strongest_first(head: CircuitHead) -> float:
        return float(direct.sel(layer=head.layer, head=head.head))

    return minimality_sets(setting.circuit, importance=strongest_first, exceptions={})


def tell(setting: Setting, found: Found) -> Told:
    """What they say.

    Args:
        setting: what they were measured on.
        found: of `measure`.

    Returns:
        Section and figures.
    """
    if not found:
        return Told(Section(HEADING, "Not measured: the circuit is empty."))
    nodes, full = found["nodes"], found["whole"].full
    sets = sets_of(setting)
    kinds = {f"{h.label} {h.position}": h.kind for h in setting.circuit.heads}
    rows, shares = [], {}
    for name in map(str, nodes["node"].values):
        change = nodes.change.sel(node=name, drop=True)
        sign = 1 if float(change.mean()) >= 0 else -1
        shares[name] = bootstrap_ratio(sign * change, full)
        rows.append(
            {
                "node": name,
                "class": kinds[name],
                "K": " ".join(h.label for h in sets[name]) or "\N{EN DASH}",
                "change": text(bootstrap_mean(change)),
                "of F(M)": shares[name].mean,
            }
        )
    least = min(shares, key=lambda name: shares[name].mean)
    enough = float(np.mean([share.mean >= 0.01 for share in shares.values()]))
    figures = [
        Measured("minimality", f"Smallest change, over F(M) ({least})", shares[least], "fraction")
    ]
    if setting.papers:
        figures += [
            Measured.mean(
                f"minimality_{head.label}",
                f"Change of F(C without K) without {head.label}",
                nodes.change.sel(node=f"{head.label} {head.position}"),
                "logits",
            )
            for head in setting.circuit.heads
        ]
    ranked = titled(mean_over_prompts(nodes.change), "Change of F without the node")
    section = Section(
        HEADING,
        f"{setting.about()}\n\nF(C without K and the node) less F(C without K), where K is chosen "
        f"as the paper does. {enough:.0%} of the nodes change F by at least 1 % of F(M).",
        [
            Figure(
                effect_ranking(ranked, n=40),
                "Change of F, in logits, with intervals.",
            ),
            Table(rows, "Every node, with 95 % bootstrap intervals.", {"of F(M)": ".1%"}),
            *verdicts(setting, figures, ()),
        ],
    )
    return Told(section, figures)


PART = Part("minimality", 1, measure, tell)
