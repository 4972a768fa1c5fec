"""Activation patching: where does the model store what the answer depends on?

Every activation of the clean run is put into the corrupted run (denoising), or the reverse
(noising): the residual stream and the outputs of attention and MLPs, by layer and role; the
outputs, queries, keys, values and patterns of heads; and, on prompts of one template, the same by
layer and token, and the strongest head's pattern entry by entry.

    interp activation-patching --model mini --n 100 --corruption flip --out out/activation_patching

Source: Meng et al. 2022 (arXiv 2202.05262); Heimersheim and Nanda 2024 (arXiv 2404.15255).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

import interp
from analyses.common.choices import DIRECTIONS, among, names, words
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
from interp.parts import Head
from interp.report import Figure, Item, Report, Section

BY_ROLE = {
    "resid_pre": "The residual stream before each layer",
    "attn_out": "What attention adds in each layer",
    "mlp_out": "What the MLP adds in each layer",
}
BY_HEAD = {
    "z": "What each head writes",
    "q": "The queries of each head",
    "k": "The keys of each head",
    "v": "The values of each head",
    "pattern": "The attention pattern of each head",
}
SITES = {**BY_ROLE, **BY_HEAD}

ONE_TEMPLATE = 30
"""Largest number of prompts of one template to patch token by token."""


def run(
    model: str | Path | interp.HookedGPT2 = "mini",
    *,
    n: int = 100,
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
        metric: a name from `interp.metrics.METRICS`
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
    study = begin(
        model, n, seed, metric, out, corruption=corruption, prompts=prompts, device=device,
        direction=direction, sites=", ".join(chosen),
    )  # fmt: skip
    sections = [_section(study, site, direction) for site in chosen]
    into, of = ("corrupted", "clean") if direction == "denoising" else ("clean", "corrupted")
    about = Section(
        "What was done",
        f"Each activation of the {into} run in turn is replaced by that of the {of} run, and "
        f"everything after it is recomputed. An effect is what this changes in {metric} "
        f"({interp.metrics.METRICS[metric]}). For example, the clean prompt "
        f"“{study.task.clean[0]} …” has the corrupted partner “{study.task.corrupted[0]} …”.",
        [behavior(study)],
    )
    lead = f"{direction.capitalize()} on {n} prompts of IOI in {study.model.name}."
    if "z" in chosen:
        best = interp.patching.strongest_heads(study.estimates["z"], 3)
        lead += f" The heads whose output matters most: {names(best)}."
    return study.report(f"Activation patching in {study.model.name}", lead, [about, *sections])


def _section(study: Study, site: str, direction: str) -> Section:
    """One site: by role or head over all prompts, and by token over prompts of one template."""
    over = ("layer", "role") if site in BY_ROLE else ("layer", "head")
    selection = interp.patching.Selection(over=over)
    options: dict[str, Any] = {"direction": direction, "metrics": study.metric}
    result = interp.patching.patch(
        study.model, study.task, site, selection, progress=bar(site), **options
    )
    effects = study.keep(site, result)
    items: list[Item] = [
        Figure(
            interp.plots.effect_heatmap(effects),
            "Blue: the metric rises. Red: it falls. White: no effect. Point at a cell for its 95 % "
            "interval.",
        ),
        effects_table(effects, interp.patching.normalized(result, study.metric)),
    ]
    if site in BY_ROLE or site == "pattern":
        items.append(
            _by_token(
                study,
                site,
                interp.patching.strongest_heads(effects, 1) if site == "pattern" else [],
                options,
            )
        )
    return Section(SITES[site], "", items)


def _by_token(study: Study, site: str, head: Sequence[Head], options: dict[str, Any]) -> Figure:
    """Layers by tokens, or the entries of one head's pattern, on prompts of one template."""
    of, name = study.task, f"{site} by position"
    task = study.draw(
        min(len(of), ONE_TEMPLATE), templates=[of.template[0]], order=of.order[0].lower()
    )
    what, selection = "The same by token", interp.patching.Selection()
    for layer, unit in head:
        what = f"Entries of the pattern of head {layer}.{unit}: rows attend to columns"
        selection = interp.patching.Selection(("position", "source"), [layer], [unit])
    study.tasks[name] = task
    effects = study.keep(
        name,
        interp.patching.patch(study.model, task, site, selection, progress=bar(name), **options),
    )
    tokens = interp.plots.position_labels(task, study.model.tokenizer)
    return Figure(
        interp.plots.effect_heatmap(effects, labels={"position": tokens, "source": tokens}),
        f"{what}, in {len(task)} prompts of one template. Bold: roles. \N{HORIZONTAL ELLIPSIS}: "
        "tokens that differ.",
    )


def main(
    model: Model = "mini",
    n: N = 100,
    seed: Seed = 0,
    out: Out = Path("out/activation_patching"),
    site: Annotated[str | None, typer.Option(help=f"Some of {', '.join(SITES)}.")] = None,
    direction: Annotated[str, typer.Option(help=f"One of {', '.join(DIRECTIONS)}.")] = "denoising",
    metric: Metric = "logit_diff",
    corruption: Corruption = "flip",
    prompts: PromptsFile = None,
    device: Device = None,
) -> None:
    """Activation patching: every activation by layer, role, head and token."""
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
    )  # fmt: skip
    show(report, out)


if __name__ == "__main__":
    start(main)
