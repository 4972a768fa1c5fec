"""The Python of the pages on techniques runs as written.

Their commands are run, and their files checked, in tests/analyses/.
"""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [
    "model",
    "activation_patching",
    "path_patching",
    "ablation",
    "attribution_patching",
    "attention",
    "logit_lens",
    "tuned_lens",
    "direct_logit_attribution",
    "tasks",
    "diagrams",
    "known_circuits",
    "ioi_parts",
]


@pytest.mark.parametrize("page", PAGES)
def test_python_runs(page):
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    found = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert found
    for block in found:
        exec(block, names)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (DOCS / target).is_file(), target
