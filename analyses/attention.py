"""Attention: where does every head of a GPT-2 look in one text, and on average in a task?

A page to look around in holds every head's pattern. The report shows all heads side by side, a few
of them in detail, which words the last position can have drawn on through all layers (rollout and
flow), and where heads look from role to role, a mean over prompts of IOI.

    interp attention --text "Mary gave John a book" --heads 3.1,2.6 --out out/attention

Source: Kobayashi et al. 2020 (arXiv 2004.10102) for value weighting; Abnar and Zuidema 2020
(arXiv 2005.00928) for rollout and flow; Wang et al. 2022 (arXiv 2211.00593), section 3, for roles.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
import xarray as xr

import interp
from analyses.attention_report import all_heads, by_role, detail, looked_at_most, through_layers
from analyses.common import choices
from analyses.common.shell import (
    Device,
    Model,
    Out,
    Prompts,
    Seed,
    bar,
    plain_errors,
    prepare,
    show,
)
from interp.heads import (
    attention_between,
    attention_flow,
    attention_patterns,
    attention_rollout,
    sharpest_heads,
    value_weighted,
)
from interp.plots import AttentionView
from interp.report import Download, Report
from interp.results import versions
from interp.tasks import ioi

TEXT = "Yesterday Mary and John met at the market, and John handed a book to"
SHOWN = 3  # heads in detail, if none are named
DOWNLOADS = (
    Download("attention.html", "Every head of the text, to look around in; needs no network."),
    Download("results.csv", "Attention and value-weighted attention, one row a pair of tokens."),
    Download("roles.csv", "Attention between roles, one row a pair of roles and a prompt."),
    Download("results.json", "Rollout and flow from the last token; what END looks at most."),
)


def run(
    model: str | Path | interp.HookedGPT2 = "mini",
    text: str = TEXT,
    *,
    heads: Sequence[str] | None = None,
    n: int = 50,
    seed: int = 0,
    out: str | Path | None = None,
    prompts: str | Path | None = None,
    device: str | None = None,
) -> Report:
    """Run the analysis.

    Args:
        model: a name or directory for `interp.load`, or a loaded model.
        text: what the model reads.
        heads: as "9.6", to show in detail; None for those that look most sharply.
        n: number of prompts of IOI for the means by role, at least 2; 0 leaves roles out.
        seed: of the prompts.
        out: folder for report.html and the files beside it; None writes nothing.
        prompts: a JSON file of templates, names and nouns; None for interp's own.
        device: where to run; None for where the model is.

    Returns:
        The report.

    Raises:
        ValueError: for a text or prompts that the model does not fit, heads that it has not, or a
            single prompt.
        OSError: when `out` cannot be written to; asked before any work.
    """
    if n < 0 or n == 1:
        raise ValueError(f"n must be at least 2 for an interval, or 0 for no roles; got {n}")
    folder = None if out is None else prepare(out)
    loaded = model if isinstance(model, interp.HookedGPT2) else interp.load(model)
    if device is not None:
        loaded.to(device)
    named = choices.heads(heads or (), loaded)
    task = ioi(loaded.tokenizer, n, seed=seed, prompts=prompts) if n else None
    patterns = attention_patterns(loaded, text)
    shown = named or sharpest_heads(patterns, SHOWN)
    weighted = value_weighted(patterns)
    rollout = attention_rollout(patterns).isel(query=-1)
    flow = attention_flow(patterns, queries=[-1], progress=bar("flow")).isel(query=0)
    between = None if task is None else attention_between(loaded, task, progress=bar("roles"))

    sections = [
        all_heads(patterns, weighted),
        detail(patterns, shown),
        through_layers(rollout, flow),
    ]
    numbers: dict[str, object] = {"rollout": _by_layer(rollout), "flow": _by_layer(flow)}
    sharpest = choices.names(sharpest_heads(patterns, SHOWN))
    n_tokens = patterns.sizes["key"]
    lead = (
        f"In this text of {n_tokens} tokens the heads of {loaded.name} that look most "
        f"sharply at one earlier token are {sharpest}."
        if n_tokens > 2
        else f"This text of {n_tokens} token{'s' if n_tokens > 1 else ''} is too short for a head "
        "to look at an earlier token that is not the first."
    )
    if between is not None:
        rows = looked_at_most(between)
        sections.append(by_role(between, shown, rows))
        numbers["END"] = [{**row, "attention": asdict(row["attention"])} for row in rows]
        most = max(rows, key=lambda row: row["attention"].mean)
        lead += (
            f" On prompts of IOI the look from END that is strongest is {most['head']}'s at "
            f"{most['role']}, {most['attention'].mean:.0%} of its attention."
        )
    origin = {"model": loaded.name, "text": text, "prompts": n, "seed": seed, **versions()}
    files = [file for file in DOWNLOADS if n or file.path != "roles.csv"]
    title = f"What the heads of {loaded.name} look at"
    report = Report(title, lead, sections, files if folder else (), origin)
    if folder is not None:
        AttentionView(patterns, title, head=shown[0]).save(folder / "attention.html")
        _pairs(patterns, weighted).to_csv(folder / "results.csv", index=False)
        if between is not None:
            between.to_series().to_csv(folder / "roles.csv")
        labels = [f"{layer}.{head}" for layer, head in shown]
        found = {**origin, "heads": labels, "tokens": patterns.key_token.values.tolist(), **numbers}
        document = json.dumps(found, indent=1, allow_nan=False)
        (folder / "results.json").write_text(document + "\n", encoding="utf-8")
        report.save(folder / "report.html")
    return report


def _by_layer(weights: xr.DataArray) -> list[list[float]]:
    return weights.transpose("layer", "key").values.tolist()


def _pairs(patterns: xr.DataArray, weighted: xr.DataArray) -> pd.DataFrame:
    """One row for each head and each pair of a token and one that it can attend to."""
    both = xr.Dataset({"attention": patterns, "value_weighted": weighted})
    table = both.drop_vars("value_norm").to_dataframe().reset_index()
    return table[table["key"] <= table["query"]]


def main(
    model: Model = "mini",
    text: Annotated[str, typer.Option(help="What the model reads.")] = TEXT,
    heads: Annotated[
        str | None, typer.Option(help="Heads to show in detail, such as 9.6,9.9.")
    ] = None,
    n: Annotated[int, typer.Option(help="Prompts of IOI for means by role; 0: none.", min=0)] = 50,
    seed: Seed = 0,
    out: Out = Path("out/attention"),
    prompts: Prompts = None,
    device: Device = None,
) -> None:
    """Where every head looks in a text: a page to look around in, and a report."""
    with plain_errors():
        report = run(
            model, text, heads=choices.words(heads), n=n, seed=seed, out=out, prompts=prompts,
            device=device,
        )  # fmt: skip
    show(report, out)


if __name__ == "__main__":
    typer.run(main)
