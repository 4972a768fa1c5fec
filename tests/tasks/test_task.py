"""Task: its checks, slicing, and table.

The file is longer than most: one class, each method with its cases.
"""

import inspect
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerBase

import interp
from interp.tasks import Task, from_table, ioi


def make(**changes: Any) -> Task:
    """Three prompts of 3, 3 and 2 tokens, with some fields changed.

    Goes around __init__, which the shape checker guards in tests, so that Task's own checks speak.
    """
    tokens = torch.tensor([[1, 2, 3], [4, 5, 6], [7, 8, 0]])
    values = {
        "name": "letters",
        "clean": ("a b c", "d e f", "g h"),
        "corrupted": ("a x c", "d x f", "x h"),
        "clean_tokens": tokens,
        "corrupted_tokens": torch.tensor([[1, 9, 3], [4, 9, 6], [9, 8, 0]]),
        "attention_mask": tokens > 0,
        "answer": torch.tensor([2, 5, 7]),
        "foil": torch.tensor([9, 9, 9]),
        "positions": {"CHANGE": torch.tensor([1, 1, 0]), "END": torch.tensor([2, 2, 1])},
        "group": ("long", "long", "short"),
        "template": ("", "", ""),
        "order": ("", "", ""),
        "metric": "logit_diff",
        "vocabulary": (),
    }
    task = object.__new__(Task)
    for field, value in (values | changes).items():
        object.__setattr__(task, field, value)
    task.__post_init__()
    return task


def same(a: Task, b: Task) -> bool:
    """Whether two tasks hold the same."""
    for field in fields(Task):
        left, right = getattr(a, field.name), getattr(b, field.name)
        if isinstance(left, dict):
            if list(left) != list(right) or not all(torch.equal(left[k], right[k]) for k in left):
                return False
        elif not (torch.equal(left, right) if isinstance(left, torch.Tensor) else left == right):
            return False
    return True


