"""Logit lens: what would a GPT-2 predict if it stopped after each of its layers?

A text is read at every layer and token: which word would come next, and how certain the model is
already. On IOI prompts, the lens at the last token shows in which layer the answer overtakes the
other name, and what attention and MLPs add in each layer.

    interp logit-lens --text "Mary and John met at the market" --out out/logit_lens

Source: nostalgebraist 2020, "interpreting GPT: the logit lens"; Belrose et al. 2023 (arXiv
2303.08112) for the tuned lens, which `--tuned` takes.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Unpack

import typer

import interp
from analyses.common.choices import (
    among,
    require_device,
    require_lens,
    require_model,
)
from analyses.common.opening import open_model
from analyses.common.prompts import Given, asked_for
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
from analyses.logit_lens_report import HEADINGS, of_task, of_text, overtakes, settled
from interp.report import Download, Report

if TYPE_CHECKING:
    import xarray as xr

TEXT = "Yesterday Mary and John met at the market, and John handed a book to"
STREAM_SITES = ("resid_pre", "resid_mid", "resid_post")
READ = ("resid_mid", "resid_post", "attn_out", "mlp_out")
MEASURES = tuple(HEADINGS)
DOWNLOADS = (
    Download("text.csv", "The first choices at every layer and token of the text."),
    Download("results.json", "Means over prompts with 95 % intervals, layer by layer."),
)
PROMPTS = Download(
    "ioi.csv", "What the lens reads at the last token, one row per layer and prompt."
)


def run(
    model: str | Path | interp.HookedGPT2 = "mini",
    text: str = TEXT,
    *,
    site: str = "resid_post",
    tuned: str | Path | None = None,
    k: int = 5,
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
        site: "resid_pre", "resid_mid" or "resid_post": where the text is read in each layer
        tuned: path of a tuned lens for `TunedLens.load`, with which to read the text too
        k: number of most probable tokens to keep at each token
        n: number of prompts, at least 2; None for 50, or for all rows of a file; 0 leaves them out
        seed: seed of the prompts
        out: folder for report.html and its files; None writes nothing
        prompts: a JSON file of templates, names and nouns; None for interp's own
        device: where to run; None for where the model is
        given: the prompts, if they are not IOI's: `task`, `csv`, `json`, `roles`; see
            `analyses.common.prompts.Given`

    Returns:
        The report.

    Raises:
        ValueError: the site is not a stream, the lens belongs to another model, the text is empty
            or longer than the context, n is 1, or the model does not fit the prompts
        OSError: `out` cannot be written to
    """
    among("site", [site], STREAM_SITES)
    asked = asked_for(given, n, default_n=50, seed=seed, prompts=prompts, none=True)
    if k < 1:
        raise ValueError(f"k must be at least 1 first choice, got {k}")
    require_model(model)
    require_device(device)
    require_lens(tuned)
    folder = prepare(out)
    loaded = open_model(model, device)
    lens = None if tuned is None else interp.lens.TunedLens.load(tuned)
    task = asked.prompts(loaded) if asked else None
    readings = {"Logit lens": interp.lens.logit_lens(loaded, text, site=site, k=k)}
    if lens is not None:
        readings["Tuned lens"] = interp.lens.logit_lens(loaded, text, site=site, k=k, tuned=lens)
    lead = settled(loaded, readings["Logit lens"])
    sections = [of_text(name, reading) for name, reading in readings.items()]
    numbers: dict[str, Any] = {}
    if task is not None and asked is not None:
        found = {
            where: interp.lens.logit_lens(loaded, task, site=where, k=1, progress=bar(where))
            for where in READ
        }
        means = {
            where: {name: interp.patching.mean_over_prompts(reading[name]) for name in MEASURES}
            for where, reading in found.items()
        }
        sections.append(of_task(task, means, asked.about))
        numbers = {where: _plain(of) for where, of in means.items()}
        lead += overtakes(means["resid_post"]["logit_diff"], asked.about)
    lead += unknown_words(loaded, text)
    count, key = (len(task), "ioi" if asked and asked.is_ioi else "task") if task else (0, "")
    origin = {"model": loaded.name, "text": text, "site": site, "prompts": count, "seed": seed}
    files = [DOWNLOADS[0], *((replace(PROMPTS, path=f"{key}.csv"), DOWNLOADS[1]) if task else ())]
    title = f"What {loaded.name} would say at each layer"
    report = Report(
        title, lead, sections, files if folder else (), origin | interp.results.versions()
    )
    if folder is not None:
        import pandas as pd

        tables = [
            reading.to_dataframe().reset_index().assign(lens=name)
            for name, reading in readings.items()
        ]
        pd.concat(tables).to_csv(folder / "text.csv", index=False)
        if task is not None:
            every = [
                reading[[*MEASURES]].to_dataframe().reset_index().assign(site=where)
                for where, reading in found.items()
            ]
            pd.concat(every).to_csv(folder / f"{key}.csv", index=False)
            document = json.dumps(origin | interp.results.versions() | {key: numbers}, indent=1)
            (folder / "results.json").write_text(document + "\n", encoding="utf-8")
        report.save(folder / "report.html")
    return report


def _plain(means: dict[str, xr.Dataset]) -> dict[str, dict[str, list[float]]]:
    return {
        name: {bound: of[bound].values.tolist() for bound in ("mean", "low", "high")}
        for name, of in means.items()
    }


def main(
    model: Model = "mini",
    text: Annotated[str, typer.Option(help="What the model reads.")] = TEXT,
    site: Annotated[str, typer.Option(help=f"One of {', '.join(STREAM_SITES)}.")] = "resid_post",
    tuned: Annotated[Path | None, typer.Option(help="A tuned lens, as saved.")] = None,
    k: Annotated[int, typer.Option(help="First choices to keep.", min=1)] = 5,
    n: Annotated[
        int | None,
        typer.Option(help="Prompts; by default 50, or all rows of a file; 0 for none.", min=0),
    ] = None,
    seed: Seed = 0,
    out: Out = Path("out/logit_lens"),
    prompts: PromptsFile = None,
    device: Device = None,
    **given: Unpack[Given],
) -> None:
    """What the model would predict at each layer, for a text and for prompts with an answer."""
    report = run(
        model, text, site=site, tuned=tuned, k=k, n=n, seed=seed, out=out, prompts=prompts,
        device=device, **given,
    )  # fmt: skip
    show(report, out)


if __name__ == "__main__":
    start(main)
