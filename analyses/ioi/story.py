"""docs/ioi.md: the paper's story, chapters with the figures of a run of `interp ioi`.

The words are here, the numbers are those of the run: nothing in the tables is written by hand. The
run is taken up from its folder, so that only what is missing there is measured.

    python -m analyses.ioi.story --run out/ioi --page docs/ioi.md
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import plotly.graph_objects as go
import typer

from analyses import ioi
from analyses.common.shell import plain_errors
from analyses.common.wording import minus
from analyses.ioi.parts import PARTS, Size
from analyses.ioi.parts.setting import PAPERS_SIZE
from interp.circuits import IOI_FIGURES, Circuit, published
from interp.report import Figure, Report, Section

NOT_RUN = "not run here"
GPT2 = "interp ioi --model gpt2 --n 100 --full --prompts FILE --out out/gpt2"
"""What fills the last column: FILE has the paper's templates, names and nouns."""


@dataclass(frozen=True)
class Chapter:
    """A section of the story.

    Args:
        title: its heading.
        words: what the paper asks, does and finds; no number of ours.
        part: of `interp ioi`, or a name of `_own`, whose figures stand in the table.
        section: heading of the report's section whose figures are shown; "" for that of the part.
        figures: which of them, by index.
        keys: how the keys of the paper's figures begin that are of this chapter; those that were
            not measured stand in the table too.
    """

    title: str
    words: str
    part: str
    section: str = ""
    figures: tuple[int, ...] = ()
    keys: tuple[str, ...] = ()


