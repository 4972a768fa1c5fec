"""The report of the analysis of a task, and the files of its circuits."""

from collections.abc import Mapping
from math import isfinite

import xarray as xr

from analyses.common.left_out import heads_left_out
from analyses.common.study import Study
from analyses.common.tables import derivation_tables, effects_table
from analyses.common.verdicts import answered, any_effect, is_above
from analyses.common.wording import text
from interp.circuits import Circuit, Derivation, Verdict, left_out, route
from interp.circuits.coverage import uncovered
from interp.metrics import METRICS
from interp.parts import EVERYWHERE, Input
from interp.patching import contribution
from interp.plots import (
    circuit_dot,
    circuit_graphml,
    circuit_html,
    circuit_mermaid,
    circuit_svg,
    effect_heatmap,
    effect_ranking,
    example_of,
    shared_limit,
)
from interp.report import Download, Drawing, Figure, Section, Table
from interp.statistics import estimate_mean
from interp.tasks import balanced

EXPLAINED = 60
"""Largest number of prompts on which heads outside the circuit are explained."""

KEPT = 0.8
"""Fraction of the metric from which a circuit is said to do the task."""

READINGS = ("logit_diff", "probability_diff", "accuracy")
"""Task -> the description of its behavior."""

_ABOUT = {
    "greater-than": "A span starts in a year of some century; the year in which it ends must be a "
    "later one. Answers are all later years of the century, foils the others. The partner starts "
    "in the year 01, after which nearly all years are right.",
    "induction": "Some random words are repeated, and the answer is what followed before. In the "
    "partner, the answer and the foil have changed places.",
    "pronoun": "A sentence about one person continues with the pronoun that English text uses with "
    "the name. The partner has a name of the other gender. The literature has no established list "
    "of heads for this task.",
    "agreement": "The verb agrees with the subject, not with the noun in between. Answers are the "
    "verbs of the subject\u2019s number, foils those of the other. In the partner the subject has "
    "the other number. The literature has no established list of heads for this task.",
    "acronym": "Three capitalized words are followed by a bracket with their initials except the "
    "last. The partner has three other words with their initials.",
}
_OWN = "The prompts, answers and foils are those of a file or a table of one\u2019s own."
"""The description of any other prompts."""


def sections(
    study: Study,
    sides: Mapping[str, xr.Dataset],
    circuits: Mapping[str, Circuit],
    evidence: Derivation,
) -> list[Section]:
    """Make the sections of the page.

    Args:
        study: the study, with direct effects, ablation and the faithfulness of each circuit
        sides: metrics of the clean and the corrupted prompts
        circuits: origin -> circuit
        evidence: evidence for the heads and links of the circuit found here

    Returns:
        The sections: behavior, direct effects, each circuit, faithfulness, and the heads that
        matter and are not in the circuit found here.
    """
    drawn = [_circuit(study, label, circuit, evidence) for label, circuit in circuits.items()]
    some = balanced(study.task, EXPLAINED)
    left = left_out(study.model, some, circuits["found here"], metric=study.metric)
    return [
        _behavior(study, sides),
        _direct(study),
        *drawn,
        _faithfulness(study, circuits),
        heads_left_out(left, list(study.task.positions)),
    ]


def _behavior(study: Study, sides: Mapping[str, xr.Dataset]) -> Section:
    rows = [
        {"run": side, **{f"{m} ({METRICS[str(m)]})": text(estimate_mean(found[m])) for m in found}}
        for side, found in sides.items()
    ]
    example = (
        f"For example: \u201c{study.task.clean[0]} \u2026\u201d, with the partner "
        f"\u201c{study.task.corrupted[0]} \u2026\u201d."
    )
    right = estimate_mean(sides["clean"]["accuracy"])
    does = is_above(right, "the answer is above the foil in the fraction", 0.5, digits=3)
    return Section(
        "Does the model do the task?",
        f"{does}\n\n{_ABOUT.get(study.about, _OWN)} {example}",
        [
            Table(
                rows,
                "Means over prompts with 95 % intervals; answers and foils are those of the clean "
                "prompt. For sets, the logit is the mean over tokens and the probability the sum.",
            )
        ],
    )


