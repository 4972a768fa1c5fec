"""The report of the analysis of a task, and the files of its circuits."""

from collections.abc import Mapping

import xarray as xr

from analyses.common.study import Study
from analyses.common.tables import derivation_tables, effects_table
from analyses.common.wording import text
from interp.circuits import Circuit, Derivation
from interp.metrics import METRICS
from interp.plots import (
    circuit_dot,
    circuit_graphml,
    circuit_html,
    circuit_mermaid,
    circuit_svg,
    effect_heatmap,
    effect_ranking,
    example_of,
)
from interp.report import Download, Drawing, Figure, Section, Table
from interp.statistics import estimate_mean

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


def sections(
    study: Study,
    name: str,
    sides: Mapping[str, xr.Dataset],
    circuits: Mapping[str, Circuit],
    evidence: Derivation,
) -> list[Section]:
    """Make the sections of the page.

    Args:
        study: the study, with direct effects, ablation and the faithfulness of each circuit
        name: name of the task in the command
        sides: metrics of the clean and the corrupted prompts
        circuits: origin -> circuit
        evidence: evidence for the heads and links of the circuit found here

    Returns:
        The sections: behavior, direct effects, each circuit, faithfulness.
    """
    drawn = [_circuit(study, label, circuit, evidence) for label, circuit in circuits.items()]
    return [
        _behavior(study, name, sides),
        _direct(study),
        *drawn,
        _faithfulness(study, circuits),
    ]


def _behavior(study: Study, name: str, sides: Mapping[str, xr.Dataset]) -> Section:
    rows = [
        {"run": side, **{f"{m} ({METRICS[str(m)]})": text(estimate_mean(found[m])) for m in found}}
        for side, found in sides.items()
    ]
    example = (
        f"For example: \u201c{study.task.clean[0]} \u2026\u201d, with the partner "
        f"\u201c{study.task.corrupted[0]} \u2026\u201d."
    )
    return Section(
        "Behavior",
        f"{_ABOUT[name]} {example}",
        [
            Table(
                rows,
                "Means over prompts with 95 % intervals; answers and foils are those of the clean "
                "prompt. For sets, the logit is the mean over tokens and the probability the sum.",
            )
        ],
    )


def _direct(study: Study) -> Section:
    effects = study.estimates["direct effects"]
    return Section(
        "Which heads write the answer",
        "Path patching from each head straight to the logits: the head's output is taken from the "
        "partner, every other head's from the clean run, and MLPs are recomputed. A negative "
        f"effect means that {study.metric} falls, so the head writes the answer.",
        [
            Figure(
                effect_heatmap(effects),
                f"Change of {study.metric} for each head. Red: the head writes the answer. Blue: "
                "it writes against it.",
            ),
            effects_table(effects),
            Figure(
                effect_ranking({"direct": effects, "ablated": study.estimates["ablation"]}),
                "The direct effects, and the effect of ablating the whole head (with its group "
                "mean, at every position), which includes indirect effects.",
            ),
        ],
    )


def _circuit(study: Study, label: str, circuit: Circuit, evidence: Derivation) -> Section:
    if circuit.links:
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
        f"The circuit {label}",
        f"Source: {circuit.source}. A head keeps its output at the position where it stands. "
        f"{arrows}",
        [
            Drawing(
                circuit_svg(circuit, effects=_contribution(study), example=_sentence(study)),
                "Columns are token positions of the first prompt, from the tokens (bottom) to the "
                f"logits (top). {_file(label)}.html shows the evidence for each head.",
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
        "Every head output outside the circuit is set to its mean over the partners of the same "
        "sentence. MLPs, layer norms and embeddings are left alone, including MLPs that a "
        "published circuit leaves out. Heads are pruned by the logit difference. If the last "
        "column is far above the one before, the model also uses positions that have no role in "
        "the task; if both are low, pruning found no circuit.",
        [Table(rows, f"Mean {study.metric} with 95 % intervals over prompts.")],
    )


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
    effects, example = _contribution(study), _sentence(study)
    looks = attention.sel(query="END").mean("prompt")
    scores: dict[str, xr.Dataset | xr.DataArray] = {
        "direct effect": study.estimates["direct effects"],
        "effect of ablating it": study.estimates["ablation"],
        **{f"attention END to {key}": looks.sel(key=key, drop=True) for key in looks["key"].values},
    }
    for label, circuit in circuits.items():
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
    mean = -study.estimates["direct effects"]["mean"]
    unit = METRICS[study.metric]
    return mean.assign_attrs(title=f"Direct contribution to {study.metric}", unit=unit)


def _sentence(study: Study) -> tuple[tuple[str, str], ...]:
    return tuple(example_of(study.model, study.task))
