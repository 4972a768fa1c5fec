"""The report of the IOI analysis: turns findings into one HTML page."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import xarray as xr

from analyses.common.left_out import heads_left_out
from analyses.common.verdicts import answered, both, is_above, opening
from analyses.common.wording import text
from analyses.ioi.findings import Findings
from analyses.ioi.labels import LABELS
from analyses.ioi.paper import against_the_paper
from analyses.ioi.parts import Chapter
from analyses.ioi.parts.setting import titled
from interp.circuits import Verdict, route
from interp.metrics import BEHAVIOR, METRICS
from interp.parts import Head, as_head
from interp.patching import contribution, heads_in_order, mean_over_prompts
from interp.plots import attention_scatter, circuit_svg, effect_heatmap
from interp.report import Download, Drawing, Figure, Report, Section, Table
from interp.results import versions
from interp.statistics import Estimate

BEHAVES, ALONE = "Does the model do the task?", "Does the circuit do the task alone?"
WRITERS = "Do heads write IO to the logits, rather than against S?"
"""The heading of the section on direct effects."""

DOWNLOADS = (
    Download("results.json", "Every figure of this page, with intervals."),
    Download("prompts.json", "The prompts, their partners, tokens and positions."),
    Download("reference.json", "The prompts whose ABC partners give the means, in the same form."),
    Download("circuit.json", "The circuit: head, class and position."),
    Download("parts/", "Every value of every prompt; `interp.execution.load` reads them."),
    Download("circuit.html", "The diagram as a page; point at a head for its evidence."),
    Download("circuit.svg", "The diagram as a vector drawing."),
    Download("circuit.mmd", "The diagram as Mermaid text."),
)


def write_report(
    findings: Findings, chapters: Mapping[str, Chapter] = MappingProxyType({})
) -> Report:
    """Write everything that the analysis found as a page.

    Args:
        findings: what the analysis measured
        chapters: what each part of the paper has to say

    Returns:
        The report.
    """
    f, task = findings, findings.task
    estimates, faithful = f.estimate("logit_diff"), f.faithfulness()
    n_heads = len({head.part for head in f.circuit.heads})
    n_all = f.direct.sizes["layer"] * f.direct.sizes["head"]
    lead = (
        f"On {len(task)} prompts {f.model.name} puts the indirect object {estimates.mean:.2f} "
        f"logits above the subject; it is the top token in {f.estimate('top1').mean:.1%} of them. "
        f"Does a circuit of {n_heads} of its {n_all} heads do the task alone? {f.verdict()}"
    )
    sections = [_behavior(f), _direct(f), _circuit(f), _faithfulness(f, faithful)]
    sections.append(heads_left_out(f.left_out, list(f.task.positions)))
    sections += [part.section for part in chapters.values()]
    if f.model.name == "gpt2":
        sections.append(against_the_paper(f, faithful, chapters))
    return Report(
        f"Indirect object identification in {f.model.name}",
        lead,
        sections,
        DOWNLOADS,
        {"model": f.model.name, "prompts": len(task), "seed": f.seed, **versions()},
    )


def _behavior(f: Findings) -> Section:
    rows = []
    for order in [None, *sorted(set(f.task.order))]:
        counted = len(f.task) if order is None else f.task.order.count(order)
        if counted < 2:
            continue
        rows.append(
            {
                "order": order or "all",
                "prompts": counted,
                "logit difference": f"{f.estimate('logit_diff', order):.2f}",
                "IO above S": f"{f.estimate('accuracy', order):.3f}",
                "IO on top": f"{f.estimate('top1', order):.3f}",
                "probability of IO": f"{f.estimate('probability', order):.3f}",
                "rank of IO": f"{f.estimate('rank', order):.2f}",
                "logit of IO": f"{f.estimate('answer_logit', order):.2f}",
                "logit of S": f"{f.estimate('foil_logit', order):.2f}",
            }
        )
    example = f.task.clean[0]
    answer, foil = (f.model.to_string(int(ids[0])) for ids in (f.task.answer, f.task.foil))
    top, diff = f.estimate("top1"), f.estimate("logit_diff")
    does = both(
        is_above(top, "IO is the top token in the fraction", 0.5, digits=3),
        is_above(diff, "the logit difference is", unit="logits"),
    )
    return Section(
        BEHAVES,
        f"{does}\n\n"
        "A prompt names two people and then one of them again; the other one, the indirect object "
        f"(IO), is the right continuation, the repeated subject (S) the wrong one. For example: "
        f"“{example} …” should go on with “{answer.strip()}”, not “{foil.strip()}”.",
        [
            Table(
                rows,
                "Means with 95 % intervals over prompts. Logit difference: IO minus S, "
                "in logits. IO above S, IO on top of all tokens: fractions of prompts. Rank: how "
                "many tokens are ranked above IO. Logits of IO and of S: each above the mean of "
                "the other names. In ABBA prompts IO comes first, in BABA prompts S does.",
            )
        ],
    )


def _direct(f: Findings) -> Section:
    adds = mean_over_prompts(contribution(f.direct))
    adds = titled(adds, "What each head's direct path adds to the logit difference")
    looks = f.attention.sel(query="END", key="IO", drop=True)
    heads, total = f.strongest(), f.estimate("logit_diff").mean
    rows = [
        {
            "head": h.label,
            "class": h.kind,
            "direct path adds": text(one, 2),
            "of the logit difference": one.mean / total,
            "writes": float(f.attribution.sel(at).mean()),
            "of it for IO": float(f.writes_answer.sel(at).mean()),
            "for S": float(f.writes_foil.sel(at).mean()),
            "attention END to IO": float(looks.sel(at).mean()),
        }
        for h in heads
        for layer, head in [as_head(h.part)]
        for at in [{"layer": layer, "head": head}]
        for one in [Estimate(*(float(adds[end].sel(at)) for end in ("mean", "low", "high")))]
    ]
    return Section(
        WRITERS,
        opening(
            _for_or_against(f, adds),
            "Path patching from each head straight to the logits: the head's output is taken from "
            "the prompt's ABC partner (three fresh names), every other head's output is kept, and "
            "MLPs and layer norms are recomputed. What the logit difference loses is what the "
            "direct path adds. A head can add to the difference in two ways, by writing for IO or "
            "by writing against S; the table shows both, each above the mean of the other names.",
        ),
        [
            Figure(
                effect_heatmap(adds),
                "What the direct path of each head adds to the logit difference, in logits. Blue "
                "(positive): it helps, by writing for IO or against S. Red (negative): it hurts. "
                "White: no direct effect.",
            ),
            Figure(
                attention_scatter(looks, f.attribution, heads),
                "For the heads with the largest direct effects: attention from END to IO, against "
                "what the head's output adds to the logit difference (positive: it helps). Faint "
                "points are prompts. A head that helps without looking at IO has the name from "
                "another token, or writes against S.",
            ),
            Table(
                rows,
                f"The {len(heads)} heads with the largest direct effects, in logits; positive "
                "helps in every column but “for S”, where negative helps. “Direct path adds” is "
                "what the difference loses if the path is patched from the ABC partner, with 95 % "
                "interval. “Writes” is the head's output at END projected on the direction of the "
                "logit difference, final layer norm applied (direct logit attribution), and the "
                "sum "
                "of what it writes for IO less what it writes for S. The two differ, because an "
                "output that is the same in both prompts is written but not lost, and because only "
                "patching counts what MLPs make of it.",
                {"of the logit difference": ".1%"},
            ),
        ],
    )


def _for_or_against(f: Findings, adds: xr.Dataset) -> Verdict:
    """Whether the heads whose direct path helps write for IO more than against S."""
    low = adds["low"]
    helping = [head for head in heads_in_order(-adds["mean"]) if float(_at(low, head)) > 0]
    if not helping:
        return answered("no", "no head has a direct path whose interval shows that it helps")
    io, s = f.written(helping)
    figures = (
        f"the {len(helping)} heads whose direct path helps together write {text(io, 2)} logits for "
        f"IO and {text(s, 2)} against S"
    )
    if io.low > s.high and io.low > 0:
        return answered("yes", figures)
    if s.low > io.high or io.high < 0:
        return answered("no", f"they mainly write against S: {figures}")
    return answered("cannot be told", f"both are of one size: {figures}")


def _at(values: xr.DataArray, head: Head) -> xr.DataArray:
    return values.sel(layer=head.layer, head=head.head)


_ARROWS = {
    True: "The connections drawn are links between its heads that were measured by path patching; "
    "the part “derivation” has the effect of each.",
    False: "The connections drawn are those that the paper found between these classes; for a "
    "model other than GPT-2 small they are inferred from the classes, not measured.",
}


def _circuit(f: Findings) -> Section:
    rows: list[dict[str, Any]] = [
        {
            "class": group.kind,
            "position": group.role,
            "heads": ", ".join(head.label for head in heads),
        }
        for group, heads in f.circuit.groups().items()
    ]
    movers = [head for head in f.circuit.heads_of("name mover") if head.role == "END"]
    looks = (
        f"The name movers look from END at IO with a mean attention of "
        f"{text(f.attention_of(movers, 'IO'), 2)} (the paper's: 0.59); where it is low, the name "
        "comes to them by way of another token."
        if movers
        else "It has no name movers at END."
    )
    return Section(
        "Does a way lead through the circuit from IO to the logits?",
        opening(
            _way(f),
            f"Source: {f.circuit.source or 'given by the caller'}. A head of the circuit keeps its "
            f"output at the position where it stands. {_ARROWS[bool(f.circuit.links)]} {looks} "
            "Heads of class “other” have an effect, but do what no class of the paper does.",
        ),
        [
            Drawing(
                circuit_svg(f.circuit, effects=f.contribution()),
                "Columns are token positions, from the tokens (bottom) to the logits (top). A box "
                "is a class of heads; the label of an arrow is the input that reads: q, k or v. "
                "The sign on the way to the logits is that of what the class adds. A head's shade "
                "is "
                "what its direct path adds: blue helps, red hurts.",
            ),
            Table(rows, "The heads of the circuit by class and position."),
        ],
    )


def _way(f: Findings) -> Verdict:
    """Whether measured links bring the token IO to the logits by values."""
    if not f.circuit.links:
        return answered("cannot be told", "the links between its heads were not measured")
    way = route(f.circuit.links, "IO")
    if way:
        return answered("yes", f"its links bring IO there by {' → '.join(map(str, way[1:-1]))}")
    return answered(
        "no",
        "none of its measured links bring the token IO to the logits by values, so what it knows "
        "of IO comes from what is left of the model around it, or from a token without a role",
    )


def _faithfulness(f: Findings, faithful: dict[str, Estimate]) -> Section:
    rows = [
        {
            "measure": LABELS[metric],
            "whole model, F(M)": text(both["F_M"]),
            "circuit alone, F(C)": text(both["F_C"]),
            "unit": METRICS[metric],
        }
        for metric in BEHAVIOR
        for both in [f.faithfulness(metric)]
    ]
    reference = f.task.reference or f.task
    return Section(
        ALONE,
        f"{f.verdict()} It keeps {text(faithful['ratio'])} of the logit difference.\n\n"
        "Every head output outside the circuit is set, at every position, to its mean over the ABC "
        f"partners of {len(reference)} other prompts of the same template and order, in "
        f"{len(set(reference.group))} groups; a head of the circuit keeps its output at its "
        "position alone. MLPs, layer norms and embeddings are left alone.",
        [
            Table(
                rows,
                "Means with 95 % intervals over prompts; those of the circuit include the noise of "
                "the reference sample.",
            )
        ],
    )
