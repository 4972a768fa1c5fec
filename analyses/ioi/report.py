"""The report of the IOI analysis: turns findings into one HTML page."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from analyses.common.wording import text
from analyses.ioi.findings import Findings
from analyses.ioi.labels import LABELS
from analyses.ioi.paper import against_the_paper
from analyses.ioi.parts import Chapter
from interp.circuits import route
from interp.metrics import BEHAVIOR, METRICS
from interp.parts import as_head
from interp.patching import mean_over_prompts
from interp.plots import attention_scatter, circuit_svg, effect_heatmap
from interp.report import Download, Drawing, Figure, Report, Section, Table
from interp.results import versions
from interp.statistics import Estimate

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
    return Section(
        "Behavior",
        f"A prompt names two people and then one of them again; the other one, the indirect object "
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
    direct = mean_over_prompts(f.direct)
    looks = f.attention.sel(query="END", key="IO", drop=True)
    heads, total = f.strongest(), f.estimate("logit_diff").mean
    rows = [
        {
            "head": h.label,
            "class": h.kind,
            "direct effect": text(one, 2),
            "of the logit difference": one.mean / total,
            "attention END to IO": float(looks.sel(at).mean()),
            "attribution": float(f.attribution.sel(at).mean()),
        }
        for h in heads
        for layer, head in [as_head(h.part)]
        for at in [{"layer": layer, "head": head}]
        for one in [Estimate(*(float(direct[end].sel(at)) for end in ("mean", "low", "high")))]
    ]
    return Section(
        "Which heads write the answer",
        "Path patching from each head straight to the logits: the head's output is taken from the "
        "prompt's ABC partner (three fresh names), every other head's output is kept, and MLPs "
        "and layer norms are recomputed. A negative effect means that the logit difference falls, "
        "so the head writes the answer; a positive effect means that the head writes against it.",
        [
            Figure(
                effect_heatmap(direct),
                "Change of the logit difference, in logits, for each head. Red: the head writes "
                "the answer. Blue: it writes against it. White: no direct effect.",
            ),
            Figure(
                attention_scatter(looks, f.attribution, heads),
                "For the heads with the largest direct effects: attention from END to IO, against "
                "what the head's output adds to the logit difference. Faint points are prompts.",
            ),
            Table(
                rows,
                f"The {len(heads)} heads with the largest direct effects, with 95 % "
                "intervals, in logits. Attribution: the head's output at END projected on the "
                "direction of the logit difference, final layer norm applied, in logits.",
                {"of the logit difference": ".1%"},
            ),
        ],
    )


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
    looks = f"{f.attention_of(movers, 'IO'):.2f}" if movers else "undefined: it has none"
    return Section(
        "The circuit",
        f"Source: {f.circuit.source or 'given by the caller'}. A head of the circuit keeps its "
        f"output at the position where it stands. {_ARROWS[bool(f.circuit.links)]} Mean attention "
        "of the name movers from END to IO: "
        f"{looks} (the paper's: 0.59); where it is low, the name comes to them by way of another "
        "token. Heads of class “other” have an effect, but do what no class of the paper does.",
        [
            Drawing(
                circuit_svg(f.circuit, effects=f.contribution()),
                "Columns are token positions, from the tokens (bottom) to the logits (top). A box "
                "is a class of heads; the label of an arrow is the input that reads: q, k or v. "
                "The sign on the way to the logits is that of the class.",
            ),
            Table(rows, "The heads of the circuit by class and position."),
        ],
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
    way = route(f.circuit.links, "IO")
    brings = (
        f"Its links bring IO to the logits by way of {' → '.join(map(str, way[1:-1]))}."
        if way
        else "None of its measured links bring the token IO to the logits by values, so what it "
        "knows of IO comes from what is left of the model around it, or from a token without a "
        "role."
    )
    reference = f.task.reference or f.task
    return Section(
        "Does the circuit do the task alone?",
        f"{f.verdict()} It keeps {text(faithful['ratio'])} of the logit difference. "
        f"{brings if f.circuit.links else ''}\n\n"
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
