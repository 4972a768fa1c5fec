"""Screening: the right cells are patched, exactly as `patch` does, and no others."""

import numpy as np
import pytest
import torch
import xarray as xr

import interp.runs.sweep as module
from interp.patching import (
    Ablation,
    Selection,
    attribution_patch,
    effect,
    mean_effect,
    patch,
    screen,
)
from tests.helpers import random_model, random_task


@pytest.mark.parametrize(
    ("site", "options"),
    [
        ("z", {}),
        ("resid_pre", {"selection": Selection(over=("position", "layer")), "direction": "noising"}),
        ("q", {"selection": Selection(over=("role", "head", "layer"), heads=[2, 0])}),
        (
            "pattern",
            {
                "selection": Selection(
                    over=("source", "head", "position", "layer"), positions=[3, 5]
                )
            },
        ),
        ("embed", {}),
        ("mlp_post", {"selection": Selection(positions=["END"], neurons=[1, 5, 9, 33])}),
        ("z", {"ablation": Ablation([(0, 1)], value="zero"), "metric": "probability"}),
    ],
)
def test_the_largest_estimates_are_measured_and_nothing_else(site, options):
    model, task, top = random_model(), random_task(5, (6, 4)), 4
    name = options.get("metric", "logit_diff")
    found = screen(model, task, site, top=top, dtype=torch.bfloat16, **options)
    estimate = effect(attribution_patch(model, task, site, dtype=torch.bfloat16, **options), name)
    np.testing.assert_array_equal(found[f"{name}_estimate"], estimate)
    exact = patch(
        model, task, site, **{"metrics" if k == "metric" else k: v for k, v in options.items()}
    )
    assert found[name].dims == exact[name].dims
    for dim in exact[name].dims:
        assert found[dim].values.tolist() == exact[dim].values.tolist()
    size = np.abs(estimate.mean("prompt").values)
    chosen = np.isfinite(found[name].values).any(-1)
    assert chosen.sum() == top and size[chosen].min() >= size[~chosen].max()
    here = chosen[..., None] & np.isfinite(exact[name].values)
    np.testing.assert_allclose(found[name].values[here], exact[name].values[here], atol=1e-5)
    for side in ("clean", "corrupted"):
        np.testing.assert_allclose(found[f"{name}_{side}"], exact[f"{name}_{side}"], atol=1e-5)
    means, expected = (mean_effect(result, name)["mean"].values for result in (found, exact))
    np.testing.assert_allclose(means[chosen], expected[chosen], atol=1e-5)
    assert np.isnan(means[~chosen]).all()
    assert {found.attrs[key] for key in ("site", "dtype")} == {site, "bfloat16"}


def test_grad_drop_chooses_by_its_sizes():
    model, task = random_model(), random_task(5, (6, 4))
    found = screen(model, task, "z", top=4, fixes=["grad_drop"])
    sizes = found.logit_diff_grad_drop.mean("prompt").values
    chosen = np.isfinite(found.logit_diff.values).any(-1)
    assert found.attrs["dtype"] == "float32"  # on a CPU
    assert chosen.sum() == 4 and sizes[chosen].min() >= sizes[~chosen].max()
    signed = np.abs(found.logit_diff_estimate.mean("prompt").values)
    assert signed[chosen].min() < signed[~chosen].max()  # another choice than by effect


def test_only_the_chosen_cells_are_run(monkeypatch):
    model, task, run = random_model(), random_task(5, (6, 4)), []
    put = module.Swept.put

    def counted(self, cell, place, *rest):
        run.extend(zip(cell.tolist(), place.tolist(), strict=True))
        put(self, cell, place, *rest)

    monkeypatch.setattr(module.Swept, "put", counted)
    screen(model, task, "z", top=5)
    assert len(set(run)) == 5 and len(run) <= 5 * len(task)
    run.clear()
    screen(model, task, "resid_pre", top=5)
    assert len(set(run)) == 5


def test_of_some_cells_only_the_largest_of_those_are_measured():
    model, task = random_model(), random_task(5, (6, 4))
    some = xr.DataArray(np.eye(3, 4) + np.eye(3, 4, 1) > 0, dims=("layer", "head"))
    every = abs(screen(model, task, "z").logit_diff_estimate.mean("prompt")).where(some)
    for top in (1, 9):
        found = screen(model, task, "z", Selection(only=some), top=top)
        chosen = found.logit_diff.notnull().any("prompt")
        assert int(chosen.sum()) == min(top, 6) and not bool((chosen & ~some.values).any())
        assert float(every.where(chosen).min()) >= float(every.where(~chosen).fillna(0).max())


def test_more_than_there_are_is_all_and_none_is_refused():
    model, task = random_model(), random_task(5, (6, 4))
    found, exact = screen(model, task, "z", top=100), patch(model, task, "z")
    np.testing.assert_allclose(found.logit_diff, exact.logit_diff, atol=1e-5)
    with pytest.raises(ValueError, match="at least one cell to patch, got top=0"):
        screen(model, task, "z", top=0)
    with pytest.raises(ValueError, match="unknown site"):
        screen(model, task, "resid")
