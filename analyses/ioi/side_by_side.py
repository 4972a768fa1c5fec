"""Write docs/two_models.md: one behavior, two mechanisms, and how the toolkit tells them apart.

`mini` and `mini-ioi` both name the indirect object. The page sets the figures of a run of `interp
ioi` on each beside the paper's; every number comes from the runs' files.

    interp ioi --model mini --out out/ioi-mini
    interp ioi --out out/ioi
    python -m analyses.ioi.side_by_side --runs out/ioi-mini,out/ioi --page docs/two_models.md
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from analyses.common.choices import words
from analyses.common.shell import start
from analyses.common.wording import minus
from analyses.ioi.passages import PASSAGES
from analyses.ioi.story import rows_of
from interp.circuits import Circuit
from interp.circuits.classes import CLASSES
from interp.circuits.published import IOI_FIGURES
from interp.parts import as_head

MISSING = "\N{EN DASH}"


def run(runs: Sequence[str | Path], page: str | Path = Path("docs/two_models.md")) -> str:
    """Write the page.

    Args:
        runs: folders of runs of `interp ioi`, one for each model
        page: the Markdown file

    Returns:
        The text of the page.

    Raises:
        ValueError: a folder has no run
    """
    folders = [Path(folder) for folder in runs]
    for folder in folders:
        if not (folder / "results.json").exists():
            raise ValueError(
                f"{folder / 'results.json'} is not there; run `interp ioi --out {folder}` first"
            )
    found = [json.loads((folder / "results.json").read_text("utf-8")) for folder in folders]
    circuits = [Circuit.load(folder / "circuit.json") for folder in folders]
    text = "\n\n".join(
        [_OPENING, classes_table(circuits), _TELLING, figures_table(found), _CLOSING]
    )
    Path(page).write_text(text + "\n", encoding="utf-8")
    return text


def classes_table(circuits: Sequence[Circuit]) -> str:
    """The heads of each circuit by class and role.

    Args:
        circuits: the circuits

    Returns:
        A Markdown table, a column for each circuit.
    """
    rows = []
    for kind in CLASSES:
        cells = []
        for circuit in circuits:
            by_role: dict[str, list[str]] = {}
            for member in circuit.heads_of(kind):
                layer, head = as_head(member.part)
                by_role.setdefault(str(member.role), []).append(f"{layer}.{head}")
            cells.append(
                "; ".join(f"{' '.join(heads)} at {role}" for role, heads in by_role.items())
            )
        if any(cells):
            rows.append([f"{kind}: {CLASSES[kind]}", *(cell or MISSING for cell in cells)])
    return _markdown(["class", *(circuit.model for circuit in circuits)], rows)


def figures_table(found: Sequence[Mapping[str, Any]]) -> str:
    """Every figure of the runs, side by side.

    Args:
        found: the contents of their results.json

    Returns:
        A Markdown table, a column for each run and one for the paper.
    """
    paper = {figure.key: minus(f"{figure.value:g}") for figure in IOI_FIGURES}
    rows = []
    for passage in PASSAGES:
        of = [{row[0]: row for row in rows_of(one, passage)} for one in found]
        for key in dict.fromkeys(key for one in of for key in one):
            _, label, _, unit = next(one[key] for one in of if key in one)
            cells = [one[key][2] if key in one else MISSING for one in of]
            if set(cells) != {MISSING}:
                rows.append([f"{label}, {unit}", *cells, paper.get(key, "")])
    return _markdown(["figure", *(one["model"] for one in found), "GPT-2 small (paper)"], rows)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


_OPENING = """# One behavior, two mechanisms

`mini` and `mini-ioi` are bundled with the toolkit. Both are GPT-2s of the same shape with the same
tokenizer, and both say *Mary* after *When Mary and John went to the store, John gave a drink to*.
`mini` learned it from text, by next-token loss. `mini-ioi` was trained on from there so that heads
of it do what Wang et al. 2022 describe ([how](../interp/assets/mini-ioi/README.md)): its mechanism
was put there, and is known.

Behavior cannot tell them apart. What follows does; it is written by
`python -m analyses.ioi.side_by_side` from the runs named in that file.

## The circuits that were found

Each by the same derivation, without being told what to look for."""

_TELLING = """## How to tell them apart

1. **What does a head write, for which name?** The logit difference alone calls a head that writes
   for IO and one that writes against S the same. The direct effect on the two logits apart, against
   the mean of the other names, does not.
2. **By way of what does a head act?** In the paper's circuit, S-inhibition heads change where the
   name movers look. Patch their output along the path into the name movers' queries alone: if the
   name movers' attention moves from IO to S, the effect goes by that way. If it stays, and the
   logit of S rises all the same, the head writes against S itself.
3. **Where do the name movers look?** A name mover that is told where to look attends to IO; one
   that is not attends to both names alike, and something else must take S away again.

## All figures

With 95 % intervals; a dash where a circuit has no heads to measure it on."""

_CLOSING = """The paper's figures are those of GPT-2 small, with their sections in
[the story of the paper](ioi.md)."""


def main(
    runs: Annotated[str, typer.Option(help="Folders of runs of `interp ioi`, with commas.")] = (
        "out/ioi-mini,out/ioi"
    ),
    page: Annotated[Path, typer.Option(help="The Markdown file to write.")] = Path(
        "docs/two_models.md"
    ),
) -> None:
    """Write docs/two_models.md from two runs of `interp ioi`."""
    run(words(runs, "folder") or [], page)
    typer.echo(f"wrote {page}")


if __name__ == "__main__":
    start(main)
