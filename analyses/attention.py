"""Attention: where does every head of a GPT-2 look in a text, and on average in a task?

An interactive page has every head's pattern. The report shows all heads side by side, a few of them
in detail, the words that the last position can draw on through all layers (rollout and flow), and
where heads look from role to role, averaged over the prompts of a task.

    interp attention --text "Mary gave John a book" --heads 3.1,2.6 --out out/attention

Source: Kobayashi et al. 2020 (arXiv 2004.10102) for value weighting; Abnar and Zuidema 2020
(arXiv 2005.00928) for rollout and flow; Wang et al. 2022 (arXiv 2211.00593), section 3, for roles.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Unpack

import typer

import interp
from analyses.attention_report import all_heads, by_role, detail, looked_at_most, through_layers
from analyses.common.choices import (
    heads_of,
    names,
    require_device,
    require_model,
    words,
)
from analyses.common.opening import open_model
from analyses.common.prompts import Given, asked_for, warn_without_roles
from analyses.common.shell import (
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
from analyses.common.words_known import unknown_words
from interp.parts import Head
from interp.report import Download, Report

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

TEXT = "Yesterday Mary and John met at the market, and John handed a book to"
SHOWN = 3  # number of heads in detail, if none are named
DOWNLOADS = (
    Download("attention.html", "Interactive page with every head of the text; needs no network."),
    Download("results.csv", "Attention and value-weighted attention, one row per pair of tokens."),
    Download("roles.csv", "Attention between roles, one row per pair of roles and prompt."),
    Download("results.json", "Rollout and flow from the last token; what END attends to most."),
)


def run(
    model: str | Path | interp.HookedGPT2 = "mini",
    text: str = TEXT,
    *,
    heads: Sequence[str] | None = None,
    n: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    prompts: str | Path | None = None,
    device: str | None = None,
    **given: Unpack[Given],
) -> Report:
    """Run the analysis.

    Args:
        model: a name or directory for `interp.load`, or a loaded model
        text: what the model reads
        heads: heads to show in detail, such as "9.6"; None for those that look most sharply
        n: number of prompts for the means by role, at least 2; None for 50, or for all rows of a
            file; 0 leaves roles out
        seed: seed of the prompts
        out: folder for report.html and its files; None writes nothing
        prompts: a JSON file of templates, names and nouns; None for interp's own
        device: where to run; None for where the model is
        given: the prompts, if they are not IOI's: `task`, `csv`, `json`, `roles`; see
            `analyses.common.prompts.Given`

    Returns:
        The report.

    Raises:
        ValueError: the text is empty or longer than the context, a head is unknown, n is 1, or the
            model does not fit the prompts
        OSError: `out` cannot be written to
    """
    asked = asked_for(given, n, default_n=50, seed=seed, prompts=prompts, none=True)
    named = heads_of(heads)
    require_model(model)
    require_device(device)
    folder = prepare(out)
    loaded = open_model(model, device)
    interp.parts.require_in_model(loaded, named or ())
    task = asked.prompts(loaded) if asked else None
    if task is not None:
        warn_without_roles(task, "attention by role")
    patterns = interp.heads.attention_patterns(loaded, text)
    sharpest = _sharpest(patterns)
    shown = named or sharpest or [Head(0, 0)]
    weighted = interp.heads.value_weighted(patterns)
    rollout = interp.heads.attention_rollout(patterns).isel(query=-1)
    flow = interp.heads.attention_flow(patterns, queries=[-1], progress=bar("flow")).isel(query=0)
    between = (
        None
        if task is None
        else interp.heads.attention_between(loaded, task, progress=bar("roles"))
    )

    sections = [
        all_heads(patterns, weighted),
        detail(patterns, shown),
        through_layers(rollout, flow),
    ]
    numbers: dict[str, object] = {"rollout": _by_layer(rollout), "flow": _by_layer(flow)}
    n_tokens = patterns.sizes["key"]
    lead = (
        f"In this text of {n_tokens} tokens the heads of {loaded.name} that look most sharply at "
        f"one earlier token are {names(sharpest)}."
        if sharpest
        else f"In a text of {n_tokens} token{'s' * (n_tokens > 1)} no head of {loaded.name} has a "
        "choice between earlier tokens."
    )
    if between is not None and asked is not None:
        rows = looked_at_most(between)
        sections.append(by_role(between, shown, rows, asked.about))
        numbers["END"] = [{**row, "attention": asdict(row["attention"])} for row in rows]
        most = max(rows, key=lambda row: row["attention"].mean)
        lead += (
            f" On prompts of {asked.about} the look from END that is strongest is {most['head']}'s "
            f"at {most['role']}, {most['attention'].mean:.0%} of its attention."
        )
    lead += unknown_words(loaded, text)
    origin = {
        "model": loaded.name,
        "text": text,
        "prompts": len(task) if task is not None else 0,
        "seed": seed,
        **interp.results.versions(),
    }
    files = [file for file in DOWNLOADS if task is not None or file.path != "roles.csv"]
    title = f"What the heads of {loaded.name} look at"
    report = Report(title, lead, sections, files if folder else (), origin)
    if folder is not None:
        interp.plots.AttentionView(patterns, title, head=shown[0]).save(folder / "attention.html")
        _pairs(patterns, weighted).to_csv(folder / "results.csv", index=False)
        if between is not None:
            between.to_series().to_csv(folder / "roles.csv")
        labels = [str(head) for head in shown]
        found = {**origin, "heads": labels, "tokens": patterns.key_token.values.tolist(), **numbers}
        document = json.dumps(found, indent=1, allow_nan=False)
        (folder / "results.json").write_text(document + "\n", encoding="utf-8")
        report.save(folder / "report.html")
    return report


def _sharpest(patterns: xr.DataArray) -> list[Head]:
    """The heads that look most sharply; none if the text is too short for a choice."""
    if patterns.sizes["key"] < 3:
        return []
    return [Head(*head) for head in interp.heads.sharpest_heads(patterns, SHOWN)]


def _by_layer(weights: xr.DataArray) -> list[list[float]]:
    return weights.transpose("layer", "key").values.tolist()


def _pairs(patterns: xr.DataArray, weighted: xr.DataArray) -> pd.DataFrame:
    """One row for each head and each pair of a token and a token that it can attend to."""
    import xarray as xr

    both = xr.Dataset({"attention": patterns, "value_weighted": weighted})
    table = both.drop_vars("value_norm").to_dataframe().reset_index()
    return table[table["key"] <= table["query"]]


def main(
    model: Model = "mini",
    text: Annotated[str, typer.Option(help="What the model reads.")] = TEXT,
    heads: Annotated[
        str | None, typer.Option(help="Heads to show in detail, such as 9.6,9.9.")
    ] = None,
    n: Annotated[
        int | None,
        typer.Option(
            help="Prompts for means by role; by default 50, or all rows of a file; 0 for none.",
            min=0,
        ),
    ] = None,
    seed: Seed = 0,
    out: Out = Path("out/attention"),
    prompts: PromptsFile = None,
    device: Device = None,
    **given: Unpack[Given],
) -> None:
    """Where every head looks in a text: an interactive page and a report."""
    report = run(
        model, text, heads=words(heads, "head"), n=n, seed=seed, out=out, prompts=prompts,
        device=device, **given,
    )  # fmt: skip
    show(report, out)


if __name__ == "__main__":
    start(main)
