"""Head ablation: what does the model lose without one head or two, and which heads take over?

Every head is ablated alone; then every pair of the strongest, which shows whether two do the same
work; then every head again in a model without the heads that write the answer. A head that matters
only then is a backup.

    interp head-ablation --model mini --n 100 --value mean --out out/head_ablation

Source: Wang et al. 2022 (arXiv 2211.00593), sections 2.2 and 3.4; McGrath et al. 2023 (arXiv
2307.15771), for self-repair after an ablation.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Unpack

import typer

import interp
from analyses.common.choices import VALUES, among, heads_of, names, words
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
from interp.parts import Head
from interp.report import Figure, Report, Section

if TYPE_CHECKING:
    import xarray as xr


def run(
    model: str | Path | interp.HookedGPT2 = "mini",
    *,
    n: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    value: str = "mean",
    knocked_out: Sequence[str] | None = None,
    top: int = 5,
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
        value: what stands in for a head: "zero", "mean", "group mean" or "resample"; the reference
            is the corrupted prompts
        knocked_out: heads to knock out when looking for backups, such as "9.9"; None for the three
            with the largest direct effects on the logits, as in the paper
        top: number of strongest heads to ablate in pairs, at least 2
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
        ValueError: the value, a head or another option is unknown, or as for `begin`
        OSError: `out` cannot be written to
    """
    among("value", [value], VALUES)
    if top < 2:
        raise ValueError(f"top must be at least 2 heads, to form a pair; got {top}")
    chosen = heads_of(knocked_out)
    study = begin(
        model, n, seed, metric, out, given, corruption=corruption, prompts=prompts, device=device,
        value=value,
    )  # fmt: skip
    interp.parts.require_in_model(study.model, chosen or ())
    options: dict[str, Any] = {"value": value, "metrics": metric}
    single = interp.patching.ablate(study.model, study.task, progress=bar("heads"), **options)
    effects = study.keep("heads", single)
    movers = interp.patching.strongest_heads(effects, top, told=True)
    writers = interp.patching.path_patch(
        study.model, study.task, metrics=metric, progress=bar("direct")
    )
    writing = study.keep("direct effects", writers)
    gone = chosen or interp.patching.strongest_heads(writing, 3, told=True)
    sections = [
        _alone(study, single, effects, value),
        *([_pairs(study, single, movers, options)] if len(movers) > 1 else []),
        *([_backups(study, single, gone, options)] if gone else []),
    ]
    lead = (
        f"On {study.prompts}, {value} ablation of single heads changes "
        f"{metric} most at {names(movers)}."
        if movers
        else f"On {study.prompts}, {value} ablation changes {metric} at no head by an effect whose "
        "interval excludes zero."
    )
    return study.report(f"Head ablation in {study.model.name}", lead, sections)


def _alone(study: Study, single: xr.Dataset, effects: xr.Dataset, value: str) -> Section:
    """Each head by itself."""
    return Section(
        "Does the model lose anything without a single head?",
        f"{any_effect(effects)}\n\n"
        f"Each head's output is replaced by its {value} ablation at every position, in the clean "
        f"run. An effect is what this changes in {study.metric}. Blue: the model does worse "
        "without the head, so the head helps. Red: it does better.",
        [
            behavior(study),
            Figure(
                interp.plots.effect_heatmap(effects),
                "Change without each head. Blue helps, red hurts. Point at a cell for its 95 % "
                "interval.",
            ),
            Figure(
                interp.plots.effect_ranking(effects),
                "The strongest, with 95 % intervals. Blue helps, red hurts.",
            ),
        ],
    )


