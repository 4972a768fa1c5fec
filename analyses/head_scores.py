"""Head scores: what does every head of a GPT-2 look at, and what does it copy?

Repeated random tokens show which heads look at the previous token, at an earlier occurrence of the
token, or at what followed it (induction); prompts of IOI show which heads copy the names they look
at, and which write against them; the eigenvalues of the OV circuits say the same of the weights.

    interp head-scores --model mini --n 100 --by induction --out out/head_scores

Source: Wang et al. 2022 (arXiv 2211.00593), section 3; Elhage et al. 2021, "A Mathematical
Framework for Transformer Circuits".
"""

import json
from pathlib import Path
from typing import Annotated

import typer
import xarray as xr

import interp
from analyses.common.shell import (
    Device,
    Model,
    N,
    Out,
    Prompts,
    Seed,
    bar,
    plain_errors,
    prepare,
    show,
)
from interp.heads import head_table, ranked
from interp.plots import head_heatmap
from interp.report import Download, Figure, Report, Section, Table
from interp.results import versions
from interp.tasks import ioi

LOOKING = {
    "previous_token": "Looks at the token before.",
    "duplicate_token": "Looks at earlier occurrences of the token.",
    "induction": "Looks at what followed the token before: an induction head, if it copies too.",
    "first_token": "Looks at the first token, where many heads look that have nothing to do.",
    "current_token": "Looks at the token itself.",
    "entropy": "In nats: 0 looks at one token; high looks at many alike.",
}
COPYING = {
    "copy": "Fraction of names among the head's own five highest logits, if it attended to them.",
    "anti_copy": "The same with the output negated: high where the head suppresses what it reads.",
    "correlation": "Attention from END to a name, against what the head writes for it, over all.",
    "eigenvalue": "1: the OV circuit copies in every direction. -1: it suppresses in every one.",
}
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
        model: a name or directory for `interp.load`, or a loaded model.
        n: number of prompts of IOI, at least 2.
        seed: of the prompts and of the random tokens.
        out: folder for report.html, heads.csv and results.json; None writes nothing.
        prompts: a JSON file of templates, names and nouns; None for interp's own.
        by: the score that the table of heads is sorted by.
        device: where to run; None for where the model is.

    Returns:
        The report.

    Raises:
        ValueError: for fewer than 2 prompts, prompts that the model does not fit, or no such score.
        OSError: when `out` cannot be written to; asked before any work.
    """
    if n < 2:
        raise ValueError(f"n must be at least 2 for an interval, got {n}")
    if by not in {**LOOKING, **COPYING}:
        raise ValueError(f"by must be one of {', '.join({**LOOKING, **COPYING})}; got {by!r}")
    folder = None if out is None else prepare(out)
    loaded = model if isinstance(model, interp.HookedGPT2) else interp.load(model)
    if device is not None:
        loaded.to(device)
    task = ioi(loaded.tokenizer, n, seed=seed, prompts=prompts)
    table = head_table(loaded, task, seed=seed, progress=bar("heads"))

    best = {name: ranked(table, name, n=1).iloc[0] for name in (*LOOKING, *COPYING)}
    lead = (
        f"In {loaded.name} the head that looks most at the previous token is "
        f"{best['previous_token']['head']} ({best['previous_token']['previous_token']:.2f}), at "
        f"earlier occurrences {best['duplicate_token']['head']} "
        f"({best['duplicate_token']['duplicate_token']:.2f}), at what followed them "
        f"{best['induction']['head']} ({best['induction']['induction']:.2f}); of the names in IOI "
        f"{best['copy']['head']} copies most ({best['copy']['copy']:.0%})."
    )
    origin = {"model": loaded.name, "prompts": n, "seed": seed, **versions()}
    sections = [
        Section(
            "Where heads look",
            "Mean attention on random tokens repeated once: nothing but the repetition says where "
            "to look. 1 would be a head that does this and nothing else.",
            [_heatmap(table, name, about) for name, about in LOOKING.items()],
        ),
        Section(
            "What heads copy",
            "What each head would write if it attended to one name alone (copy, anti-copy), "
            "whether it writes for what it looks at (correlation), and what its weights say.",
            [_heatmap(table, name, about) for name, about in COPYING.items()],
        ),
        Section(
            "All heads",
            f"One row a head, by {by}. Attention to a role is from END, on the prompts of IOI.",
            [Table(ranked(table, by), "Means; point at a cell above for the intervals.")],
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
    interval = None
    if f"{name}_low" in table:
        interval = xr.concat(
            [table[f"{name}_low"], table[f"{name}_high"]], "bound", coords="minimal"
        ).assign_coords(bound=["low", "high"])
    return Figure(head_heatmap(table[name], interval=interval), about)


def _lists(values: xr.DataArray) -> list[list[float | None]]:
    """Layers of heads; JSON knows no NaN."""
    rows = values.transpose("layer", "head").values.astype(float).tolist()
    return [[value if value == value else None for value in row] for row in rows]


def main(
    model: Model = "mini",
    n: N = 100,
    seed: Seed = 0,
    out: Out = Path("out/head_scores"),
    prompts: Prompts = None,
    by: Annotated[str, typer.Option(help="Score that the table is sorted by.")] = "induction",
    device: Device = None,
) -> None:
    """Where every head looks and what it copies: heat maps and a table."""
    with plain_errors():
        report = run(model, n=n, seed=seed, out=out, prompts=prompts, by=by, device=device)
    show(report, out)


if __name__ == "__main__":
    typer.run(main)
