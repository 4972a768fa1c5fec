"""Write docs/ioi.md: the paper's story, with the figures of a run of `interp ioi`.

The words come from `analyses.ioi.passages`, the numbers from the run: nothing in the tables is
written by hand. The run is resumed from its folder, so only what is missing there is measured.

    python -m analyses.ioi.story --run out/ioi --page docs/ioi.md
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from analyses import ioi
from analyses.common.shell import start
from analyses.common.verdicts import LEADS
from analyses.common.wording import minus
from analyses.ioi.analysis import PART_NAMES
from analyses.ioi.labels import LABELS
from analyses.ioi.passages import PASSAGES, Passage
from analyses.ioi.report import ALONE, BEHAVES
from analyses.ioi.size import PAPERS_SIZE, Size
from interp.circuits import published_circuit
from interp.circuits.published import IOI_FIGURES
from interp.metrics import BEHAVIOR, METRICS
from interp.report import Figure, Report, Section

SECTIONS = {"behavior": BEHAVES, "faithfulness": ALONE}
"""Part -> heading of the report's section that answers it, if it is not a part of `interp ioi`."""

NOT_RUN = "not run here"
GPT2 = "interp ioi --model gpt2 --n 100 --full --prompts FILE --out out/gpt2"
"""The command that fills the last column; FILE has the paper's templates, names and nouns."""


def run(folder: str | Path, page: str | Path = Path("docs/ioi.md")) -> str:
    """Write the story of a run.

    Args:
        folder: folder of a run of `interp ioi`; whatever is missing is measured
        page: the Markdown file; its pictures go to `images/` in the same folder

    Returns:
        The text of the page.

    Raises:
        ValueError: there is no run in the folder
    """
    folder, page = Path(folder), Path(page)
    written = folder / "results.json"
    if not written.exists():
        raise ValueError(
            f"{written} is not there; run `interp ioi --out {folder}` first, then this again"
        )
    about = json.loads(written.read_text(encoding="utf-8"))
    options = about["options"]
    report = ioi.run(
        options["model"],
        n=about["n"],
        seed=about["seed"],
        out=folder,
        prompts=options["prompts"],
        circuit=folder / "circuit.json" if options["given_circuit"] else None,
        threshold=options["threshold"],
        parts=options["parts"],
        size=Size(**options["size"]),
    )
    results = json.loads(written.read_text(encoding="utf-8"))
    images = page.parent / "images"
    images.mkdir(parents=True, exist_ok=True)
    shutil.copy(folder / "circuit.svg", images / "ioi_circuit.svg")
    text = story(results, report, images)
    page.write_text(text, encoding="utf-8")
    return text


def story(results: Mapping[str, Any], report: Report, images: Path) -> str:
    """Write the page.

    Args:
        results: the content of results.json
        report: the report of the same run
        images: folder for the pictures

    Returns:
        Markdown.
    """
    model = results["model"]
    parts = [_opening(results)]
    for i, passage in enumerate(PASSAGES):
        heading = SECTIONS.get(passage.part, passage.section) or results["parts"].get(
            passage.part, {}
        ).get("section", "")
        shown = [section for section in report.sections if section.heading == heading]
        parts.append(f"## {passage.title}\n\n{passage.words}")
        for figure, name in _figures(shown, passage.figures, f"ioi_{i + 1:02d}"):
            _write_image(figure.figure, images / name)
            parts.append(f"![{passage.title}](images/{name})\n\n*{figure.caption}*")
        parts += [f"**On `{model}`:** {_verdict(one)}" for one in shown if _verdict(one)]
        rows = rows_of(results, passage)
        if rows:
            parts.append(_table(rows, model))
    parts.append(_closing())
    return "\n\n".join(parts) + "\n"


def _opening(results: Mapping[str, Any]) -> str:
    model, circuit = results["model"], results["circuit"]
    heads = {(row["layer"], row["head"]) for row in circuit}
    ratio = results["faithfulness"]["ratio"]
    return f"""# How a GPT-2 tells who gets the drink

The story of Wang et al. 2022,
[Interpretability in the Wild](https://arxiv.org/abs/2211.00593), section by section, with figures
measured on `{model}`. The page is written by `python -m analyses.ioi.story` from a run of

```sh
{_command(results)}
```

and has the paper's figures for GPT-2 small beside it. `{model}` is another model: its figures need
not agree with the paper's, and where they differ its circuit does. The real GPT-2 small could not
be run where this was written; with a network, this fills the last column and judges every figure:

```sh
{GPT2}
```

![The circuit](images/ioi_circuit.svg)

*The circuit that was evaluated: {len(heads)} heads, which alone keep {_estimate(ratio)} of the
logit difference.*"""


def _verdict(section: Section) -> str:
    """The answer with which a section begins, if it begins with one."""
    first = section.text.split("\n\n")[0]
    return first if first.startswith(tuple(LEADS.values())) else ""


