"""The order of heads is that of their means, however the effects are given."""

import numpy as np
import pytest
import xarray as xr

from interp.parts import Head
from interp.patching import (
    Selection,
    effect,
    heads_in_order,
    mean_effect,
    patch,
    strongest_heads,
)
from tests.helpers import random_model, random_task


@pytest.mark.parametrize("over", [("layer", "head"), ("head", "layer"), ("head", "layer", "role")])
def test_the_strongest_heads_are_those_of_the_largest_means(over):
    """Over prompts and roles alike, whatever the order of the dims, from effects or their means."""
    chosen = Selection(over=over, layers=[2, 0], heads=[3, 1, 0])
    effects = effect(patch(random_model(), random_task(5, (6,)), "z", chosen))
    size = {
        Head(layer, head): abs(float(effects.sel(layer=layer, head=head).mean()))
        for layer in (2, 0)
        for head in (3, 1, 0)
    }
    expected = sorted(size, key=size.get, reverse=True)
    assert strongest_heads(effects, 6) == expected and strongest_heads(effects, 2) == expected[:2]
    assert strongest_heads(effects, 9) == expected and strongest_heads(effects, 0) == []


def test_means_with_their_intervals_have_the_order_of_the_effects():
    chosen = Selection(layers=[2, 0], heads=[3, 1, 0])
    found = patch(random_model(), random_task(5, (6,)), "z", chosen)
    assert strongest_heads(mean_effect(found), 6) == strongest_heads(effect(found), 6)


def test_heads_of_the_same_value_keep_the_order_of_the_model_and_nan_is_last():
    values = xr.DataArray(
        [[1.0, np.nan, -1.0], [1.0, -1.0, 0.5]],
        {"layer": [3, 5], "head": [0, 1, 2]},
        ("layer", "head"),
    )
    order = [(3, 2), (5, 1), (5, 2), (3, 0), (5, 0), (3, 1)]
    assert heads_in_order(values) == heads_in_order(values.T) == [Head(*one) for one in order]


def test_of_many_heads_of_few_values_each_value_keeps_the_order_of_the_model():
    generator = np.random.default_rng(0)
    values = xr.DataArray(
        generator.integers(0, 3, (12, 16)).astype(float),
        {"layer": range(12), "head": range(16)},
        ("layer", "head"),
    )
    heads = [Head(layer, head) for layer in range(12) for head in range(16)]
    assert heads_in_order(values) == sorted(heads, key=lambda one: float(values[one]))
