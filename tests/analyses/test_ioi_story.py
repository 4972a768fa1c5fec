"""The story of the IOI paper: its numbers are the run's, and the paper's stand beside them."""

import json
import re
from pathlib import Path

import pytest

from analyses import ioi_story
from interp.circuits import IOI_FIGURES
from interp.report import Report

ONE = {"mean": -1.25, "low": -2.0, "high": None}
RESULTS = {
    "model": "some-model",
    "n": 12,
    "seed": 3,
    "behaviour": dict.fromkeys(("logit_diff", "accuracy", "io_probability"), ONE),
    "faithfulness": dict.fromkeys(("F_M", "F_C", "ratio"), ONE),
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
    assert headings[:-1] == [chapter.title for chapter in ioi_story.CHAPTERS]
    assert page.count("\N{MINUS SIGN}1.250 [\N{MINUS SIGN}2.000, unbounded]") == 1 + 3 + 3 + 1
    assert "--model some-model --n 12 --seed 3" in page


def test_the_papers_figures_stand_beside_and_say_that_gpt2_was_not_run(page: str) -> None:
    paper = {figure.key: figure for figure in IOI_FIGURES}
    row = next(line for line in page.splitlines() if paper["logit_diff"].label in line)
    assert "3.56 (section 2) | not run here |" in row
    own = next(line for line in page.splitlines() if line.startswith("| Ours, logits"))
    assert own.endswith("|  |  |")
    assert ioi_story.GPT2 in page


def test_every_part_of_the_analysis_is_told() -> None:
    told = {chapter.part for chapter in ioi_story.CHAPTERS}
    assert set(ioi_story.ioi.PARTS) - told <= {"derivation"}


def test_a_folder_without_a_run_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="run `interp ioi --out"):
        ioi_story.run(tmp_path)


def test_the_page_in_docs_is_of_this_story() -> None:
    page = (Path(__file__).parents[2] / "docs" / "ioi.md").read_text(encoding="utf-8")
    for chapter in ioi_story.CHAPTERS:
        assert f"## {chapter.title}\n\n{chapter.words}" in page
    for image in re.findall(r"\((images/[^)]*)\)", page):
        assert (Path(__file__).parents[2] / "docs" / image).exists()


def test_the_run_is_read_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, asked = tmp_path / "run", {}
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps(RESULTS), encoding="utf-8")
    (folder / "circuit.svg").write_text("<svg/>", encoding="utf-8")

    def again(model: str, **options: object) -> Report:
        asked.update(options, model=model)
        return Report("", "", ())

    monkeypatch.setattr(ioi_story.ioi, "run", again)
    text = ioi_story.run(folder, tmp_path / "docs" / "ioi.md")
    assert asked == {"model": "some-model", "n": 12, "seed": 3, "out": folder}
    assert (tmp_path / "docs" / "ioi.md").read_text(encoding="utf-8") == text
    assert (tmp_path / "docs" / "images" / "ioi_circuit.svg").exists()
