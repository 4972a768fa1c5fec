"""The names that commands know without torch are those of the library."""

from typing import get_args

import pytest

from analyses import known_circuits, logit_lens, task
from analyses.common.choices import (
    CORRUPTIONS,
    DIRECTIONS,
    INPUTS,
    METRICS,
    MODELS,
    VALUES,
    among,
    did_you_mean,
    read_text,
    require_model,
    words,
)
from analyses.ioi.analysis import PART_NAMES
from analyses.ioi.parts import PARTS
from interp import circuits, metrics, parts, tasks
from interp.lens.logit_lens import LENS_SITES
from interp.model.hub import MODEL_NAMES
from interp.runs.pair import Direction
from interp.runs.stand_ins import Value
from interp.tasks.ioi import Corruption


def test_they_are_the_librarys():
    assert tuple(metrics.METRICS) == METRICS
    assert tuple(MODEL_NAMES) == MODELS
    assert set(CORRUPTIONS) == set(get_args(Corruption))
    assert set(DIRECTIONS) == set(get_args(Direction))
    assert set(VALUES) == set(get_args(Value))
    assert tuple(INPUTS) == parts.QKV
    assert list(PART_NAMES) == list(PARTS)
    assert set(known_circuits.NAMES) == set(circuits.known.KNOWN)
    assert known_circuits.LEVELS[2] == circuits.known.NOISE
    streams = [site for site, kind in LENS_SITES.items() if kind == "stream"]
    assert tuple(streams) == logit_lens.STREAM_SITES
    assert all(callable(getattr(tasks, name.replace("-", "_"))) for name in task.TASKS)


def test_a_guess_at_what_was_meant():
    assert did_you_mean("end", ["END", "S2"]) == " (did you mean 'END'?)"
    assert did_you_mean("q", ["resid_pre"]) == ""
    with pytest.raises(ValueError, match=r"unknown role 'end' \(did you mean 'END'\?\); expected"):
        among("role", ["S2", "end"], ["END", "S2"])


def test_words():
    assert words(None) is None
    assert words(" z, q ,") == ["z", "q"]
    with pytest.raises(ValueError, match="at least one site"):
        words(" , ", "site")


def test_a_byte_order_mark_is_no_text(tmp_path):
    (tmp_path / "file").write_bytes(b"\xef\xbb\xbf{}")
    assert read_text(tmp_path / "file", "file") == "{}"


def test_a_directory_is_a_model(tmp_path):
    require_model(tmp_path)
    with pytest.raises(ValueError, match="no model and no directory"):
        require_model(tmp_path / "none")
