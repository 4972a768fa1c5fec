"""Small runs: several batches of prompts and several chunks of jobs, the last of each short."""

import pytest

from tests.helpers import make_runs_small


@pytest.fixture(autouse=True)
def _small_runs(monkeypatch):
    make_runs_small(monkeypatch)
