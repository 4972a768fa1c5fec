"""Results carry their whole question, through files and back."""

import inspect
import json
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr

from interp.results import Question, labeled, require_same

MODEL = SimpleNamespace(name="tiny", fingerprint=lambda: "aa11")
TASK = SimpleNamespace(name="ioi", fingerprint="bb22", group=("x", "y", "x"))
ASKED = {
    "technique": "patch",
    "site": "z",
    "selection": {"layers": [1, 2], "heads": None},
    "ablation": "mean",
    "reference": "cc33",
    "metric": "logit_diff",
    "options": {"direction": "denoising", "batch": 3},
    "seed": 0,
}


def array(**question: object) -> xr.DataArray:
    """Three values of three prompts."""
    return labeled(
        torch.tensor([1.0, 2.0, 4.0]),
        ("prompt",),
        name="logit_diff",
        title="A title",
        unit="logits",
        model=MODEL,
        task=TASK,
        question={**ASKED, **question},
    )


def test_an_array_tells_its_question() -> None:
    asked = Question.of(array())
    assert (asked.model, asked.model_fingerprint) == ("tiny", "aa11")
    assert (asked.task, asked.prompts, asked.seed) == ("ioi", "bb22", "0")
    assert json.loads(asked.options) == {"batch": 3, "direction": "denoising"}
    assert json.loads(asked.selection) == {"layers": [1, 2], "heads": None}
    assert "torch" in json.loads(asked.versions)
    assert asked.value("direction") == "denoising" and asked.value("site") == "z"
    assert asked.value("nothing") == ""
    assert list(array()["group"].values) == ["x", "y", "x"]


def test_what_has_no_fingerprint_has_none() -> None:
    bare = labeled(
        np.zeros(2), ("x",), name="n", title="t", unit="u", model=SimpleNamespace(name="m")
    )
    asked = Question.of(bare)
    assert (asked.model, asked.model_fingerprint, asked.task, asked.prompts) == ("m", "", "", "")
    assert "task" not in bare.attrs and bare.attrs["unit"] == "u"


def test_a_question_survives_files(tmp_path: Path) -> None:
    result = xr.Dataset({"logit_diff": array()}, attrs={"note": "mine"})
    result.to_netcdf(tmp_path / "result.nc")
    again = xr.load_dataset(tmp_path / "result.nc")
    xr.testing.assert_identical(
        again["logit_diff"].reset_coords(drop=True), result["logit_diff"].reset_coords(drop=True)
    )
    asked = Question.of(result)
    assert Question.of(again) == asked == Question.of(result["logit_diff"])
    assert Question(**json.loads(json.dumps(asked.attrs()))) == asked


def test_a_dataset_asks_what_its_arrays_agree_on() -> None:
    both = {"a": array(metric="a"), "b": array(metric="b")}
    asked = Question.of(xr.Dataset(both))
    assert asked == replace(Question.of(array()), metric="")
    assert Question.of(xr.Dataset(both, attrs={"metric": "a, b"})).metric == "a, b"
    assert Question.of(xr.Dataset()) == Question()


@pytest.mark.parametrize("name", [field.name for field in fields(Question)])
def test_the_fingerprint_changes_with_every_field_but_the_versions(name: str) -> None:
    one = Question.of(array())
    other = replace(one, **{name: getattr(one, name) + "?"})
    assert (one.fingerprint == other.fingerprint) == (name == "versions")
    assert len(one.fingerprint) == 16


def test_the_order_of_options_does_not_matter() -> None:
    other = Question.of(array(options={"batch": 3, "direction": "denoising"}))
    assert other.fingerprint == Question.of(array()).fingerprint


def test_answers_to_different_questions_are_refused() -> None:
    words = ("the estimates", "the exact effects")
    require_same(array(), array(technique="attribution_patch", seed=3), what=words)
    with pytest.raises(
        ValueError, match="the estimates are of site 'z', the exact effects of 'q'; compare two"
    ):
        require_same(array(), array(site="q"), what=words)
    with pytest.raises(ValueError, match="one result is of seed '0', the other of '1'"):
        require_same(Question.of(array()), array(seed=1), fields=["seed"])
    with pytest.raises(ValueError, match="direction 'denoising', the other of 'noising'"):
        require_same(array(), array(options={"direction": "noising"}), fields=["direction"])
    require_same(array(), array(site="q"), fields=["model", "prompts"])


def test_a_question_has_only_its_fields() -> None:
    with pytest.raises(ValueError, match="no field 'sight'; it has technique, .*options"):
        array(sight="z")


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.float64, np.float64),
        (torch.float32, np.float32),
        (torch.bfloat16, np.float32),
        (torch.int64, np.float32),
        (torch.bool, np.float32),
    ],
)
def test_numbers_keep_their_precision(dtype: torch.dtype, expected: type) -> None:
    before = torch.get_default_dtype()
    for default in (torch.float32, torch.float64):
        torch.set_default_dtype(default)
        try:
            found = inspect.unwrap(labeled)(
                torch.ones(2).to(dtype), ("x",), name="n", title="t", unit="u", model=MODEL
            )
        finally:
            torch.set_default_dtype(before)
        assert found.dtype == expected
