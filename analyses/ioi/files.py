"""The files of the IOI analysis: what was measured, and on which prompts."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any

import xarray as xr

from analyses.ioi.findings import Findings
from analyses.ioi.labels import LABELS
from analyses.ioi.paper import paper_table
from analyses.ioi.parts import Chapter
from interp.heads import attention_patterns
from interp.metrics import BEHAVIOR
from interp.patching import mean_over_prompts
from interp.plots import circuit_html, circuit_mermaid, circuit_svg, example_of
from interp.report import Report
from interp.results import versions
from interp.tasks import Task


def write(
    folder: Path,
    findings: Findings,
    report: Report,
    chapters: Mapping[str, Chapter] = MappingProxyType({}),
) -> None:
    """Write results.json, prompts.json, circuit.json, the diagram in three forms and the page.

    Args:
        folder: folder for the files
        findings: what the analysis measured
        report: the page
        chapters: what each part of the paper has to say
    """
    circuit, effects = findings.circuit, findings.contribution()
    looks = findings.attention.sel(query="END").mean("prompt", keep_attrs=True)
    scores: dict[str, xr.Dataset | xr.DataArray] = {
        "direct effect": mean_over_prompts(findings.direct),
        "attribution": mean_over_prompts(findings.attribution),
        **{f"attention END to {key}": looks.sel(key=key, drop=True) for key in looks["key"].values},
    }
    evidence = circuit_html(
        circuit,
        effects=effects,
        example=example_of(findings.model, findings.task),
        scores=scores,
        attention=attention_patterns(findings.model, findings.task.clean[0]),
    )
    texts = {
        "results.json": json.dumps(results(findings, chapters), indent=1, allow_nan=False) + "\n",
        "prompts.json": _json(prompts(findings.task)),
        "circuit.json": circuit.to_json(),
        "circuit.svg": circuit_svg(circuit, effects=effects),
        "circuit.html": evidence,
        "circuit.mmd": circuit_mermaid(circuit),
        "report.html": report.html(),
    }
    if findings.task.reference is not None:
        texts["reference.json"] = _json(prompts(findings.task.reference))
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def results(
    findings: Findings, chapters: Mapping[str, Chapter] = MappingProxyType({})
) -> dict[str, Any]:
    """Every figure of the analysis.

    Args:
        findings: what the analysis measured
        chapters: what each part of the paper has to say

    Returns:
        `model`, `n`, `seed`, `options` (the other arguments), `versions`, `candidates` (ids of
        all names that could be the answer); `behavior`: accuracy
        (fraction with IO above S) and every metric of `interp.metrics.BEHAVIOR`, each {mean, low,
        high}, and the same `by_order`; `behaviour`: three of them under the keys of version 0.1;
        `direct_effect` [layer][head] in logits; `circuit`: [{layer, head, class, position}];
        `faithfulness`: F_M, F_C (logits) and ratio, each {mean, low, high}, where a bound is null
        if the ratio has none (the interval of F_M contains zero), and for every metric F_M and F_C;
        `verdict`: whether the circuit does the task, {answer, text}; `parts`: for each part
        `figures`, key -> {label, unit, mean, low, high}; for gpt2 also `paper`, the table of
        published figures with a verdict on each.
    """
    f = findings
    behavior: dict[str, Any] = {name: asdict(f.estimate(name)) for name in LABELS}
    behavior["by_order"] = {
        order: {name: asdict(f.estimate(name, order)) for name in LABELS}
        for order in sorted(set(f.task.order))
        if f.task.order.count(order) > 1
    }
    faithful = f.faithfulness()
    alone: dict[str, Any] = {key: _finite(asdict(value)) for key, value in faithful.items()}
    for name in BEHAVIOR:
        alone[name] = {key: _finite(asdict(one)) for key, one in f.faithfulness(name).items()}
    found = {
        "model": f.model.name,
        "n": len(f.task),
        "seed": f.seed,
        "options": dict(f.options),
        "versions": versions(),
        "candidates": [] if f.task.candidates is None else f.task.candidates.tolist(),
        "behavior": behavior,
        "behaviour": _as_before(behavior),
        "direct_effect": f.direct.mean("prompt").values.astype(float).tolist(),
        "circuit": f.circuit.records(),
        "faithfulness": alone,
        "verdict": asdict(f.verdict()),
    }
    found["parts"] = {
        name: {
            "section": part.section.heading,
            "figures": {
                m.key: {"label": m.label, "unit": m.unit, **_finite(asdict(m.estimate))}
                for m in part.figures
            },
        }
        for name, part in chapters.items()
    }
    if f.model.name == "gpt2":
        found["paper"] = paper_table(f, faithful, chapters).to_dict("records")
    return found


def _as_before(behavior: dict[str, Any]) -> dict[str, Any]:
    """The behavior under the keys of version 0.1, which other code may read."""

    def of(found: Mapping[str, Any]) -> dict[str, Any]:
        names = {
            "logit_diff": "logit_diff",
            "accuracy": "accuracy",
            "io_probability": "probability",
        }
        return {old: found[new] for old, new in names.items()}

    orders = {order: of(found) for order, found in behavior["by_order"].items()}
    return {**of(behavior), "by_order": orders}


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _finite(estimate: dict[str, float]) -> dict[str, float | None]:
    """Replace infinity by None, since JSON has no infinity."""
    return {key: value if isfinite(value) else None for key, value in estimate.items()}


def prompts(task: Task) -> list[dict[str, Any]]:
    """The prompts, as one dictionary each.

    Args:
        task: the prompts

    Returns:
        `clean` and `abc` (texts without the answer), `clean_tokens` and `abc_tokens` (ids),
        `answer` and `foil` (ids), `template`, `order`, `positions` (role to index into the tokens,
        the same for both texts).
    """
    return [
        {
            "clean": task.clean[i],
            "abc": task.corrupted[i],
            "clean_tokens": task.clean_tokens[i][task.attention_mask[i]].tolist(),
            "abc_tokens": task.corrupted_tokens[i][task.attention_mask[i]].tolist(),
            "answer": int(task.answer[i]),
            "foil": int(task.foil[i]),
            "template": task.template[i],
            "order": task.order[i],
            "positions": {role: int(at[i]) for role, at in task.positions.items()},
        }
        for i in range(len(task))
    ]
