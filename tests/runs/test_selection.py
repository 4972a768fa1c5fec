"""Selections: the cells of a sweep, in any order, all of them or some."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

import interp.runs.sweep
from interp.patching import (
    Receivers,
    Selection,
    ablate,
    attribution_patch,
    effect,
    patch,
    path_patch,
    screen,
)
from tests.helpers import make_runs_small, random_model, random_task, unchecked


@pytest.fixture(autouse=True)
def _small_runs(monkeypatch):
    make_runs_small(monkeypatch)


TO_Q = Receivers("q", heads=["2.0"])
CALLS = {
    "patch": lambda m, t, s: patch(m, t, "z", s),
    "patch of pattern": lambda m, t, s: patch(m, t, "pattern", s),
    "ablate": lambda m, t, s: ablate(m, t, "z", s),
    "ablate by resampling": lambda m, t, s: ablate(m, t, "z", s, value="resample"),
    "path_patch": lambda m, t, s: path_patch(m, t, "logits", s),
    "path_patch to q": lambda m, t, s: path_patch(m, t, TO_Q, s),
    "attribution_patch": lambda m, t, s: attribution_patch(m, t, "z", s),
    "with grad_drop": lambda m, t, s: attribution_patch(m, t, "z", s, fixes=["grad_drop"]),
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_only_some_cells(call):
    """The chosen cells are as in the whole sweep, in any order of the dims; the others NaN."""
    model, task = random_model(), random_task(4, (6, 4))
    parts = Selection(over=["role", "head", "layer"], heads=[3, 0, 1])
    whole = call(model, task, parts)
    generator = np.random.default_rng(0)
    chosen = xr.DataArray(generator.random((3, 2, 3)) < 0.4, dims=("layer", "role", "head"))
    assert 0 < int(chosen.sum()) < chosen.size
    found = call(model, task, replace(parts, only=chosen))
    for name in (str(n) for n in whole.data_vars if n in found and "role" in whole[n].dims):
        assert found[name].dims == whole[name].dims == ("role", "head", "layer", "prompt")
        expected = whole[name].where(chosen)
        np.testing.assert_allclose(found[name], expected.transpose(*whole[name].dims), atol=1e-6)
    for side in ("clean", "corrupted"):
        if f"logit_diff_{side}" in whole:
            np.testing.assert_allclose(
                found[f"logit_diff_{side}"], whole[f"logit_diff_{side}"], atol=1e-6
            )
    none = call(model, task, replace(parts, only=chosen & False))
    assert none.logit_diff.isnull().all()
    every = call(model, task, replace(parts, only=chosen | True))
    np.testing.assert_allclose(every.logit_diff, whole.logit_diff, atol=1e-6)


def test_screening_is_an_estimate_and_a_patch_of_the_chosen():
    model, task = random_model(), random_task(5, (6, 4))
    parts = Selection(over=["head", "layer", "role"], heads=[0, 2, 3])
    for direction in ("denoising", "noising"):
        found = screen(model, task, "v", parts, top=5, direction=direction)
        estimated = effect(attribution_patch(model, task, "v", parts, direction=direction))
        size = abs(estimated.mean("prompt"))
        chosen = size >= np.sort(size.values.ravel())[-5]
        exact = patch(model, task, "v", replace(parts, only=chosen.drop_vars(chosen.coords)),
                      direction=direction)  # fmt: skip
        np.testing.assert_array_equal(found.logit_diff_estimate, estimated)
        np.testing.assert_array_equal(found.logit_diff, exact.logit_diff)
        assert int(found.logit_diff.notnull().any("prompt").sum()) == 5


def test_cells_that_are_not_chosen_are_not_run(monkeypatch):
    model, task, run = random_model(), random_task(4, (6,)), []
    put = interp.runs.sweep.Swept.put

    def noted(self, cell, place, *rest):
        run.extend(zip(cell.tolist(), place.tolist(), strict=True))
        put(self, cell, place, *rest)

    monkeypatch.setattr(interp.runs.sweep.Swept, "put", noted)
    chosen = xr.DataArray(torch.eye(3, 4).bool().numpy(), dims=("layer", "head"))
    for call in ("patch", "ablate", "path_patch"):
        run.clear()
        CALLS[call](model, task, Selection(only=chosen))
        assert set(run) == {(0, 0), (5, 0), (10, 0)}, call


def test_what_is_left_out_is_left_out_everywhere():
    model, task = random_model(), random_task(4, (6,))
    for site in ("resid_pre", "z", "pattern"):
        found = patch(model, task, site, Selection(over=["layer"], except_positions=["END", 0]))
        same = [
            patch(model, task[i], site, Selection(over=["layer"], positions=[1, 2, 3, 4]))
            for i in range(4)
        ]
        expected = xr.concat([one.logit_diff for one in same], "prompt")
        np.testing.assert_allclose(
            found.logit_diff, expected.transpose("layer", "prompt"), atol=1e-5
        )
    alone = patch(model, task, "z", Selection(positions=["END", "S2"], except_positions=["S2"]))
    at_end = patch(model, task, "z", Selection(positions=["END"]))
    different = (task.positions["S2"] != task.positions["END"]).numpy()
    np.testing.assert_array_equal(
        alone.logit_diff[..., different], at_end.logit_diff[..., different]
    )


def test_a_selection_in_words_tells_all_of_it():
    """Two selections that ask for different cells are never described the same."""
    one = xr.DataArray([[True, False], [False, False]], dims=("layer", "head"))
    different = [
        Selection(), Selection(over=()), Selection(over=["layer"]), Selection(layers=[0]),
        Selection(heads=[0]), Selection(neurons=[0]), Selection(positions=[0]),
        Selection(positions=["END"]), Selection(positions=["END", 0]), Selection(sources=[0]),
        Selection(except_positions=[0]), Selection(over=["layer", "head"]),
        Selection(over=["head", "layer"]), Selection(only=one), Selection(only=~one),
        Selection(only=xr.DataArray(one.values[::-1].copy(), dims=one.dims)),
    ]  # fmt: skip
    words = [selection.describe() for selection in different]
    assert len(set(words)) == len(words)
    assert words[0] == "" and words[4] == "heads=0" and words[8] == "positions=END 0"
    assert Selection(layers=[2, 0], heads=[1]).describe() == "layers=2 0; heads=1"
    assert Selection(only=one.T).describe() == Selection(only=one).describe()
    assert Selection(layers=(0,), except_positions=[]).describe() == "layers=0"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"over": "layer"}, TypeError, "over is a list of parts"),
        ({"over": ["layer", "layer"]}, ValueError, "layer is given twice"),
        ({"layers": 3}, TypeError, "layers are a list of whole numbers"),
        ({"layers": "3"}, TypeError, "layers are a list"),
        ({"layers": [0, 0]}, ValueError, "layer 0 is given twice"),
        ({"layers": [True]}, TypeError, "layers are whole numbers"),
        ({"layers": [1.5]}, TypeError, "layers are whole numbers; got 1.5 among them$"),
        ({"heads": [1.5]}, TypeError, "heads are whole numbers; got 1.5 among them$"),
        ({"layers": [(4, 0)]}, TypeError, r"layers are whole numbers; got \(4, 0\) among them$"),
        ({"heads": []}, ValueError, "heads are an empty list"),
        ({"heads": [(4, 0)]}, TypeError, r"heads are whole numbers; got \(4, 0\).*receivers"),
        ({"heads": ["4.0"]}, TypeError, "such as \\['9.6'\\]"),
        ({"neurons": [1.0]}, TypeError, "neurons are whole numbers"),
        ({"positions": "END"}, TypeError, "positions are a list of roles"),
        ({"positions": []}, ValueError, "positions are an empty list"),
        ({"sources": "END"}, TypeError, "sources are a list"),
        ({"except_positions": "END"}, TypeError, "except_positions are a list"),
        ({"only": [[True]]}, TypeError, "only is a boolean xarray.DataArray"),
        ({"only": xr.DataArray([1, 0], dims="layer")}, TypeError, "only is a boolean"),
    ],
)
def test_what_is_no_selection_is_refused_when_it_is_made(options, error, message):
    with unchecked(), pytest.raises(error, match=message):
        Selection(**options)


def test_cells_of_another_sweep_are_refused():
    model, task = random_model(), random_task(2)
    ones = np.ones((3, 4), dtype=bool)
    for only in (
        xr.DataArray(ones, dims=("layer", "position")),
        xr.DataArray(ones[:2], dims=("layer", "head")),
        xr.DataArray(ones[0], dims=("head",)),
    ):
        with pytest.raises(ValueError, match="only must have the dims and sizes of the sweep"):
            patch(model, task, "z", Selection(only=only))
