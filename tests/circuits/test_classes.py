"""Classes on other tasks, on effects and attention made by hand."""

import numpy as np
import pytest
import xarray as xr

from interp.circuits import classify_roles

ROLES = ["FIRST", "FIRST+1", "END"]
KEEP = [(0, 0, "FIRST+1"), (0, 1, "END"), (1, 0, "END"), (1, 1, "END"), (1, 1, "FIRST")]


def arrays(prompts=2):
    """Direct effects, and attention that is one everywhere it is not 1/3."""
    direct = np.zeros((2, 2, prompts))
    direct[0, 1], direct[1, 0], direct[1, 1] = -0.9, -0.5, 0.5
    attention = np.full((2, 2, 3, 3, prompts), 0.1)
    attention[0, 0, 1, 0] = 0.8  # 0.0 from FIRST+1 at FIRST
    attention[0, 1, 2, 1] = 0.7  # 0.1 from END at FIRST+1
    return (
        xr.DataArray(
            direct, dims=("layer", "head", "prompt"), attrs={"model": "hand"}
        ).assign_coords(layer=[0, 1], head=[0, 1]),
        xr.DataArray(
            attention,
            {"layer": [0, 1], "head": [0, 1], "query": ROLES, "key": ROLES},
            ("layer", "head", "query", "key", "prompt"),
        ),
    )


def test_each_class_by_hand():
    circuit = classify_roles(KEEP, *arrays(), smallest=0.4, source="a test")
    assert [head.kind for head in circuit.heads] == [
        "previous token", "induction", "mover", "negative mover", "other",
    ]  # fmt: skip
    assert (circuit.model, circuit.source) == ("hand", "a test")


def test_thresholds_decide():
    weak = classify_roles(KEEP, *arrays(), smallest=0.6, min_attention=0.75)
    kinds = [head.kind for head in weak.heads]
    assert kinds == ["previous token", "mover", "other", "other", "other"]
    with pytest.raises(ValueError, match="smallest must be above 0"):
        classify_roles(KEEP, *arrays(), smallest=0.0)