def test_length() -> None:
    task = make()
    assert len(task) == task.n == 3
    assert task.lengths.tolist() == [3, 3, 2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clean": ()}, "at least one prompt"),
        ({"corrupted": ("a x c",)}, "corrupted has 1 entries; clean has 3"),
        ({"answer": torch.tensor([2, 5])}, r"answer must be torch.int64 of shape \(3,\)"),
        ({"foil": torch.tensor([9.0, 9.0, 9.0])}, "foil must be torch.int64.*it is torch.float32"),
        (
            {"corrupted_tokens": torch.ones(3, 4, dtype=torch.int64)},
            r"corrupted_tokens must be .* \(3, 3\) .* \(3, 4\)",
        ),
        (
            {"attention_mask": torch.ones(3, 3, dtype=torch.int64)},
            "attention_mask must be torch.bo",
        ),
        ({"clean_tokens": torch.tensor([[1, 2, 3], [4, -5, 6], [7, 8, 0]])}, "prompt 1.*token id"),
        (
            {"attention_mask": torch.tensor([[1, 1, 1], [0] * 3, [1, 1, 0]]).bool()},
            "prompt 1.*empty",
        ),
        (
            {"attention_mask": torch.tensor([[1, 1, 1], [1, 1, 1], [1, 0, 1]]).bool()},
            "prompt 2.*padding between its tokens",
        ),
        ({"answer": torch.tensor([2, 5, -7])}, "prompt 2.*answer's token id is negative"),
        ({"foil": torch.tensor([9, 5, 9])}, "prompt 1.*same token"),
        ({"foil": torch.tensor([[9, 8], [9, 9], [1, -1]])}, "prompt 1.*has it twice"),
        ({"foil": torch.tensor([[9, 8], [9, 5], [1, -1]])}, "prompt 1.*same token"),
        (
            {"foil": torch.tensor([[9, 8], [9, 8], [-1, 1]])},
            "prompt 2.*foil's token id is negative",
        ),
        ({"foil": torch.tensor([[9, 8, 7], [9, -1, 8], [1, 2, 3]])}, "prompt 1.*only at its end"),
        ({"foil": torch.tensor([[9, 8], [9, -2], [1, 2]])}, "prompt 1.*padded with -1"),
        ({"foil": torch.tensor([[9, 8]])}, r"foil must be torch.int64 of shape \(3, 2\)"),
        ({"positions": {}}, "no 'END'"),
        ({"positions": {"END": torch.tensor([2, 2])}}, r"positions\['END'\] must be"),
        (
            {"positions": {"END": torch.tensor([2, 1, 1])}},
            "prompt 1.*'END' must be the prompt's last",
        ),
        (
            {"positions": {"END": torch.tensor([2, 2, 1]), "S": torch.tensor([0, 0, 2])}},
            "prompt 2.*role 'S' is outside.*'g h'",
        ),
        ({"group": ("all", "all", "all")}, "prompt 2.*first prompt of its group"),
        (
            {"corrupted_positions": {"END": torch.tensor([2, 2, 1])}},
            "both texts need the same roles",
        ),
        (
            {"corrupted_mask": torch.tensor([[1, 1, 0], [1, 1, 1], [1, 1, 0]]).bool()},
            "prompt 0.*role 'END'",
        ),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_slices_pick_prompts() -> None:
    task = make()
    assert same(task[:], task)
    assert same(task[1:], task.subset([1, 2]))
    assert same(task[-1], task.subset([2]))
    back = task.subset([2, 0])
    assert back.clean == ("g h", "a b c")
    assert back.positions["CHANGE"].tolist() == [0, 1]
    assert torch.equal(back.clean_tokens, task.clean_tokens[[2, 0]])
    assert same(back.subset([1]), task[0])


def test_iteration_ends() -> None:
    assert [one.clean[0] for one in make()] == ["a b c", "d e f", "g h"]


def test_outside_indices_are_refused() -> None:
    for index in (3, -4):
        with pytest.raises(IndexError, match=f"no prompt {index}: the task has 3 prompts"):
            make()[index]
    with pytest.raises(ValueError, match="at least one prompt"):
        make()[:0]
    subset = inspect.unwrap(Task.subset)
    for some in (True, np.bool_(False), torch.tensor(True), "0", 1.0):
        with pytest.raises(TypeError, match="picked by their numbers"):
            subset(make(), [some])
    for one in (np.int64(1), torch.tensor(1)):
        assert same(subset(make(), [one]), make()[1])


def test_to_moves_every_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    task = make()
    monkeypatch.setattr(Task, "__post_init__", lambda self: None)  # "meta" tensors hold no values
    moved = task.to("meta")
    tensors = [getattr(moved, field.name) for field in fields(Task)]
    tensors = [value for value in tensors if isinstance(value, torch.Tensor)]
    devices = {tensor.device.type for tensor in (*tensors, *moved.positions.values())}
    assert (len(tensors), devices) == (5, {"meta"})


def test_repr_shows_the_first_prompt() -> None:
    text = repr(make())
    assert "'letters': 3 prompts of 2 to 3 tokens in 2 groups; roles CHANGE, END" in text
    assert "'a b c'" in text
    assert "'a x c'" in text


def test_dataframe_holds_everything() -> None:
    table = make().to_dataframe()
    assert list(table.columns) == [
        *("clean", "corrupted", "answer_id", "foil_id"),
        *("CHANGE", "END", "group", "template", "order"),
    ]
    assert table.iloc[2].tolist() == ["g h", "x h", 7, 9, 0, 1, "short", "", ""]


def test_dataframe_is_read_back(tokenizer: PreTrainedTokenizerBase) -> None:
    task = ioi(tokenizer, 20)
    roles = [role for role in task.positions if role != "END"]
    again = from_table(tokenizer, task.to_dataframe(tokenizer), roles=roles, name="ioi")
    assert set(again.candidates.tolist()) <= set(task.candidates.tolist())
    # a table knows only the names that are in it
    task = replace(task, candidates=again.candidates, vocabulary=again.vocabulary)
    assert same(again, task)
    assert not same(again, replace(task, name="other"))


def test_padding_on_the_left_is_moved_to_the_right() -> None:
    right = make()
    left = make(
        clean_tokens=torch.tensor([[1, 2, 3], [4, 5, 6], [0, 7, 8]]),
        corrupted_tokens=torch.tensor([[1, 9, 3], [4, 9, 6], [0, 9, 8]]),
        attention_mask=torch.tensor([[1, 1, 1], [1, 1, 1], [0, 1, 1]]).bool(),
        positions={"CHANGE": torch.tensor([1, 1, 1]), "END": torch.tensor([2, 2, 2])},
    )
    moved = left.right_padded()
    assert torch.equal(moved.clean_tokens, right.clean_tokens)
    assert torch.equal(moved.tokens("corrupted"), right.corrupted_tokens)
    assert torch.equal(moved.mask("corrupted"), right.attention_mask)
    assert moved.positions["CHANGE"].tolist() == [1, 1, 0]
    assert moved.aligned and right.right_padded() is right


def test_corrupted_texts_may_have_masks_and_roles_of_their_own() -> None:
    task = make(
        corrupted_mask=torch.tensor([[1, 1, 0], [1, 1, 1], [1, 1, 0]]).bool(),
        corrupted_positions={"CHANGE": torch.tensor([0, 1, 0]), "END": torch.tensor([1, 2, 1])},
    )
    assert not task.aligned and make().aligned
    assert task[:1].roles("corrupted")["END"].tolist() == [1]
    assert task.roles("clean")["END"].tolist() == [2, 2, 1]
    assert task.mask("corrupted").sum(-1).tolist() == [2, 3, 2]
    assert same(task.to("cpu"), task)


def test_sets_of_answers_are_shown_and_written_whole() -> None:
    answer = torch.tensor([[2, 9, -1], [5, 6, 8], [7, -1, -1]])
    task = make(answer=answer, foil=torch.tensor([[3], [3], [3]]))
    assert "answer[0]     {2, 9}, foil[0] {3} (token ids)" in repr(task)
    assert task.to_dataframe()["answer_id"].tolist() == ["2 9", "5 6 8", "7"]
    assert task[1].answer.tolist() == [[5, 6, 8]]


def test_the_fingerprint_is_of_what_changes_a_number() -> None:
    task, mark = make(), make().fingerprint
    assert len(mark) == 16 and int(mark, 16) >= 0
    same_numbers = {
        "name": "other",
        "template": ("t", "u", "v"),
        "clean": ("x y z", "d e f", "g h"),
        "corrupted_mask": task.attention_mask,
        "corrupted_positions": task.positions,
        "answer": torch.tensor([[2, -1], [5, -1], [7, -1]]),
        "positions": dict(reversed(task.positions.items())),
    }
    for field, value in same_numbers.items():
        assert make(**{field: value}).fingerprint == mark, field
    other_numbers = {
        "clean_tokens": torch.tensor([[1, 2, 3], [4, 5, 6], [7, 1, 0]]),
        "corrupted_tokens": torch.tensor([[1, 9, 3], [4, 9, 6], [9, 1, 0]]),
        "answer": torch.tensor([2, 5, 1]),
        "foil": torch.tensor([9, 9, 1]),
        "group": ("long", "other", "short"),
        "positions": {"CHANGE": torch.tensor([1, 0, 0]), "END": torch.tensor([2, 2, 1])},
        "corrupted_positions": {"CHANGE": torch.tensor([1, 0, 0]), "END": torch.tensor([2, 2, 1])},
    }
    marks = [make(**{field: value}).fingerprint for field, value in other_numbers.items()]
    shorter = torch.tensor([[1, 1, 0], [1, 1, 1], [1, 1, 0]]).bool()
    ends = {"CHANGE": torch.tensor([1, 1, 0]), "END": torch.tensor([1, 2, 1])}
    marks.append(make(corrupted_mask=shorter, corrupted_positions=ends).fingerprint)
    renamed = {"CHANCE": task.positions["CHANGE"], "END": task.positions["END"]}
    marks += [make(positions=renamed).fingerprint, task.subset([1, 0, 2]).fingerprint]
    marks += [task[:2].fingerprint, mark]
    assert len(set(marks)) == len(marks)


def test_the_fingerprint_does_not_see_padding() -> None:
    left = make(
        clean_tokens=torch.tensor([[3, 1, 2, 3], [3, 4, 5, 6], [3, 3, 7, 8]]),
        corrupted_tokens=torch.tensor([[3, 1, 9, 3], [3, 4, 9, 6], [3, 3, 9, 8]]),
        attention_mask=torch.tensor([[0, 1, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1]]).bool(),
        positions={"CHANGE": torch.tensor([2, 2, 2]), "END": torch.tensor([3, 3, 3])},
    )
    assert left.fingerprint == make().fingerprint == left.right_padded().fingerprint
    assert left.to("cpu").fingerprint == make().fingerprint


def test_a_task_names_its_metric(tokenizer: PreTrainedTokenizerBase) -> None:
    assert make().metric == "logit_diff" == ioi(tokenizer, 2).metric
    assert ioi(tokenizer, 2)[:1].to("cpu").right_padded().metric == "logit_diff"
    with pytest.raises(ValueError, match="one of logit_diff, .*; did you mean 'probability'"):
        make(metric="probabilty")


def fitting(**changes: Any) -> SimpleNamespace:
    """A model of ten tokens and a context of three, with a tokenizer of letters."""
    letters = SimpleNamespace(convert_ids_to_tokens=lambda ids: ["abcdefghij"[i] for i in ids])
    sizes = {"n_ctx": 3, "d_vocab": 10} | changes
    return SimpleNamespace(name="tiny", tokenizer=letters, config=SimpleNamespace(**sizes))


def test_a_task_fits_its_model() -> None:
    task = make(vocabulary=tuple(enumerate("abcdefghij")))
    task.require_fits(fitting())
    task.subset([2]).require_fits(fitting(n_ctx=3))
    make(vocabulary=((0, "padding"), (2, "c"))).require_fits(fitting())  # 0 is only padding
    for changes, message in [
        ({"n_ctx": 2}, r"prompt 0 of task 'letters' has 3 tokens in its clean text; tiny .* 2 \("),
        ({"d_vocab": 9}, "prompt 0 .* id 9 in its corrupted text; tiny has 9 tokens"),
    ]:
        with pytest.raises(ValueError, match=message):
            task.require_fits(fitting(**changes))
    with pytest.raises(ValueError, match="padded to 3 tokens, more than the 2"):
        task.subset([2]).require_fits(fitting(n_ctx=2))
    with pytest.raises(ValueError, match="prompt 1 .* id 12 in its foil"):
        make(foil=torch.tensor([9, 12, 9])).require_fits(fitting())
    other = make(vocabulary=((2, "c"), (5, "Z")))
    with pytest.raises(ValueError, match="token id 5 is 'Z' in the task and 'f' in the model"):
        other.require_fits(fitting())
    other.require_fits(SimpleNamespace(name="", tokenizer=None, config=fitting().config))


def test_tasks_know_the_words_of_their_tokens(small_tokenizer: PreTrainedTokenizerBase) -> None:
    task = ioi(small_tokenizer, 5)
    used = {*task.clean_tokens.flatten().tolist(), *task.answer.tolist(), *task.foil.tolist()}
    assert used <= set(dict(task.vocabulary))
    sizes = SimpleNamespace(n_ctx=99, d_vocab=len(small_tokenizer))
    task.require_fits(SimpleNamespace(name="own", tokenizer=small_tokenizer, config=sizes))
    with pytest.raises(ValueError, match=r"is of another tokenizer than mini.*model\.tokenizer"):
        task.require_fits(interp.load("mini"))
    ioi(interp.load("mini").tokenizer, 5).require_fits(interp.load("mini"))


@pytest.mark.parametrize("left", [False, True])
def test_texts_of_unequal_length_keep_their_tokens_and_roles(left: bool) -> None:
    """Clean and corrupted texts of a group differ in length, padded on either side."""
    clean, corrupted = [[1, 2, 3, 4], [5, 6, 7, 8]], [[9, 1], [9, 1, 2]]
    width = 5

    def padded(rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
        tokens = torch.full((2, width), 30)
        mask = torch.zeros(2, width, dtype=torch.bool)
        starts = [width - len(row) if left else 0 for row in rows]
        for i, (row, start) in enumerate(zip(rows, starts, strict=True)):
            tokens[i, start : start + len(row)] = torch.tensor(row)
            mask[i, start : start + len(row)] = True
        return tokens, mask, starts

    ours, mask, start = padded(clean)
    theirs, their_mask, their_start = padded(corrupted)

    def roles(rows: list[list[int]], starts: list[int]) -> dict[str, torch.Tensor]:
        firsts = torch.tensor(starts)
        return {"ONE": firsts + 1, "END": firsts + torch.tensor([len(row) - 1 for row in rows])}

    task = Task(
        "unequal",
        ("a", "b"),
        ("c", "d"),
        clean_tokens=ours,
        corrupted_tokens=theirs,
        attention_mask=mask,
        answer=torch.tensor([10, 10]),
        foil=torch.tensor([11, 11]),
        positions=roles(clean, start),
        group=("one", "one"),
        template=("", ""),
        order=("", ""),
        corrupted_mask=their_mask,
        corrupted_positions=roles(corrupted, their_start),
    )
    moved = task.right_padded()
    for side, rows in (("clean", clean), ("corrupted", corrupted)):
        for one in (task, moved):
            real = [
                ids[real].tolist()
                for ids, real in zip(one.tokens(side), one.mask(side), strict=True)
            ]
            assert real == rows
            at = one.roles(side)
            for role, expected in (("ONE", 1), ("END", -1)):
                found = one.tokens(side)[torch.arange(2), at[role]].tolist()
                assert found == [row[expected] for row in rows]
        assert moved.mask(side)[:, 0].all() and moved.roles(side)["ONE"].tolist() == [1, 1]
    assert moved.fingerprint == task.fingerprint and not task.aligned