def _pairs(
    study: Study, single: xr.Dataset, movers: list[Head], options: dict[str, Any]
) -> Section:
    """Two heads together, minus what each does alone."""
    import numpy as np
    import xarray as xr

    sets = interp.patching.pairs(movers)
    both = interp.patching.ablate(study.model, study.task, sets, progress=bar("pairs"), **options)
    effects = study.keep("pairs", both)
    alone, together = (
        interp.patching.effect(single, study.metric),
        interp.patching.effect(both, study.metric),
    )
    beyond = xr.concat(
        [
            together.sel(set=name)
            - sum(alone.sel(layer=layer, head=head, drop=True) for layer, head in sets[name])
            for name in sets
        ],
        "set",
    ).assign_coords(set=list(sets))
    title = "Pairs, less the sum of the two alone"
    about = {key: value for key, value in together.attrs.items() if key != "helps"}
    beyond = beyond.rename("interaction").assign_attrs(about | {"title": title})
    beyond.attrs.pop("helps", None)
    estimate = study.keep("interaction of pairs", beyond)
    matrix = np.full((len(movers), len(movers)), np.nan)
    for name, value in zip(sets, estimate["mean"].values, strict=True):
        i, j = (movers.index(head) for head in sets[name])
        matrix[i, j] = matrix[j, i] = value
    labels = [names([head]) for head in movers]
    square = xr.DataArray(
        matrix, {"one head": labels, "other head": labels}, ("one head", "other head"),
        attrs=estimate.attrs,
    )  # fmt: skip
    return Section(
        "Do two heads together matter more than the sum of the two?",
        f"{any_effect(estimate, 'pairs')}\n\n"
        "The effect of two heads together minus the effects of each alone. Purple (below zero): "
        "losing both costs more than the sum of the two losses, as when one stands in for the "
        "other. Green: it costs less, as when they work one after the other.",
        [
            Figure(interp.plots.effect_heatmap(square, annotate=len(sets) * 2), f"{title}."),
            Figure(
                interp.plots.effect_ranking({"together": effects, "beyond the sum": estimate}),
                "Each pair.",
            ),
        ],
    )


def _backups(
    study: Study, single: xr.Dataset, gone: list[Head], options: dict[str, Any]
) -> Section:
    """Each head again, in a model without some heads: by ablation, and by the direct path."""
    model, task, without = study.model, study.task, f"without {names(gone)}"
    ablation = interp.patching.Ablation(gone, value=options["value"])
    again = interp.patching.ablate(
        model, task, ablation=ablation, progress=bar("backups"), **options
    )
    direct = interp.patching.path_patch(
        model, task, ablation=ablation, metrics=study.metric, progress=bar("direct"),
    )  # fmt: skip
    after, before = study.keep(f"heads {without}", again), study.estimates["heads"]
    direct_after = study.keep(f"direct effects {without}", direct)
    direct_before = study.estimates["direct effects"]
    change = interp.patching.effect(again, study.metric) - interp.patching.effect(
        single, study.metric
    )
    for layer, head in gone:  # nothing of them is left to change
        change.loc[{"layer": layer, "head": head}] = float("nan")
    about = {"title": f"Effects {without}, less those in the whole model"}
    change = change.rename("change").assign_attrs(again[study.metric].attrs | about)
    change.attrs.pop("helps", None)  # more lost than before is neither good nor bad
    gained = study.keep("change of heads", change)
    return Section(
        f"Do others stand in for {names(gone)}?",
        f"{any_effect(gained)}\n\n"
        f"{names(gone)} are ablated throughout, and every other head is ablated in addition. "
        "Purple (below zero): losing the head costs more than in the whole model, so it stands in "
        "for the ablated heads. Green: it costs less, so it worked with them or through them.",
        [
            Figure(
                interp.plots.effect_heatmap(gained),
                "Gray: ablated already. Point at a cell for its interval.",
            ),
            effects_table(gained),
            Figure(
                interp.plots.effect_ranking({"whole model": before, without: after}),
                "Ablation of each head, in the whole model and in what is left. Blue helps, red "
                "hurts.",
            ),
            Figure(
                interp.plots.effect_ranking({"whole model": direct_before, without: direct_after}),
                "The same by the direct path alone, which carries the head's output in the "
                "corrupted run to the logits. A backup name mover lies farther left than before. "
                "Blue helps, red hurts.",
            ),
        ],
    )


def main(
    model: Model = "mini",
    n: Count = None,
    seed: Seed = 0,
    out: Out = Path("out/head_ablation"),
    value: Annotated[str, typer.Option(help=f"One of {', '.join(VALUES)}.")] = "mean",
    knocked_out: Annotated[
        str | None,
        typer.Option(help="Heads such as 9.9,9.6; by default the three that write most."),
    ] = None,
    top: Annotated[
        int, typer.Option(help="Number of strongest heads to ablate in pairs.", min=2)
    ] = 5,
    metric: Metric = "logit_diff",
    corruption: Corruption = "abc",
    prompts: PromptsFile = None,
    device: Device = None,
    **given: Unpack[Given],
) -> None:
    """Head ablation: every head, pairs of the strongest, and the strongest heads' backups."""
    report = run(
        model,
        n=n,
        seed=seed,
        out=out,
        value=value,
        knocked_out=words(knocked_out, "head"),
        top=top,
        metric=metric,
        corruption=corruption,
        prompts=prompts,
        device=device,
        **given,
    )
    show(report, out)


if __name__ == "__main__":
    start(main)
