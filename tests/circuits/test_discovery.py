"""The threshold circuit on arrays written by hand: who joins, at which position, in which class."""

import numpy as np
import pytest
import xarray as xr

from interp.circuits import threshold_circuit

ROLES = ["IO", "S1", "S1+1", "S2", "END"]


def arrays(effects=(), direct=(), looks=()):
    """One layer of eight heads; entries are (head, position, value), (head, query, key, value)."""
    total = xr.DataArray(
        np.zeros((1, 8, 5, 2)),
        dims=["layer", "head", "position", "prompt"],
        coords={"layer": [0], "head": range(8), "position": ROLES},
        attrs={"model": "by hand"},
    )
    for head, position, value in effects:
        total.loc[0, head, position] = [value - 1, value + 1]  # the mean counts, not each prompt
    straight = total.sel(position="END", drop=True) * 0
    for head, value in direct:
        straight.loc[0, head] = value
    attention = xr.DataArray(
        np.zeros((1, 8, 5, 5, 2)),
        dims=["layer", "head", "query", "key", "prompt"],
        coords={"layer": [0], "head": range(8), "query": ROLES, "key": ROLES},
    )
    for head, query, key, value in looks:
        attention.loc[0, head, query, key] = value
    return total, straight, attention


def found(*given, **options):
    circuit = threshold_circuit(*given, **{"logit_diff": 4.0, "threshold": 0.1, **options})
    assert circuit.model == "by hand"
    return [(h.label, h.kind, h.position) for h in circuit.heads]


def test_effects_of_either_sign_above_the_threshold_join():
    given = arrays([(1, "S2", -0.5), (2, "IO", 0.41), (3, "END", -0.39), (4, "S1", 0.0)])
    assert found(*given) == [("0.1", "other", "S2"), ("0.2", "other", "IO")]
    assert ("0.3", "other", "END") in found(*given, threshold=0.09)


def test_direct_effects_make_movers():
    given = arrays([(1, "END", -2.0), (5, "END", -2.0)], [(1, -0.5), (2, 0.5), (5, -0.39)])
    assert found(*given) == [
        ("0.1", "name mover", "END"),
        ("0.2", "negative name mover", "END"),
        ("0.5", "other", "END"),
    ]


@pytest.mark.parametrize(
    ("position", "key", "kind"),
    [
        ("END", "S2", "S-inhibition"),
        ("END", "S1", "S-inhibition"),
        ("END", "IO", "other"),
        ("S2", "S1", "duplicate token"),
        ("S2", "S1+1", "induction"),
        ("S1+1", "S1", "previous token"),
        ("S1", "IO", "other"),
    ],
)
def test_attention_decides_the_class(position, key, kind):
    looks = [(6, position, key, 0.5), (6, position, position, 0.3)]
    given = arrays([(6, position, -1.0)], looks=looks)
    assert found(*given) == [("0.6", kind, position)]
    assert found(*given, min_attention=0.6) == [("0.6", "other", position)]


def test_a_head_can_matter_at_two_positions():
    given = arrays([(6, "S1", -1.0), (6, "S2", 1.0)])
    assert [(label, at) for label, _, at in found(*given)] == [("0.6", "S1"), ("0.6", "S2")]


@pytest.mark.parametrize("threshold", [0.0, -0.1])
def test_a_threshold_is_positive(threshold):
    with pytest.raises(ValueError, match="positive"):
        found(*arrays(), threshold=threshold)