def _direct(study: Study) -> Section:
    effects, ablated = (study.estimates[key] for key in ("direct effects", "ablation"))
    limit = shared_limit(effects, ablated)
    return Section(
        "Do heads act straight on the logits?",
        f"{any_effect(effects)}\n\n"
        "Path patching from each head straight to the logits: the head's output is taken from the "
        "partner, every other head's from the clean run, and MLPs are recomputed. A negative "
        f"effect means that {study.metric} falls without the head's word: the head helps, by "
        "writing for the answer or against the foil. The ablations below have the same sign.",
        [
            Figure(
                effect_heatmap(effects, limit=limit),
                f"Change of {study.metric} with the direct path of each head patched. Blue "
                "(negative): the head helps. Red (positive): it hurts.",
            ),
            Figure(
                effect_heatmap(ablated, limit=limit),
                f"Change of {study.metric} with the whole head at its group mean, at every "
                "position, with the same colors for the same sizes.",
            ),
            effects_table(effects),
            Figure(
                effect_ranking({"direct": effects, "ablated": ablated}),
                "The direct effects, and the effect of ablating the whole head (with its group "
                "mean, at every position), which includes indirect effects.",
            ),
        ],
    )


def _circuit(study: Study, label: str, circuit: Circuit, evidence: Derivation) -> Section:
    everywhere = any(head.role == EVERYWHERE for head in circuit.heads)
    roles = [str(link.sender.role) for link in circuit.links if isinstance(link.sender.part, Input)]
    ways = [way for role in dict.fromkeys(roles) if (way := route(circuit.links, role))]
    if not circuit.links:
        leads = answered("cannot be told", "the links between its heads were not measured")
    elif ways:
        way = min(ways, key=lambda nodes: len(nodes))
        leads = answered("yes", f"one is {' → '.join(map(str, way))}")
    else:
        leads = answered("no", "its measured links bring no token to the logits by values")
    if everywhere:
        arrows = (
            "Each head is in the circuit at every position, shown in a column of its own; no token "
            "is its own, so there are no links between tokens to measure."
        )
        tables = derivation_tables(evidence)
    elif circuit.links:
        arrows = "Arrows are the links that path patching found between these heads."
        tables = derivation_tables(evidence)
    else:
        arrows = "Arrows are drawn where the literature has them for these classes and positions."
        rows = [
            {
                "class": group.kind,
                "position": group.role,
                "heads": ", ".join(node.label for node in nodes),
            }
            for group, nodes in circuit.groups().items()
        ]
        tables = [Table(rows, "The circuit by class and position.")]
    return Section(
        f"Does a way lead from a token to the logits through the circuit {label}?",
        f"{leads}\n\n"
        f"Source: {circuit.source}. "
        + ("" if everywhere else "A head keeps its output at the position where it stands. ")
        + arrows,
        [
            Drawing(
                circuit_svg(
                    circuit, effects=_contribution(study), example=_sentence(study, circuit)
                ),
                "Columns are token positions of the first prompt, from the tokens (bottom) to the "
                f"logits (top). {_file(label)}.html shows the evidence for each head. A "
                "head's shade is what its direct path adds: blue helps, red hurts.",
            ),
            *tables,
        ],
    )


def _faithfulness(study: Study, circuits: Mapping[str, Circuit]) -> Section:
    keys = {
        "F_M": "whole model, F(M)",
        "F_C": "circuit alone, F(C)",
        "ratio": "F(C) / F(M)",
        "ratio at roles": "the same, ablated at the roles alone",
    }
    rows = [
        {"circuit": label}
        | {about: f"{study.figures[f'{key}, {label}']:.3f}" for key, about in keys.items()}
        for label in circuits
    ]
    return Section(
        "Does the circuit do the task alone?",
        f"{_keeps(study)}\n\n"
        "Every head output outside the circuit is set to its mean over the partners of the same "
        "sentence. MLPs, layer norms and embeddings are left alone, including MLPs that a "
        "published circuit leaves out. Heads are pruned by the logit difference. If the last "
        "column is far above the one before, the model also uses positions that have no role in "
        f"the task; if both are low, pruning found no circuit. {_coverage(study)}",
        [Table(rows, f"Mean {study.metric} with 95 % intervals over prompts.")],
    )