def _command(results: Mapping[str, Any]) -> str:
    """The shell command of the run."""
    options = results["options"]
    words = f"interp ioi --model {options['model']} --n {results['n']} --seed {results['seed']}"
    words += f" --threshold {options['threshold']:g}" if options["threshold"] != 0.02 else ""
    words += " --prompts FILE" if options["prompts"] else ""
    words += " --circuit FILE" if options["given_circuit"] else ""
    words += " --full" if Size(**options["size"]) == PAPERS_SIZE else ""
    if options["parts"] != list(PART_NAMES):
        words += f" --parts {','.join(options['parts'])}" if options["parts"] else " --quick"
    return f"{words} --out out/ioi"


def _closing() -> str:
    heads = ", ".join(
        f"{kind} {' '.join(h.label for h in published_circuit('ioi', 'gpt2').heads_of(kind))}"
        for kind in dict.fromkeys(h.kind for h in published_circuit("ioi", "gpt2").heads)
    )
    return f"""## The paper's circuit

26 heads of GPT-2 small: {heads}. `interp.circuits.published_circuit("ioi", "gpt2")` has them.

Each part alone, what it is made of, and where it departs from the paper:
[the parts of the IOI analysis](ioi_parts.md). The procedure on models whose circuit is known,
because their weights were set by hand: [known circuits](known_circuits.md)."""


def rows_of(results: Mapping[str, Any], passage: Passage) -> list[tuple[str, str, str, str]]:
    """Look up the figures of a passage.

    Args:
        results: the content of results.json
        passage: the passage

    Returns:
        Key, label, value and unit of each figure, those that only the paper has at the end.
    """
    part = passage.part
    if part == "behavior":
        names = {"probability": "io_probability"}  # the key of the paper's figure
        found = {
            names.get(key, key): (LABELS[key], results["behavior"][key], METRICS[key])
            for key in LABELS
        }
    elif part == "faithfulness":
        faithful = results["faithfulness"]
        found = {
            "F_M": ("F(M), the whole model", faithful["F_M"], "logits"),
            "F_C": ("F(C), the circuit alone", faithful["F_C"], "logits"),
            "faithfulness": ("F(C) / F(M)", faithful["ratio"], "fraction"),
        }
        for key in BEHAVIOR[1:]:
            for run, name in (("F_M", "whole model"), ("F_C", "circuit alone")):
                label = f"{LABELS[key]}, {name}"
                found[f"{run}_{key}"] = (label, faithful[key][run], METRICS[key])
    else:
        figures = results["parts"].get(part, {}).get("figures", {})
        found = {key: (one["label"], one, one["unit"]) for key, one in figures.items()}
    known = {figure.key: figure.label for figure in IOI_FIGURES}
    papers = [
        (figure.key, figure.label, "\N{EN DASH}", figure.unit)
        for figure in IOI_FIGURES
        if passage.keys and figure.key.startswith(passage.keys) and figure.key not in found
    ]
    return [
        (key, known.get(key, label), _estimate(one), unit)
        for key, (label, one, unit) in found.items()
    ] + papers


def _table(rows: Sequence[tuple[str, str, str, str]], model: str) -> str:
    paper = {figure.key: minus(f"{figure.value:g} ({figure.source})") for figure in IOI_FIGURES}
    lines = [
        f"| figure | {model} [95 % interval] | the paper, GPT-2 small | GPT-2 small here |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {label}, {unit} | {value} | {paper.get(key, '')} | {NOT_RUN if key in paper else ''} |"
        for key, label, value, unit in rows
    ]
    return "\n".join(lines)


def _estimate(one: Mapping[str, float | None]) -> str:
    """Mean [low, high], with real minus signs."""
    mean, low, high = (
        "unbounded" if one[key] is None else f"{one[key]:.3f}" for key in ("mean", "low", "high")
    )
    return minus(f"{mean} [{low}, {high}]")


def _figures(
    sections: Sequence[Section], chosen: Sequence[int], name: str
) -> list[tuple[Figure, str]]:
    """The chosen figures of the sections, with file names."""
    there = [item for section in sections for item in section.items if isinstance(item, Figure)]
    return [(there[i], f"{name}_{i}.png") for i in chosen if i < len(there)]


def _write_image(figure: Any, path: Path) -> None:
    figure.write_image(path, width=860, scale=1.5)


def main(
    folder: Annotated[Path, typer.Option("--run", help="Folder of a run of `interp ioi`.")] = Path(
        "out/ioi"
    ),
    page: Annotated[Path, typer.Option(help="The Markdown file to write.")] = Path("docs/ioi.md"),
) -> None:
    """Write docs/ioi.md from a run of `interp ioi`."""
    run(folder, page)
    typer.echo(f"wrote {page}")


if __name__ == "__main__":
    start(main)
