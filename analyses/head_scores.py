"""Head scores: what does every head of a GPT-2 look at, and what does it copy?

Repeated random tokens show which heads look at the previous token, at an earlier occurrence of the
token, or at what followed it (induction); IOI prompts show which heads copy the names they look at,
and which write against them; the eigenvalues of the OV circuits answer the same question from the
weights.

    interp head-scores --model mini --n 100 --by induction --out out/head_scores

Source: Wang et al. 2022 (arXiv 2211.00593), section 3; Elhage et al. 2021, "A Mathematical
Framework for Transformer Circuits".
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import interp
from analyses.common.choices import (
    among,
    require_device,
    require_json,
    require_model,
    require_prompts,
)
from analyses.common.opening import open_model
from analyses.common.shell import (
    Device,
    Model,
    N,
    Out,
    PromptsFile,
    Seed,
    bar,
    prepare,
    show,
    start,
)
from interp.report import Download, Figure, Report, Section, Table

if TYPE_CHECKING:
    import xarray as xr

LOOKING = {
    "previous_token": "Looks at the token before.",
    "duplicate_token": "Looks at earlier occurrences of the token.",
    "induction": "Looks at what followed the token before: an induction head, if it copies too.",
    "first_token": "Looks at the first token, where many heads rest.",
    "current_token": "Looks at the token itself.",
    "entropy": "In nats: 0 means that the head looks at one token; a high value, at many.",
}
COPYING = {
    "copy": "Fraction of names among the head's own five highest logits, if it attended to them.",
    "anti_copy": "The same with the output negated: high where the head suppresses what it reads.",
    "correlation": "Correlation of attention from END to a name with what the head writes for it.",
    "eigenvalue": "1: the OV circuit copies in every direction. -1: it suppresses in every one.",
}
SCORES = (*LOOKING, *COPYING)
DOWNLOADS = (
    Download("heads.csv", "Every score of every head, with 95 % intervals."),
    Download("results.json", "The same as nested lists, layer by layer."),
)


def run(
    model: str | Path | interp.HookedGPT2 = "mini",
    *,
    n: int = 100,
    seed: int = 0,
    out: str | Path | None = None,
    prompts: str | Path | None = None,
    by: str = "induction",
    device: str | None = None,
) -> Report:
    """Run the analysis.

    Args:
        model: a name or directory for `interp.load`, or a loaded model
        n: number of prompts of IOI, at least 2
        seed: seed of the prompts and of the random tokens
        out: folder for report.html, heads.csv and results.json; None writes nothing
        prompts: a JSON file of templates, names and nouns; None for interp's own
        by: the score by which to sort the table of heads
        device: where to run; None for where the model is

    Returns:
        The report.

    Raises:
        ValueError: there are fewer than 2 prompts, the score is unknown, or the model does not fit
            the prompts
        OSError: `out` cannot be written to
    """
    among("score", [by], SCORES)
    require_prompts(n)
    require_json(prompts, "prompts file")
    require_model(model)
    require_device(device)
    folder = prepare(out)
    loaded = open_model(model, device)
    task = interp.tasks.ioi(loaded.tokenizer, n, seed=seed, prompts=prompts)
    task.require_fits(loaded)
    table = interp.heads.head_table(loaded, task, seed=seed, progress=bar("heads"))

    best = {name: interp.heads.ranked(table, name, n=1).iloc[0] for name in SCORES}
    lead = (
        f"In {loaded.name} the head that looks most at the previous token is "
        f"{best['previous_token']['head']} ({best['previous_token']['previous_token']:.2f}), at "
        f"earlier occurrences {best['duplicate_token']['head']} "
        f"({best['duplicate_token']['duplicate_token']:.2f}), at what followed them "
        f"{best['induction']['head']} ({best['induction']['induction']:.2f}); of the names in IOI "
        f"{best['copy']['head']} copies most ({best['copy']['copy']:.0%})."
    )
    origin = {"model": loaded.name, "prompts": n, "seed": seed, **interp.results.versions()}
    sections = [
        Section(
            "Where heads look",
            "Mean attention on random tokens repeated once, where only the repetition says where "
            "to look. A score of 1 would be a head that does this and nothing else.",
            [_heatmap(table, name, about) for name, about in LOOKING.items()],
        ),
        Section(
            "What heads copy",
            "What each head would write if it attended to one name alone (copy, anti-copy), "
            "whether it writes for what it looks at (correlation), and the same from its weights "
            "(eigenvalue).",
            [_heatmap(table, name, about) for name, about in COPYING.items()],
        ),
        Section(
            "All heads",
            f"One row per head, by {by}. Attention to a role is from END, on the prompts of IOI.",
            [
                Table(
                    interp.heads.ranked(table, by),
                    "Means; point at a cell above for the intervals.",
                )
            ],
        ),
    ]
    downloads = DOWNLOADS if folder is not None else ()
    report = Report(f"What the heads of {loaded.name} do", lead, sections, downloads, origin)
    if folder is not None:
        table.to_dataframe().to_csv(folder / "heads.csv")
        scores = {str(name): _lists(values) for name, values in table.items()}
        text = json.dumps(origin | {"scores": scores}, indent=1, allow_nan=False)
        (folder / "results.json").write_text(text + "\n", encoding="utf-8")
        report.save(folder / "report.html")
    return report


def _heatmap(table: xr.Dataset, name: str, about: str) -> Figure:
    import xarray as xr

    interval = None
    if f"{name}_low" in table:
        interval = xr.concat(
            [table[f"{name}_low"], table[f"{name}_high"]], "bound", coords="minimal"
        ).assign_coords(bound=["low", "high"])
    return Figure(interp.plots.head_heatmap(table[name], interval=interval), about)


def _lists(values: xr.DataArray) -> list[list[float | None]]:
    """Nested lists, layer by layer; JSON has no NaN."""
    rows = values.transpose("layer", "head").values.astype(float).tolist()
    return [[value if value == value else None for value in row] for row in rows]


def main(
    model: Model = "mini",
    n: N = 100,
    seed: Seed = 0,
    out: Out = Path("out/head_scores"),
    prompts: PromptsFile = None,
    by: Annotated[
        str, typer.Option(help=f"Score by which to sort the table: one of {', '.join(SCORES)}.")
    ] = "induction",
    device: Device = None,
) -> None:
    """Where every head looks and what it copies: heat maps and a table."""
    report = run(model, n=n, seed=seed, out=out, prompts=prompts, by=by, device=device)
    show(report, out)


if __name__ == "__main__":
    start(main)
