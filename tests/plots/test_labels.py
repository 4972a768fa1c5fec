"""What is written on axes and beside cells."""

from dataclasses import replace

import pytest
import torch
import xarray as xr

import interp
from interp.plots import position_labels
from interp.plots.labels import _visible, cell_label, cell_labels
from tests.helpers import random_task

TEMPLATE = "Yesterday [B] and [A] met at the [PLACE], and [B] handed a [OBJECT] to [A]"


@pytest.fixture(scope="module")
def tokenizer():
    return interp.load("mini").tokenizer


def test_tokens_and_roles_of_one_prompt(tokenizer):
    task = interp.tasks.ioi(tokenizer, 1, templates=[TEMPLATE], order="baba")
    words = task.clean[0].replace(",", " ,").split()
    labels = position_labels(task, tokenizer)
    assert [label.split(" <b>")[0] for label in labels] == words
    assert labels[1] == f"{words[1]} <b>S1</b>" and labels[2] == "and <b>S1+1</b>"
    assert labels[-1] == "to <b>END</b>" and labels[0] == "Yesterday"
    other = position_labels(task, tokenizer, side="corrupted")
    assert other[1] != labels[1] and other[2:4] != labels[2:4] and other[0] == labels[0]


def test_where_prompts_differ(tokenizer):
    task = interp.tasks.ioi(tokenizer, 12, templates=[TEMPLATE], order="baba")
    labels = position_labels(task, tokenizer)
    assert labels[:4] == ["Yesterday", "<b>S1</b>", "and <b>S1+1</b>", "<b>IO</b>"]
    assert labels[7] == "\N{HORIZONTAL ELLIPSIS}"  # the place


def test_padding_on_the_left_changes_nothing(tokenizer):
    task = interp.tasks.ioi(tokenizer, 5, templates=[TEMPLATE], order="baba")
    moved = replace(
        task,
        clean_tokens=torch.nn.functional.pad(task.clean_tokens, (2, 0)),
        corrupted_tokens=torch.nn.functional.pad(task.corrupted_tokens, (2, 0)),
        attention_mask=torch.nn.functional.pad(task.attention_mask, (2, 0)),
        positions={role: at + 2 for role, at in task.positions.items()},
    )
    assert position_labels(moved, tokenizer) == position_labels(task, tokenizer)


def test_prompts_of_several_groups_are_refused(tokenizer):
    with pytest.raises(ValueError, match=r"differ in 'number of tokens'.*role"):
        position_labels(random_task(4, (6, 4)), tokenizer)
    with pytest.raises(ValueError, match="differ in 'S2'"):
        position_labels(random_task(4, (6,)), tokenizer)


@pytest.mark.parametrize(
    ("token", "text"),
    [(" <b>", "&lt;b&gt;"), ("\n", "\u21b5"), (" ", "\u2423"), (" a&b", "a&amp;b"), ("ly", "ly")],
)
def test_tokens_are_no_markup_and_can_be_seen(token, text):
    assert _visible(token) == text


@pytest.mark.parametrize(
    ("dims", "labels", "name"),
    [
        (("layer", "head"), ("9", "6"), "9.6"),
        (("source_role", "head", "role", "layer"), ("IO", "6", "END", "9"), "9.6 to IO END"),
        (("layer", "neuron"), ("3", "17"), "3.17"),
        (("role", "layer"), ("S2", "4"), "layer 4, S2"),
        (("layer", "position"), ("4", "12"), "layer 4, position 12"),
        (("layer", "position"), ("4", "Mary"), "layer 4, Mary"),
        (("set",), ("9.6 9.9",), "9.6 9.9"),
    ],
)
def test_names_of_cells(dims, labels, name):
    assert cell_label(dims, labels) == name


def test_names_go_as_the_values_do():
    array = xr.DataArray([[1, 2], [3, 4]], {"layer": [4, 5], "head": [0, 7]}, ("layer", "head"))
    assert cell_labels(array) == ["4.0", "4.7", "5.0", "5.7"]