CHAPTERS = (
    Chapter(
        "The task",
        "A sentence names two people, then one of them again, who gives something away: *When Mary "
        "and John went to the store, John gave a drink to …*. The one who was named once, the "
        "indirect object IO, is right; the one who was named twice, the subject S, is wrong. Three "
        "steps solve it: find all names, strike out the one that came twice, say the other. The "
        "measure is the logit difference, IO minus S, at the last token, END (section 2).",
        "behaviour",
        keys=("logit_diff", "accuracy", "io_probability"),
    ),
    Chapter(
        "Who writes the answer",
        "Take the output of one head from a run on the ABC partner, the same sentence with three "
        "fresh names, and let it go to the logits alone: other heads stay as they were, MLPs and "
        "layer norms are computed anew. If the logit difference falls, the head wrote the answer. "
        "In GPT-2 small three heads stand out, 9.9, 9.6 and 10.0, and two write against it, 10.7 "
        "and 11.10 (section 3.1).",
        "",
        "Which heads write the answer",
        (0,),
    ),
    Chapter(
        "Name movers copy what they look at",
        "Such a head should look from END to IO, and write the more of a name the more it looks at "
        "it. What it would write if it looked at a name alone, its OV circuit, should be that very "
        "name. The paper finds both: correlations above 0.81, copy scores over 95 % (section 3.1). "
        "A model may also fetch the name before END and carry it along; then its heads at END look "
        "at the carrying token, not at IO.",
        "name-movers",
        figures=(0,),
        keys=("attention_io", "correlation", "copy_", "anti_copy_"),
    ),
    Chapter(
        "What tells them where to look",
        "The same question one step earlier: which heads change the answer by way of the name "
        "movers' queries? In GPT-2 small 7.3, 7.9, 8.6 and 8.10 do. They look from END to S2 and "
        "make the name movers look away from S: S-inhibition (section 3.2).",
        "s-inhibition",
        figures=(0,),
        keys=("attention_s2",),
    ),
    Chapter(
        "Which name, and where it stood",
        "S-inhibition could say which name to avoid, or which place. Six texts, whose names or "
        "order are changed so that one signal, both or none is turned round, tell them apart. In "
        "GPT-2 small the place says more than the name: the fit is 2.31 for the position and 0.99 "
        "for the token (appendix A). The place comes from duplicate-token and induction heads: "
        "their outputs from texts with another place lose at least 88 % of what S-inhibition's do, "
        "those with another name less than 8 % (section 3.3).",
        "signals",
        figures=(0,),
        keys=("signal_", "located_"),
    ),
    Chapter(
        "How the second mention is noticed",
        "S-inhibition reads, at S2, what duplicate-token heads (which look from S2 to S1) and "
        "induction heads (which look from S2 to S1+1) wrote there; the induction heads need "
        "previous-token heads, which write S1 into S1+1 (section 3.3). By way of the keys of "
        "S-inhibition three more show, which look less sharply: 0.10, 5.8 and 5.9 (appendix C).",
        "early-heads",
    ),
    Chapter(
        "The same heads on random tokens",
        "If these are duplicate-token, induction and previous-token heads, they should be so on "
        "text that has nothing to do with names: on random tokens that repeat (section 3.3). "
        "Induction heads should there also write what came next; in GPT-2 small 5.5 and 6.9 are "
        "among the 20 heads that do so most (appendix H).",
        "random-tokens",
    ),
    Chapter(
        "Backups",
        "Knock out the name movers, and GPT-2 small loses 5 % of the logit difference and no more: "
        "others, silent before, take over. They are part of the circuit that no test of single "
        "heads can find (section 3.4). Four of the eight look at IO as name movers do, two at both "
        "names alike, one at S1, one at S2 (appendix F).",
        "backups",
        figures=(0,),
        keys=("without_name_movers",),
    ),
    Chapter(
        "MLPs",
        "In GPT-2 small no MLP but the first matters alone; without it S comes out above IO, and "
        "so it does without all others together (appendix J).",
        "mlps",
        keys=("without_mlps",),
    ),
    Chapter(
        "Is the circuit enough?",
        "Faithfulness: set every head outside the circuit, at every position, to its mean over the "
        "ABC partners of the same template and order; keep each head of the circuit at its own "
        "position. GPT-2 small keeps 87 % of its logit difference with 26 of its 144 heads "
        "(section 4).",
        "faithfulness",
        keys=("faithfulness",),
    ),
    Chapter(
        "Is it all of it?",
        "Completeness: take a set K out of the circuit and out of the model. If the circuit is all "
        "there is, the two break alike. Classes of heads, random sets, and sets that a greedy "
        "search chose to tell the two apart (section 4.1).",
        "completeness",
        figures=(0,),
        keys=("circuit_without_", "full_without_", "naive_", "gap_"),
    ),
    Chapter(
        "Is there too much in it?",
        "Minimality: for every head there should be a set K without which the head matters. The "
        "paper finds at least 1 % of F(M) for each (section 4.2).",
        "minimality",
        figures=(0,),
        keys=("minimality",),
    ),
    Chapter(
        "Prompts that mislead",
        "If the model strikes out whoever came twice, then naming IO once more should mislead it, "
        "and naming S once more should not. So it is: GPT-2 small prefers S in 23.4 % of the first "
        "and 0.4 % of the second, beside 0.7 % of plain prompts; the logit differences are "
        "1.23, 3.64 and 3.55 (section 4.4).",
        "adversarial",
        keys=("adversarial_",),
    ),
)


