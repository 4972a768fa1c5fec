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
from typing import TYPE_CHECKING, Annotated, Any, Unpack

import typer

import interp
from analyses.common.choices import DIRECTIONS, INPUTS, among, heads_of, names, words
from analyses.common.prompts import Given
from analyses.common.shell import (
    Corruption,
    Count,
    Device,
    Metric,
    Model,
    Out,
    PromptsFile,
    Seed,
    bar,
    show,
    start,
)
from analyses.common.study import Study, begin
from analyses.common.tables import behavior, effects_table
from analyses.common.verdicts import any_effect
from interp.parts import EVERYWHERE
from interp.report import Figure, Report, Section

if TYPE_CHECKING:
    import xarray as xr

MLPS = ("recomputed", "frozen")


def run(
    model: str | Path | interp.HookedGPT2 = "mini",
    *,
    n: int | None = None,
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
    **given: Unpack[Given],
) -> Report:
    """Run the analysis.

    Args:
        model: a name or directory for `interp.load`, or a loaded model
        n: number of prompts, at least 2; None for 100, or for all rows of a file
        seed: seed of the prompts
        out: folder for report.html, results.json, results.csv and prompts.csv; None writes nothing
        receivers: heads, such as "9.9"; None for the `top` heads with the largest effects on the
            logits
        inputs: inputs of the receivers, among `INPUTS`
        positions: roles at which they receive, or "all" for every position; None for END with
            queries and everywhere with keys and values
        top: number of receivers to choose from the data
        mlps: MLPs on the path from sender to receiver: "recomputed" (as in the paper) or "frozen"
        direction: "noising" (the paper) or "denoising"
        metric: a name from `interp.metrics.METRICS`
        corruption: how the partner of a prompt differs from it: "flip", "abc" or "random", see
            `interp.tasks.ioi`
        prompts: a JSON file of templates, names and nouns; None for interp's own
        device: where to run; None for where the model is
        given: the prompts, if they are not IOI's: `task`, `csv`, `json`, `roles`; see
            `analyses.common.prompts.Given`

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
        model, n, seed, metric, out, given, corruption=corruption, prompts=prompts, device=device,
        mlps=mlps, direction=direction,
    )  # fmt: skip
    interp.parts.require_in_model(study.model, chosen or ())
    among("role", positions or (), [*study.task.positions, EVERYWHERE])
    options = {"mlps": mlps, "direction": direction, "metrics": metric}
    sections = [_to_logits(study, options)]
    movers = interp.patching.strongest_heads(study.estimates["heads to logits"], top, told=True)
    source = (
        "chosen by the caller"
        if chosen
        else (
            "those with the largest effects on the logits, among the heads whose interval "
            "excludes zero"
        )
    )
    chosen = chosen or movers
    received: list[tuple[interp.patching.Receivers, xr.Dataset]] = []
    for site in inputs if chosen else ():
        where = positions or (["END"] if site == "q" else None)
        where = None if where and EVERYWHERE in where else where
        to = interp.patching.Receivers(site, heads=chosen, positions=where)
        received.append((to, _into(study, to, options)))
    limit = interp.plots.shared_limit(*(effects for _, effects in received)) if received else None
    sections += [_to_heads(to, effects, source, options, limit) for to, effects in received]
    lead = (
        f"On {study.prompts}, the heads that tell the logits most by the "
        f"direct path are {names(movers)}. MLPs on the way are {mlps}."
        if movers
        else f"On {study.prompts}, no head has a direct effect on the "
        "logits "
        "whose interval excludes zero, so none is chosen as a receiver."
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
        base, other, good = "clean", "corrupted", "falls"
    else:
        base, other, good = "corrupted", "clean", "rises"
    return Section(
        "Do heads act straight on the logits?",
        f"{any_effect(direct)}\n\n"
        f"The sender's output is taken from the {other} run; every other head writes what it "
        f"writes in the {base} run; MLPs on the way are {options['mlps']}. An effect is what this "
        f"changes in {study.metric}. Blue: the metric {good}, so the sender's clean output helps "
        "the task. Red: the reverse.",
        [
            behavior(study),
            Figure(
                interp.plots.effect_heatmap(direct),
                "From each head. Blue helps, red hurts. Point at a cell for its interval.",
            ),
            Figure(
                interp.plots.effect_ranking(direct),
                "The strongest heads, with 95 % intervals. Blue helps, red hurts.",
            ),
            Figure(
                interp.plots.effect_ranking(study.keep("MLPs to logits", mlps)), "From each MLP."
            ),
        ],
    )


def _into(study: Study, to: interp.patching.Receivers, options: dict[str, Any]) -> xr.Dataset:
    """Effects of every head through one input of the receivers."""
    name = f"heads to {to.site} of {names(to.heads)}"
    result = interp.patching.path_patch(study.model, study.task, to, progress=bar(name), **options)
    return study.keep(name, result)


def _to_heads(
    to: interp.patching.Receivers,
    effects: xr.Dataset,
    source: str,
    options: dict[str, Any],
    limit: float | None,
) -> Section:
    """The effects through one input, with a scale shared by all inputs."""
    what, where = INPUTS[to.site], ", ".join(map(str, to.positions or ["all positions"]))
    return Section(
        f"Do earlier heads act through the {what} of {names(to.heads)}?",
        f"{any_effect(effects)}\n\n"
        f"The receivers are {source}; they receive at {where}. Heads of the receivers' last layer "
        f"and later have no way to them. MLPs on the way are {options['mlps']}.",
        [
            Figure(
                interp.plots.effect_heatmap(effects, limit=limit),
                f"From each head, through the {what}. Blue helps, red hurts; queries, keys and "
                "values share their scale.",
            ),
            effects_table(effects),
        ],
    )


def main(
    model: Model = "mini",
    n: Count = None,
    seed: Seed = 0,
    out: Out = Path("out/path_patching"),
    receivers: Annotated[
        str | None, typer.Option(help="Heads such as 9.9,9.6; by default the strongest.")
    ] = None,
    input: Annotated[str, typer.Option(help="Some of q, k, v.")] = "q,k,v",
    positions: Annotated[
        str | None,
        typer.Option(help="Roles such as END,S2, or all; by default END for q, else all."),
    ] = None,
    top: Annotated[int, typer.Option(help="Receivers to take from the data.", min=1)] = 3,
    mlps: Annotated[str, typer.Option(help="recomputed or frozen.")] = "recomputed",
    direction: Annotated[str, typer.Option(help=f"One of {', '.join(DIRECTIONS)}.")] = "noising",
    metric: Metric = "logit_diff",
    corruption: Corruption = "abc",
    prompts: PromptsFile = None,
    device: Device = None,
    **given: Unpack[Given],
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
        **given,
    )
    show(report, out)


if __name__ == "__main__":
    start(main)
