"""The Python of the pages runs as written, and their links lead somewhere.

Their commands are run, and their files checked, in tests/analyses/.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(path.stem for path in (ROOT / "docs").glob("*.md"))
WITHOUT_PYTHON = {"README", "ioi", "speed", "two_models"}


def blocks(page):
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def test_every_page_has_python_except_these():
    assert {page for page in PAGES if not blocks(page)} == WITHOUT_PYTHON


@pytest.mark.parametrize("page", [page for page in PAGES if page not in WITHOUT_PYTHON])
def test_python_runs(page):
    names: dict[str, object] = {}
    for block in blocks(page):
        exec(block, names)


@pytest.mark.parametrize(
    "page", [*(f"docs/{page}.md" for page in PAGES), "README.md", "CONTRIBUTING.md"]
)
def test_links_lead_somewhere(page):
    path = ROOT / page
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target
