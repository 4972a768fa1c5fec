"""Facts about GPT-2 small that others computed and published, as small files.

`LICENSES.md` says where each comes from, under which licence, and what was changed.
"""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
"""Folder of the files."""


def read(name: str) -> dict[str, Any]:
    """Read one of the files.

    Args:
        name: its name, such as "gpt2_activations.json"

    Returns:
        Its content.
    """
    found: dict[str, Any] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return found
