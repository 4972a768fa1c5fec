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
from typing import TYPE_CHECKING, Annotated, Unpack

import typer

import interp
from analyses.common.choices import (
    among,
    require_device,
    require_model,
)
from analyses.common.opening import open_model
from analyses.common.prompts import Given, asked_for
from analyses.common.shell import (
    Count,
    Device,
    Model,
    Out,
    PromptsFile,
    Seed,
    bar,
    prepare,
    show,
    start,
)
from analyses.common.verdicts import answered, is_above
from interp.report import Download, Figure, Report, Section, Table

if TYPE_CHECKING:
    from typing import Literal

    import xarray as xr

    from interp.circuits import Verdict
    from interp.tasks import Task

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
_SIGNED = ("correlation", "eigenvalue")
HALF = 0.5
"""Score from which a head does what the score is about."""

SCORES = (*LOOKING, *COPYING)
DOWNLOADS = (
    Download("heads.csv", "Every score of every head, with 95 % intervals."),
    Download("results.json", "The same as nested lists, layer by layer."),
)


def run(
    model: str | Path | interp.HookedGPT2 = "mini",
    *,
    n: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    prompts: str | Path | None = None,
    by: str = "induction",
    device: str | None = None,
    **given: Unpack[Given],
) -> Report:
    """Run the analysis.

    Args:
        model: a name or directory for `interp.load`, or a loaded model
        n: number of prompts, at least 2; None for 100, or for all rows of a file
        seed: seed of the prompts and of the random tokens
        out: folder for report.html, heads.csv and results.json; None writes nothing
        prompts: a JSON file of templates, names and nouns; None for interp's own
        by: the score by which to sort the table of heads
        device: where to run; None for where the model is
        given: the prompts, if they are not IOI's: `task`, `csv`, `json`, `roles`; see
            `analyses.common.prompts.Given`

    Returns:
        The report.

    Raises:
        ValueError: there are fewer than 2 prompts, the score is unknown, or the model does not fit
            the prompts
        OSError: `out` cannot be written to
    """
    among("score", [by], SCORES)
    asked = asked_for(given, n, default_n=100, seed=seed, prompts=prompts)
    require_model(model)
    require_device(device)
    folder = prepare(out)
    loaded = open_model(model, device)
    assert asked is not None
    task = asked.prompts(loaded)
    copying = _holds_the_answer(task)
    if not copying and by in COPYING and by != "eigenvalue":
        raise ValueError(
            f"no role of {asked.about} holds the answer or the foil in every prompt, so {by} "
            "cannot be measured; sort by another score"
        )
    table = interp.heads.head_table(
        loaded, task if copying else None, seed=seed, progress=bar("heads")
    )

    there = [name for name in SCORES if name in table]
    best = {name: interp.heads.ranked(table, name, n=1).iloc[0] for name in there}
    lead = (
        f"In {loaded.name} the head that looks most at the previous token is "
        f"{best['previous_token']['head']} ({best['previous_token']['previous_token']:.2f}), at "
        f"earlier occurrences {best['duplicate_token']['head']} "
        f"({best['duplicate_token']['duplicate_token']:.2f}), at what followed them "
        f"{best['induction']['head']} ({best['induction']['induction']:.2f})"
    )
    if copying:
        copied = "of the names in IOI" if asked.is_ioi else f"of answers and foils in {asked.about}"
        lead += f"; {copied} {best['copy']['head']} copies most ({best['copy']['copy']:.0%})."
    else:
        lead += (
            f". No role of {asked.about} holds the answer or the foil in every prompt, so copying "
            "is measured from the weights alone."
        )
    count = len(task)
    origin = {"model": loaded.name, "prompts": count, "seed": seed, **interp.results.versions()}
    sections = [
        Section(
            "Does a head look at the token before, at repeats, or at what followed them?",
            f"{_looking(table)}\n\n"
            "Mean attention on random tokens repeated once, where only the repetition says where "
            "to look. A score of 1 would be a head that does this and nothing else. Scores are "
            "white at 0 and dark green at 1; entropy runs from 0 to the largest.",
            [_heatmap(table, name, about) for name, about in LOOKING.items()],
        ),
        Section(
            "Does a head copy the names that it looks at?",
            f"{_copying(table)}\n\n"
            "What each head would write if it attended to one name alone (copy, anti-copy), "
            "whether it writes for what it looks at (correlation), and the same from its weights "
            "(eigenvalue). Correlation and eigenvalue run from \N{MINUS SIGN}1 (purple) to 1 "
            "(green).",
            [_heatmap(table, name, about) for name, about in COPYING.items() if name in table],
        ),
        Section(
            "All heads",
            f"One row per head, by {by}. Attention to a role is from END, on the prompts of "
            f"{asked.about}.",
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


def _holds_the_answer(task: Task) -> bool:
    """Whether a role holds the answer or the foil in every prompt, so that copying is defined."""
    import torch

    prompt = torch.arange(len(task))
    tokens = [task.clean_tokens[prompt, at] for at in task.positions.values()]
    return any(torch.equal(one, end) for one in tokens for end in (task.answer, task.foil))


def _heatmap(table: xr.Dataset, name: str, about: str) -> Figure:
    import xarray as xr

    interval = None
    if f"{name}_low" in table:
        interval = xr.concat(
            [table[f"{name}_low"], table[f"{name}_high"]], "bound", coords="minimal"
        ).assign_coords(bound=["low", "high"])
    limit = 1.0 if name in _SIGNED else None
    return Figure(interp.plots.head_heatmap(table[name], interval=interval, limit=limit), about)


def _looking(table: xr.Dataset) -> Verdict:
    """Whether each kind of looking has a head that spends most of its attention so."""
    names = ("previous_token", "duplicate_token", "induction")
    best = [interp.heads.ranked(table, name, n=1).iloc[0] for name in names]
    figures = ", ".join(
        f"{name.replace('_', ' ')} {one['head']} with {one[name]:.2f}"
        for name, one in zip(names, best, strict=True)
    )
    most = [one[name] > HALF for name, one in zip(names, best, strict=True)]
    answer: Literal["yes", "no", "cannot be told"] = "yes" if all(most) else "no"
    return answered(answer, f"the highest scores are {figures}; {HALF:g} is asked for")


def _copying(table: xr.Dataset) -> Verdict:
    """Whether a head copies more often than not."""
    if "copy" not in table:
        return answered("cannot be told", "no role holds the answer or the foil in every prompt")
    best = interp.heads.ranked(table, "copy", n=1).iloc[0]
    at = table.sel(
        dict(zip(("layer", "head"), map(int, str(best["head"]).split(".")), strict=True))
    )
    ends = (float(at[name]) for name in ("copy", "copy_low", "copy_high"))
    score = interp.statistics.Estimate(*ends)
    return is_above(score, f"{best['head']} copies most, the fraction", HALF)


def _lists(values: xr.DataArray) -> list[list[float | None]]:
    """Nested lists, layer by layer; JSON has no NaN."""
    rows = values.transpose("layer", "head").values.astype(float).tolist()
    return [[value if value == value else None for value in row] for row in rows]


def main(
    model: Model = "mini",
    n: Count = None,
    seed: Seed = 0,
    out: Out = Path("out/head_scores"),
    prompts: PromptsFile = None,
    by: Annotated[
        str, typer.Option(help=f"Score by which to sort the table: one of {', '.join(SCORES)}.")
    ] = "induction",
    device: Device = None,
    **given: Unpack[Given],
) -> None:
    """Where every head looks and what it copies: heat maps and a table."""
    report = run(model, n=n, seed=seed, out=out, prompts=prompts, by=by, device=device, **given)
    show(report, out)


if __name__ == "__main__":
    start(main)