def _keeps(study: Study) -> Verdict:
    """Whether the circuit found here keeps most of the metric."""
    kept, roles = (study.figures[f"{key}, found here"] for key in ("ratio", "ratio at roles"))
    said = is_above(kept, f"of {study.metric} the circuit found here keeps the fraction", KEPT)
    return answered(
        said.answer,
        f"of {study.metric} the circuit found here keeps {text(kept, 2)} (a fraction; {KEPT:g} is "
        f"asked for), and {text(roles, 2)} with heads ablated at the task's roles alone",
    )


def _coverage(study: Study) -> str:
    """What heads at the task's roles can do at most."""
    share = study.figures["share at roles"]
    found = (
        f"All heads at the roles ({', '.join(study.task.positions)}) together keep "
        f"{text(share, 2)} of the whole model\u2019s, which no circuit of heads at roles can "
        "exceed by much."
    )
    if not isfinite(share.mean):
        found = "The whole model\u2019s mean is not positive, so there is nothing to keep."
    complaint = uncovered(study.task, share)
    return f"{found} {complaint[0].upper()}{complaint[1:]}." if complaint else found


def downloads(circuits: Mapping[str, Circuit]) -> list[Download]:
    """What `write_circuits` writes."""
    about = {
        "html": "the diagram as a page; point at a head for its evidence",
        "svg": "the diagram as a drawing",
        "json": "heads, classes, positions",
        "mmd": "Mermaid text",
        "dot": "DOT text, for Graphviz",
        "graphml": "GraphML, for graph tools",
    }
    return [
        Download(f"{_file(label)}.{suffix}", f"The circuit {label}: {what}.")
        for label in circuits
        for suffix, what in about.items()
    ]


def write_circuits(
    study: Study,
    circuits: Mapping[str, Circuit],
    attention: xr.DataArray,
    patterns: xr.DataArray,
) -> None:
    """Write each circuit as JSON, drawings and graphs into the study's folder.

    Args:
        study: the study, with a folder, direct effects and ablation
        circuits: origin -> circuit
        attention: attention between roles, as `attention_between` returns it
        patterns: attention patterns of the first prompt
    """
    if study.folder is None:
        return
    effects = _contribution(study)
    looks = attention.sel(query="END").mean("prompt")
    scores: dict[str, xr.Dataset | xr.DataArray] = {
        "direct path adds": contribution(study.estimates["direct effects"]["mean"]),
        "change if it is ablated": study.estimates["ablation"],
        **{f"attention END to {key}": looks.sel(key=key, drop=True) for key in looks["key"].values},
    }
    for label, circuit in circuits.items():
        example = _sentence(study, circuit)
        texts = {
            "html": circuit_html(
                circuit, effects=effects, example=example, scores=scores, attention=patterns
            ),
            "svg": circuit_svg(circuit, effects=effects, example=example),
            "json": circuit.to_json(),
            "mmd": circuit_mermaid(circuit),
            "dot": circuit_dot(circuit),
            "graphml": circuit_graphml(circuit),
        }
        for suffix, one in texts.items():
            (study.folder / f"{_file(label)}.{suffix}").write_text(one, encoding="utf-8")


def _file(label: str) -> str:
    return {"found here": "circuit"}.get(label, f"{label}_circuit")


def _contribution(study: Study) -> xr.DataArray:
    """What each head's direct path adds to the metric: minus the direct effect."""
    mean = contribution(study.estimates["direct effects"]["mean"])
    unit = METRICS[study.metric]
    return mean.assign_attrs(title=f"Direct contribution to {study.metric}", unit=unit)


def _sentence(study: Study, circuit: Circuit) -> tuple[tuple[str, str], ...]:
    """The first prompt with its roles, after a place for heads at every position."""
    everywhere = any(head.role == EVERYWHERE for head in circuit.heads)
    return (
        *((("every token", EVERYWHERE),) if everywhere else ()),
        *example_of(study.model, study.task),
    )
