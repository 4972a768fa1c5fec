"""Attribution patching: how well does a gradient estimate what patching does?

Every activation is patched exactly, and its effect is estimated from two forward passes and one
backward pass. Points off the diagonal are effects that the estimate gets wrong. Queries and keys
are estimated twice, along the gradient and with the softmax computed (the first fix of AtP*); sizes
from GradDrop (the second fix) are compared with the mean size of the exact effects.

    interp attribution-patching --model mini --n 50 --out out/attribution_patching

Source: Nanda 2023, "Attribution Patching: Activation Patching At Industrial Scale"; Kramar et al.
2024 (arXiv 2403.00745).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

import interp
from analyses.common.choices import DIRECTIONS, among, words
from analyses.common.shell import (
    Corruption,
    Device,
    Model,
    N,
    Out,
    PromptsFile,
    Seed,
    bar,
    show,
    start,
)
from analyses.common.study import Study, begin
from analyses.common.tables import behavior
from interp.report import Figure, Item, Report, Section, Table

SITES = {
    "resid_pre": "The residual stream by layer and role",
    "attn_out": "Attention outputs by layer and role",
    "mlp_out": "MLP outputs by layer and role",
    "z": "Heads",
    "q": "Queries",
    "k": "Keys",
    "v": "Values",
}
WITH_GRADIENTS = ("logit_diff", "probability", "probability_diff", "kl_divergence")


def run(
    model: str | Path | interp.HookedGPT2 = "mini",
    *,
    n: int = 50,
    seed: int = 0,
    out: str | Path | None = None,
    sites: Sequence[str] | None = None,
    direction: str = "denoising",
    metric: str = "logit_diff",
    corruption: str = "flip",
    prompts: str | Path | None = None,
    device: str | None = None,
) -> Report:
    """Run the analysis.

    Args:
        model: a name or directory for `interp.load`, or a loaded model
        n: number of prompts, at least 2
        seed: seed of the prompts
        out: folder for report.html, results.json, results.csv and prompts.csv; None writes nothing
        sites: activations among `SITES`; None for all
        direction: "denoising" or "noising"
        metric: a name from `WITH_GRADIENTS`, the metrics that have gradients
        corruption: how the partner of a prompt differs from it: "flip", "abc" or "random", see
            `interp.tasks.ioi`
        prompts: a JSON file of templates, names and nouns; None for interp's own
        device: where to run; None for where the model is

    Returns:
        The report.

    Raises:
        ValueError: a site, the direction, the metric or the corruption is unknown, there are fewer
            than 2 prompts, or as for `begin`
        OSError: `out` cannot be written to
    """
    chosen = list(SITES if sites is None else sites)
    among("site", chosen, SITES)
    among("direction", [direction], DIRECTIONS)
    among("metric with a gradient", [metric], WITH_GRADIENTS)
    study = begin(
        model, n, seed, metric, out, corruption=corruption, prompts=prompts, device=device,
        direction=direction, sites=", ".join(chosen),
    )  # fmt: skip
    found: list[dict[str, Any]] = []
    sections = [_compare(study, site, direction, found) for site in chosen]
    summary = Section(
        "How well the estimates agree",
        "Mean effects over prompts, estimate against exact, cell by cell. Rank correlation is "
        "Spearman's. Relative error: mean |estimate \N{MINUS SIGN} exact| over mean |exact|; 0 is "
        "perfect, 1 is as bad as estimating that nothing has any effect. GradDrop estimates sizes, "
        "and is compared with the mean absolute effects.",
        [
            behavior(study),
            Table(found, f"{direction.capitalize()}, {metric}.", {"relative error": ".1%"}),
        ],
    )
    plain = [row for row in found if row["estimate"] == "gradient"]
    best = max(plain, key=lambda row: row["rank correlation"])
    worst = min(plain, key=lambda row: row["rank correlation"])
    lead = (
        f"On {n} prompts of IOI in {study.model.name}, the gradient ranks effects best at "
        f"{best['site']} (rank correlation with exact patching {best['rank correlation']:.2f}) and "
        f"worst at {worst['site']} ({worst['rank correlation']:.2f})."
    )
    return study.report(f"Attribution patching in {study.model.name}", lead, [summary, *sections])


def _compare(study: Study, site: str, direction: Any, found: list[dict[str, Any]]) -> Section:
    """Estimates and exact effects of one site; adds a row to `found` for each estimate."""
    model, task, metric = study.model, study.task, study.metric
    over = ("layer", "head") if site in ("z", "q", "k", "v") else ("layer", "role")
    selection = interp.patching.Selection(over=over)
    exact = interp.patching.patch(
        model, task, site, selection, direction=direction, metrics=metric,
        progress=bar(f"{site}, exact"),
    )  # fmt: skip
    truth = study.keep(f"{site}, exact", exact)
    estimates: dict[str, interp.patching.attribution.Fix] = {"gradient": "grad_drop"}
    if site in ("q", "k"):
        estimates["softmax computed"] = "qk"
    items: list[Item] = []
    for name, fix in estimates.items():
        estimated = interp.patching.attribution_patch(
            model, task, site, selection, direction=direction, metric=metric, fixes=[fix],
            progress=bar(f"{site}, {name}"),
        )  # fmt: skip
        guess = study.keep(f"{site}, {name}", estimated)
        agrees = interp.patching.agreement(estimated, exact, metric)
        found.append(_row(site, name, agrees))
        if fix == "grad_drop":
            sizes = interp.patching.agreement(estimated, exact, metric, by="grad_drop")
            found.append(_row(site, "GradDrop, sizes", sizes))
        items += [
            Figure(
                interp.plots.agreement_scatter(guess["mean"], truth["mean"]),
                f"Estimate ({name}) against exact effect. On the dashed line the two are equal.",
            ),
            Table(agrees.worst, f"The worst misses ({name}), in {agrees.unit}."),
        ]
    return Section(SITES[site], "", items)


def _row(site: str, estimate: str, agrees: interp.patching.comparison.Agreement) -> dict[str, Any]:
    """One line of the summary."""
    return {
        "site": site,
        "estimate": estimate,
        "cells": agrees.n_cells,
        "rank correlation": agrees.rank_correlation,
        "correlation": agrees.correlation,
        "relative error": agrees.relative_error,
    }


def main(
    model: Model = "mini",
    n: N = 50,
    seed: Seed = 0,
    out: Out = Path("out/attribution_patching"),
    site: Annotated[str | None, typer.Option(help=f"Some of {', '.join(SITES)}.")] = None,
    direction: Annotated[str, typer.Option(help=f"One of {', '.join(DIRECTIONS)}.")] = "denoising",
    metric: Annotated[
        str, typer.Option(help=f"One of {', '.join(WITH_GRADIENTS)}.")
    ] = "logit_diff",
    corruption: Corruption = "flip",
    prompts: PromptsFile = None,
    device: Device = None,
) -> None:
    """Attribution patching: gradient estimates against exact patching, with the fixes of AtP*."""
    report = run(
        model,
        n=n,
        seed=seed,
        out=out,
        sites=words(site, "site"),
        direction=direction,
        metric=metric,
        corruption=corruption,
        prompts=prompts,
        device=device,
    )
    show(report, out)


if __name__ == "__main__":
    start(main)
