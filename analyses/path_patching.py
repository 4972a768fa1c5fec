"""Path patching: which heads write to the logits, and what do other heads tell those heads?

First, the paths from every head and every MLP straight to the logits are patched. Then the
strongest heads found there are the receivers: the paths from every earlier head to their queries,
keys and values are patched. All other heads write what they write in the base run.

    interp path-patching --model mini --n 100 --out out/path_patching
    interp path-patching --model gpt2 --receivers 9.9,9.6,10.0 --input q --positions END

Source: Wang et al. 2022 (arXiv 2211.00593), section 3.1 and 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

import interp
from analyses.common.choices import DIRECTIONS, INPUTS, among, heads_of, names, words
from analyses.common.shell import (
    Corruption,
    Device,
    Metric,
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
from analyses.common.tables import behavior, effects_table
from interp.report import Figure, Report, Section

MLPS = ("recomputed", "frozen")


def run(
    model: str | Path | interp.HookedGPT2 = "mini",
    *,
    n: int = 100,
    seed: int = 0,
    out: str | Path | None = None,
    receivers: Sequence[str] | None = None,
    inputs: Sequence[str] = ("q", "k", "v"),
    positions: Sequence[str] | None = None,
    top: int = 3,
    mlps: str = "recomputed",
    direction: str = "noising",
    metric: str = "logit_diff",
    corruption: str = "abc",
    prompts: str | Path | None = None,
    device: str | None = None,
) -> Report:
    """Run the analysis.

    Args:
        model: a name or directory for `interp.load`, or a loaded model
        n: number of prompts, at least 2
        seed: seed of the prompts
        out: folder for report.html, results.json, results.csv and prompts.csv; None writes nothing
        receivers: heads, such as "9.9"; None for the `top` heads with the largest effects on the
            logits
        inputs: inputs of the receivers, among `INPUTS`
        positions: roles at which they receive; None for END with queries and everywhere with keys
            and values
        top: number of receivers to choose from the data
        mlps: MLPs on the path from sender to receiver: "recomputed" (as in the paper) or "frozen"
        direction: "noising" (the paper) or "denoising"
        metric: a name from `interp.metrics.METRICS`
        corruption: how the partner of a prompt differs from it: "flip", "abc" or "random", see
            `interp.tasks.ioi`
        prompts: a JSON file of templates, names and nouns; None for interp's own
        device: where to run; None for where the model is

    Returns:
        The report.

    Raises:
        ValueError: a receiver, input, role or another option is unknown, or as for `begin`
        OSError: `out` cannot be written to
    """
    among("input", inputs, INPUTS)
    among("direction", [direction], DIRECTIONS)
    among("way to treat MLPs", [mlps], MLPS)
    chosen = heads_of(receivers)
    if top < 1:
        raise ValueError(f"top must be at least 1 receiver, got {top}")
    study = begin(
        model, n, seed, metric, out, corruption=corruption, prompts=prompts, device=device,
        mlps=mlps, direction=direction,
    )  # fmt: skip
    interp.parts.require_in_model(study.model, chosen or ())
    among("role", positions or (), study.task.positions)
    options = {"mlps": mlps, "direction": direction, "metrics": metric}
    sections = [_to_logits(study, options)]
    movers = interp.patching.strongest_heads(study.estimates["heads to logits"], top)
    source = "chosen by the caller" if chosen else "those with the largest effects on the logits"
    chosen = chosen or movers
    for site in inputs:
        where = positions or (["END"] if site == "q" else None)
        to = interp.patching.Receivers(site, heads=chosen, positions=where)
        sections.append(_to_heads(study, to, source, options))
    lead = (
        f"On {n} prompts of IOI in {study.model.name}, the heads that tell the logits most by the "
        f"direct path are {names(movers)}. MLPs on the way are {mlps}."
    )
    return study.report(f"Path patching in {study.model.name}", lead, sections)


def _to_logits(study: Study, options: dict[str, Any]) -> Section:
    """Direct effects of heads and MLPs."""
    from_heads = interp.patching.path_patch(
        study.model, study.task, "logits", progress=bar("heads to logits"), **options
    )
    direct = study.keep("heads to logits", from_heads)
    mlps = interp.patching.path_patch(study.model, study.task, "logits", site="mlp_out", **options)
    if options["direction"] == "noising":
        base, other, red = "clean", "corrupted", "the sender's clean output speaks for the answer"
    else:
        base, other, red = "corrupted", "clean", "the sender's clean output speaks against it"
    return Section(
        "Straight to the logits",
        f"The sender's output is taken from the {other} run; every other head writes what it "
        f"writes in the {base} run; MLPs on the way are {options['mlps']}. An effect is what this "
        f"changes in {study.metric}. Red: the metric falls, so {red}.",
        [
            behavior(study),
            Figure(
                interp.plots.effect_heatmap(direct),
                "From each head. Point at a cell for its interval.",
            ),
            Figure(
                interp.plots.effect_ranking(direct),
                "The strongest heads, with 95 % intervals.",
            ),
            Figure(
                interp.plots.effect_ranking(study.keep("MLPs to logits", mlps)), "From each MLP."
            ),
        ],
    )


def _to_heads(
    study: Study, to: interp.patching.Receivers, source: str, options: dict[str, Any]
) -> Section:
    """Effects of every head through one input of the receivers."""
    what, where = INPUTS[to.site], ", ".join(map(str, to.positions or ["all positions"]))
    name = f"heads to {to.site} of {names(to.heads)}"
    result = interp.patching.path_patch(study.model, study.task, to, progress=bar(name), **options)
    effects = study.keep(name, result)
    return Section(
        f"To the {what} of {names(to.heads)}",
        f"The receivers are {source}; they receive at {where}. Heads of the receivers' last layer "
        f"and later have no way to them. MLPs on the way are {options['mlps']}.",
        [
            Figure(interp.plots.effect_heatmap(effects), f"From each head, through the {what}."),
            effects_table(effects),
        ],
    )


def main(
    model: Model = "mini",
    n: N = 100,
    seed: Seed = 0,
    out: Out = Path("out/path_patching"),
    receivers: Annotated[
        str | None, typer.Option(help="Heads such as 9.9,9.6; by default the strongest.")
    ] = None,
    input: Annotated[str, typer.Option(help="Some of q, k, v.")] = "q,k,v",
    positions: Annotated[
        str | None, typer.Option(help="Roles such as END,S2; by default END for q, else all.")
    ] = None,
    top: Annotated[int, typer.Option(help="Receivers to take from the data.", min=1)] = 3,
    mlps: Annotated[str, typer.Option(help="recomputed or frozen.")] = "recomputed",
    direction: Annotated[str, typer.Option(help=f"One of {', '.join(DIRECTIONS)}.")] = "noising",
    metric: Metric = "logit_diff",
    corruption: Corruption = "abc",
    prompts: PromptsFile = None,
    device: Device = None,
) -> None:
    """Path patching: from heads to the logits, and to the strongest heads' q, k and v."""
    report = run(
        model,
        n=n,
        seed=seed,
        out=out,
        receivers=words(receivers, "head"),
        inputs=words(input, "input") or (),
        positions=words(positions, "role"),
        top=top,
        mlps=mlps,
        direction=direction,
        metric=metric,
        corruption=corruption,
        prompts=prompts,
        device=device,
    )
    show(report, out)


if __name__ == "__main__":
    start(main)
