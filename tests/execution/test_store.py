"""The store of results: what is kept is what was measured, and no other question's."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

import interp
from interp.execution import Store, load, save
from interp.results import Question
from interp.tasks import ioi
from tests.helpers import random_model, random_task

ASKED = Question.make(technique="part", model="tiny", options={"version": "1"})


def results():
    array = xr.DataArray(
        np.arange(6.0).reshape(2, 3),
        {"set": ["a", "b b"], "prompt": [0, 1, 2], "nodes": ("set", ["9.6", ""])},
        ["set", "prompt"],
        attrs={"unit": "logits"},
    )
    return {"one": xr.Dataset({"x": array}, attrs={"direction": "noising"}), "none": xr.Dataset()}


def count(store, name="part", **options):
    """How often the job is done."""
    calls = []
    found = store.get(name, lambda: calls.append(1) or results(), **options)
    xr.testing.assert_identical(found["one"], results()["one"])
    return len(calls)


def test_what_is_saved_is_loaded(tmp_path):
    save(tmp_path / "deeper" / "part.npz", ASKED, results())
    for question in (ASKED, None):
        again = load(tmp_path / "deeper" / "part.npz", question)
        assert list(again) == ["one", "none"]
        for name, dataset in results().items():
            xr.testing.assert_identical(again[name], dataset)
    assert [path.name for path in (tmp_path / "deeper").iterdir()] == ["part.npz"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("model", "other"), ("model_fingerprint", "ab"), ("prompts", "cd"), ("options", "{}"),
     ("versions", '{"torch": "0"}')],
)  # fmt: skip
def test_the_answer_to_another_question_is_refused(tmp_path, field, value):
    save(tmp_path / "part.npz", ASKED, results())
    with pytest.raises(ValueError, match=f"another question: its {field} is"):
        load(tmp_path / "part.npz", replace(ASKED, **{field: value}))


def test_a_torn_file_is_no_result(tmp_path):
    path = tmp_path / "part.npz"
    save(path, ASKED, results())
    whole = path.read_bytes()
    at = whole.index(np.arange(6.0).tobytes()) + 9
    flipped = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    for content in (b"", whole[:10], whole[: len(whole) // 2], whole[:-1], flipped):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="damaged"):
            load(path)
    np.savez(path, x=np.arange(3))
    with pytest.raises(ValueError, match="no file of results"):
        load(path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing.npz")


def test_a_job_is_done_once_for_each_question(tmp_path):
    model, task = random_model(), random_task()
    store = Store(tmp_path, model, task)
    asked = [{"seed": 1}, {"seed": 1}, {"seed": 2}, {"seed": 2}, {"seed": 2, "version": 2}]
    assert [count(store, **options) for options in asked] == [1, 0, 1, 0, 1]
    assert store.resumed == ["part", "part"]
    assert "its options is" in store.refused["part"]
    (tmp_path / "part.npz").write_bytes(b"torn")
    assert count(store, seed=2, version=2) == 1 and "damaged" in store.refused["part"]
    assert count(store, seed=2, version=2) == 0
    assert count(Store(None, model, task)) == 1 and len(list(tmp_path.iterdir())) == 1


def test_other_prompts_and_other_weights_are_other_questions(tmp_path):
    mini = interp.load("mini")
    first, second = (ioi(mini.tokenizer, 4, seed=seed) for seed in (0, 1))
    assert [count(Store(tmp_path, mini, task)) for task in (first, first, second)] == [1, 0, 1]
    with torch.no_grad():
        mini.blocks[3].attn.W_O[0, 0, 0] += 1e-3
    store = Store(tmp_path, mini, second)
    assert count(store) == 1 and "its model_fingerprint is" in store.refused["part"]


def test_a_job_that_fails_leaves_nothing(tmp_path):
    store = Store(tmp_path, random_model(), random_task())
    with pytest.raises(KeyboardInterrupt):
        store.get("part", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(TypeError):
        save(tmp_path / "part.npz", ASKED, {"one": xr.Dataset(attrs={"no": {1, 2}})})
    assert not list(tmp_path.iterdir())