def run(folder: str | Path, page: str | Path = Path("docs/ioi.md")) -> str:
    """Write the story of a run.

    Args:
        folder: of a run of `interp ioi`; what it lacks is measured.
        page: the Markdown file; its pictures go to `images/` beside it.

    Returns:
        The text of the page.

    Raises:
        FileNotFoundError: there is no run in the folder.
    """
    folder, page = Path(folder), Path(page)
    written = folder / "results.json"
    if not written.exists():
        raise FileNotFoundError(
            f"{written} is not there; run `interp ioi --out {folder}` first, then this again"
        )
    about = json.loads(written.read_text(encoding="utf-8"))
    options = about["options"]
    given = (folder / "circuit.json").read_text(encoding="utf-8")
    report = ioi.run(
        options["model"],
        n=about["n"],
        seed=about["seed"],
        out=folder,
        prompts=options["prompts"],
        circuit=Circuit.from_json(given) if options["given_circuit"] else None,
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
    """The page.

    Args:
        results: of results.json.
        report: of the same run.
        images: folder for the pictures.

    Returns:
        Markdown.
    """
    model = results["model"]
    parts = [_opening(results)]
    for i, chapter in enumerate(CHAPTERS):
        heading = chapter.section or results["parts"].get(chapter.part, {}).get("section", "")
        shown = [section for section in report.sections if section.heading == heading]
        parts.append(f"## {chapter.title}\n\n{chapter.words}")
        for figure, name in _figures(shown, chapter.figures, f"ioi_{i + 1:02d}"):
            _write_image(figure.figure, images / name)
            parts.append(f"![{chapter.title}](images/{name})\n\n*{figure.caption}*")
        lacking = [one.text for one in shown if one.text.startswith("Not measured")]
        parts += [f"*On `{model}` {text[0].lower()}{text[1:]}*" for text in lacking]
        rows = _rows(results, chapter)
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


def _command(results: Mapping[str, Any]) -> str:
    """The run, as it is asked for in a shell."""
    options = results["options"]
    words = f"interp ioi --model {options['model']} --n {results['n']} --seed {results['seed']}"
    words += f" --threshold {options['threshold']:g}" if options["threshold"] != 0.02 else ""
    words += " --prompts FILE" if options["prompts"] else ""
    words += " --circuit FILE" if options["given_circuit"] else ""
    words += " --full" if Size(**options["size"]) == PAPERS_SIZE else ""
    if options["parts"] != list(PARTS):
        words += f" --parts {','.join(options['parts'])}" if options["parts"] else " --quick"
    return f"{words} --out out/ioi"


def _closing() -> str:
    heads = ", ".join(
        f"{kind} {' '.join(h.label for h in published('ioi', 'gpt2').heads_of(kind))}"
        for kind in dict.fromkeys(h.kind for h in published("ioi", "gpt2").heads)
    )
    return f"""## The paper's circuit

26 heads of GPT-2 small: {heads}. `interp.circuits.published("ioi", "gpt2")` has them.

Each part alone, what it is made of, and where it departs from the paper:
[the parts of the IOI analysis](ioi_parts.md). The procedure on models whose circuit is known,
because their weights were set by hand: [known circuits](known_circuits.md)."""


def _rows(results: Mapping[str, Any], chapter: Chapter) -> list[tuple[str, str, str, str]]:
    """Key, label, value and unit of the figures of a chapter, the paper's own at the end."""
    part = chapter.part
    if part == "behaviour":
        labels = {"logit_diff": "logits", "accuracy": "fraction", "io_probability": "probability"}
        found = {key: (key, results["behaviour"][key], unit) for key, unit in labels.items()}
    elif part == "faithfulness":
        faithful = results["faithfulness"]
        found = {
            "F_M": ("F(M), the whole model", faithful["F_M"], "logits"),
            "F_C": ("F(C), the circuit alone", faithful["F_C"], "logits"),
            "faithfulness": ("F(C) / F(M)", faithful["ratio"], "fraction"),
        }
    else:
        figures = results["parts"].get(part, {}).get("figures", {})
        found = {key: (one["label"], one, one["unit"]) for key, one in figures.items()}
    known = {figure.key: figure.label for figure in IOI_FIGURES}
    papers = [
        (figure.key, figure.label, "\N{EN DASH}", figure.unit)
        for figure in IOI_FIGURES
        if chapter.keys and figure.key.startswith(chapter.keys) and figure.key not in found
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


def _write_image(figure: go.Figure, path: Path) -> None:
    figure.write_image(path, width=860, scale=1.5)


def main(
    folder: Annotated[Path, typer.Option("--run", help="Folder of a run of `interp ioi`.")] = Path(
        "out/ioi"
    ),
    page: Annotated[Path, typer.Option(help="The Markdown file to write.")] = Path("docs/ioi.md"),
) -> None:
    """Write docs/ioi.md from a run of `interp ioi`."""
    with plain_errors():
        run(folder, page)
    typer.echo(f"wrote {page}")


if __name__ == "__main__":
    typer.run(main)
