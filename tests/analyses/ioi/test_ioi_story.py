"""The story of the IOI paper: its numbers are the run's, and the paper's stand beside them."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from analyses.ioi import story as ioi_story
from analyses.ioi.analysis import PART_NAMES
from analyses.ioi.passages import PASSAGES
from analyses.ioi.size import PAPERS_SIZE, Size
from interp.circuits import published_circuit
from interp.circuits.published import IOI_FIGURES
from interp.metrics import BEHAVIOR
from interp.report import Report, Section

ONE = {"mean": -1.25, "low": -2.0, "high": None}
RESULTS = {
    "model": "some-model",
    "n": 12,
    "seed": 3,
    "options": {
        "model": "some-model",
        "prompts": "own.json",
        "given_circuit": True,
        "threshold": 0.1,
        "parts": ["mlps"],
        "size": asdict(PAPERS_SIZE),
    },
    "behavior": dict.fromkeys(("accuracy", *BEHAVIOR), ONE),
    "faithfulness": {
        **dict.fromkeys(("F_M", "F_C", "ratio"), ONE),
        **{key: {"F_M": ONE, "F_C": ONE} for key in BEHAVIOR},
    },
    "circuit": [{"layer": 1, "head": 2, "class": "name mover", "position": "END"}],
    "parts": {
        "mlps": {"section": "MLPs", "figures": {"own": {"label": "Ours", "unit": "logits", **ONE}}}
    },
}


@pytest.fixture(scope="module")
def page() -> str:
    return ioi_story.story(RESULTS, Report("", "", ()), Path("nowhere"))


def test_every_chapter_is_there_and_the_numbers_are_those_of_the_run(page: str) -> None:
    headings = re.findall(r"^## (.*)$", page, re.M)
    assert headings[:-1] == [passage.title for passage in PASSAGES]
    assert page.count("\N{MINUS SIGN}1.250 [\N{MINUS SIGN}2.000, unbounded]") == 1 + 7 + 3 + 10 + 1
    assert (
        "interp ioi --model some-model --n 12 --seed 3 --threshold 0.1 --prompts FILE "
        "--circuit FILE --full --parts mlps --out out/ioi\n" in page
    )


def test_the_papers_figures_stand_beside_and_say_that_gpt2_was_not_run(page: str) -> None:
    paper = {figure.key: figure for figure in IOI_FIGURES}
    row = next(line for line in page.splitlines() if paper["logit_diff"].label in line)
    assert "3.56 (section 2) | not run here |" in row
    own = next(line for line in page.splitlines() if line.startswith("| Ours, logits"))
    assert own.endswith("|  |  |")
    assert ioi_story.GPT2 in page


def test_all_of_the_papers_figures_are_in_one_table_each(page: str) -> None:
    for figure in IOI_FIGURES:
        of = [c for c in PASSAGES if c.keys and figure.key.startswith(c.keys)]
        assert len(of) == 1, figure.key
        (row,) = [
            line
            for line in page.splitlines()
            if line.startswith(f"| {figure.label}, {figure.unit} |")
        ]
        assert ioi_story.NOT_RUN in row
    assert "| F(C without induction), logits | \N{EN DASH} | 1.035 (run data) |" in page


def test_what_a_circuit_lacks_is_said() -> None:
    section = Section("MLPs", "Not measured: the circuit has no heads.", [])
    page = ioi_story.story(RESULTS, Report("", "", [section]), Path("nowhere"))
    assert "*On `some-model` not measured: the circuit has no heads.*" in page


def test_every_part_of_the_analysis_is_told() -> None:
    chapters = {passage.part for passage in PASSAGES}
    assert set(PART_NAMES) - chapters <= {"derivation"}


def test_a_usual_run_is_asked_for_in_few_words() -> None:
    usual = {"prompts": None, "given_circuit": False, "threshold": 0.02, "size": asdict(Size())}
    options = {**usual, "model": "mini", "parts": list(PART_NAMES)}
    results = {"n": 200, "seed": 0, "options": options}
    command = "interp ioi --model mini --n 200 --seed 0 --out out/ioi"
    assert ioi_story._command(results) == command
    options["parts"] = []
    assert ioi_story._command(results) == command.replace(" --out", " --quick --out")


def test_a_folder_without_a_run_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="run `interp ioi --out"):
        ioi_story.run(tmp_path)


def test_the_page_in_docs_is_of_this_story() -> None:
    page = (Path(__file__).parents[3] / "docs" / "ioi.md").read_text(encoding="utf-8")
    for passage in PASSAGES:
        assert f"## {passage.title}\n\n{passage.words}" in page
    for image in re.findall(r"\((images/[^)]*)\)", page):
        assert (Path(__file__).parents[3] / "docs" / image).exists()


def test_the_run_is_read_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, asked = tmp_path / "run", {}
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps(RESULTS), encoding="utf-8")
    circuit = published_circuit("ioi", "gpt2").to_json()
    (folder / "circuit.json").write_text(circuit, encoding="utf-8")
    (folder / "circuit.svg").write_text("<svg/>", encoding="utf-8")

    def again(model: str, **options: object) -> Report:
        asked.update(options, model=model)
        return Report("", "", ())

    monkeypatch.setattr(ioi_story.ioi, "run", again)
    text = ioi_story.run(folder, tmp_path / "docs" / "ioi.md")
    assert asked == {
        "model": "some-model",
        "n": 12,
        "seed": 3,
        "out": folder,
        "prompts": "own.json",
        "circuit": folder / "circuit.json",
        "threshold": 0.1,
        "parts": ["mlps"],
        "size": PAPERS_SIZE,
    }
    assert (tmp_path / "docs" / "ioi.md").read_text(encoding="utf-8") == text
    assert (tmp_path / "docs" / "images" / "ioi_circuit.svg").exists()
