"""Our figures for GPT-2 small next to those of Wang et al. 2022, with a verdict on each."""

from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd

from analyses.common.wording import text
from analyses.ioi.findings import Findings
from analyses.ioi.parts import Chapter
from interp.circuits import published_circuit
from interp.circuits.published import IOI_FIGURES
from interp.patching import heads_in_order
from interp.report import Section, Table
from interp.statistics import Estimate


def against_the_paper(
    f: Findings, faithful: dict[str, Estimate], chapters: Mapping[str, Chapter]
) -> Section:
    """Make the section of the page.

    Args:
        f: what was measured on GPT-2 small
        faithful: what `Findings.faithfulness` returned
        chapters: what each part of the paper has to say

    Returns:
        The section, with `paper_table`.
    """
    return Section(
        "Against the paper",
        "Figures of Wang et al. 2022 for GPT-2 small, and ours on these prompts, with 95 % "
        "intervals. The paper measured behavior on 100,000 prompts from its own templates, and "
        "the rest on fewer.",
        [
            Table(
                paper_table(f, faithful, chapters),
                "Tolerances are ours, since prompts and their number differ.",
            )
        ],
    )


def paper_table(
    f: Findings,
    faithful: dict[str, Estimate],
    chapters: Mapping[str, Chapter] = MappingProxyType({}),
) -> pd.DataFrame:
    """Put the paper's figures next to ours.

    Args:
        f: findings on GPT-2 small
        faithful: what `Findings.faithfulness` returned
        chapters: what each part of the paper has to say

    Returns:
        One row per figure: `figure`, `paper`, `ours` with its 95 % interval, `tolerance`, `agrees`.
        Faithfulness and the figures of parts are included only if the circuit is the paper's.
    """
    paper = published_circuit("ioi", "gpt2")
    ours = {
        "logit_diff": f.estimate("logit_diff"),
        "accuracy": f.estimate("accuracy"),
        "io_probability": f.estimate("probability"),
        "attention_io": f.attention_of(paper.heads_of("name mover"), "IO"),
        "attention_s2": f.attention_of(paper.heads_of("S-inhibition"), "S2"),
    }
    if f.circuit.members == paper.members:
        ours["faithfulness"] = faithful["ratio"]
        ours |= {m.key: m.estimate for part in chapters.values() for m in part.figures}
    rows = [
        {
            "figure": figure.label,
            "paper": f"{figure.value:g}",
            "ours": text(ours[figure.key]),
            "tolerance": f"{figure.low:.3g} to {figure.high:.3g} {figure.unit}",
            "agrees": figure.agrees(ours[figure.key].mean),
        }
        for figure in IOI_FIGURES
        if figure.key in ours
    ]
    ranked = [str(head) for head in heads_in_order(f.direct)]
    for label, expected, found in (
        ("Heads that lower the logit difference most when patched", "9.6 9.9 10.0", ranked[:3]),
        ("Heads that raise it most", "10.7 11.10", ranked[-2:]),
    ):
        rows.append(
            {
                "figure": label,
                "paper": expected,
                "ours": " ".join(found),
                "tolerance": "the same heads",
                "agrees": set(expected.split()) == set(found),
            }
        )
    if f.circuit.members == paper.members:
        rows += [
            {
                "figure": claim.label,
                "paper": claim.paper,
                "ours": claim.ours,
                "tolerance": claim.rule,
                "agrees": claim.agrees,
            }
            for part in chapters.values()
            for claim in part.claims
        ]
    return pd.DataFrame(rows)
