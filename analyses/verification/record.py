"""The record of a verification: every claim with its measurement, as a file to send back."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from interp.circuits.published.claims import AGREES, DISAGREES, UNMEASURED, Outcome

NAME = "published.json"
"""Name of the file in its folder."""


@dataclass
class Record:
    """What has been measured so far.

    Args:
        about: the run: model, weights, prompts, device, versions
        outcomes: the claims that have been judged
        seconds: check -> how long it took
        complete: whether every check has been made
    """

    about: Mapping[str, Any]
    outcomes: list[Outcome] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    complete: bool = False

    def add(self, check: str, outcomes: Sequence[Outcome], seconds: float) -> None:
        """Add what a check found."""
        self.outcomes += outcomes
        self.seconds[check] = round(seconds, 1)

    def counts(self) -> dict[str, int]:
        """How many claims have each verdict."""
        found = Counter(one.verdict for one in self.outcomes)
        return {verdict: found[verdict] for verdict in (AGREES, DISAGREES, UNMEASURED)}

    def sentence(self) -> str:
        """The result in one or two sentences."""
        n = self.counts()
        text = f"{n[AGREES]} of {len(self.outcomes)} claims agree"
        text += f", {n[DISAGREES]} disagree." if n[DISAGREES] else ", none disagrees."
        if n[UNMEASURED]:
            text += (
                f" {n[UNMEASURED]} could not be measured, which is no verdict on them; the notes "
                "say why."
            )
        return text

    def exit_code(self) -> int:
        """1 if a claim disagrees; else 3 if one could not be measured; else 0."""
        n = self.counts()
        return 1 if n[DISAGREES] else 3 if n[UNMEASURED] else 0

    def save(self, folder: Path) -> Path:
        """Write the file, whole or not at all.

        Args:
            folder: its folder, which exists

        Returns:
            The file.
        """
        content = {
            "about": dict(self.about),
            "complete": self.complete,
            "counts": self.counts(),
            "seconds": self.seconds,
            "claims": [one.to_dict() for one in self.outcomes],
        }
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        path = folder / NAME
        with NamedTemporaryFile(
            "w", dir=folder, suffix=".tmp", delete=False, encoding="utf-8"
        ) as f:
            f.write(text)
        os.replace(f.name, path)
        return path

    @classmethod
    def load(cls, path: str | Path) -> Record:
        """Read what `save` wrote.

        Args:
            path: the file, or its folder

        Returns:
            The record.

        Raises:
            ValueError: the file is not such a record
            OSError: there is no such file
        """
        path = Path(path)
        path = path / NAME if path.is_dir() else path
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            outcomes = [Outcome.from_dict(one) for one in content["claims"]]
            return cls(content["about"], outcomes, content["seconds"], content["complete"])
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(
                f"{path} is not a record of interp verify --published: {error!r}"
            ) from error
