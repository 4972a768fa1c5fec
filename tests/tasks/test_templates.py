"""Prompt files: reading, and the templates in them."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.tasks.templates import parse_template, read_prompts

GOOD = {"baba_templates": ["When [B] saw [A], [B] spoke to [A]"]}
GOOD |= {"names": ["Mary"], "places": ["park"], "objects": ["book"]}


def test_keys_are_read_and_others_left(tmp_path: Path) -> None:
    file = tmp_path / "prompts.json"
    file.write_text(json.dumps(GOOD | {"source": "here"}))
    prompts = read_prompts(file)
    assert prompts.templates == ("When [B] saw [A], [B] spoke to [A]",)
    assert (prompts.names, prompts.places, prompts.objects) == (("Mary",), ("park",), ("book",))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{", "is not a JSON file: .*line 1"),
        ([1], "needs the keys .*'baba_templates'.*; it has list"),
        ({"names": ["Mary"]}, r"needs the keys .*; it has \['names'\]"),
        (GOOD | {"names": "Mary"}, "'names' in .* must be a list of strings"),
        (GOOD | {"places": [3]}, "'places' in .* must be a list of strings"),
        (GOOD | {"objects": []}, "'objects' in .* is empty"),
        (GOOD | {"names": ["Mary", "Mary"]}, "'names' in .* has 'Mary' more than once"),
    ],
)
def test_malformed_files(tmp_path: Path, data: Any, message: str) -> None:
    file = tmp_path / "prompts.json"
    file.write_text(data if isinstance(data, str) else json.dumps(data))
    with pytest.raises(ValueError, match=message):
        read_prompts(file)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no prompt file .*none\.json"):
        read_prompts(tmp_path / "none.json")


def test_own_templates_parse_in_both_orders() -> None:
    for template in read_prompts().templates:
        for order in ("BABA", "ABBA"):
            names = {"IO": "[A]", "S1": "[B]", "S2": "[B]"}
            text = parse_template(template, order).format(
                PLACE="[PLACE]", OBJECT="[OBJECT]", **names
            )
            swapped = template.replace("[B]", "[X]", 1).replace("[A]", "[B]", 1)
            swapped = swapped.replace("[X]", "[A]", 1)
            assert f"{text} [A]" == (template if order == "BABA" else swapped)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("[B] and [A] met, and [B] spoke to [A]", r"\[B\] at character 0 .* no space before it"),
        ("So ([B]) and [A] met, and [B] spoke to [A]", r"\[B\] at character 4"),
        ("So [B]son and [A] met, and [B] spoke to [A]", r"\[B\] at character 3 .* is joined to"),
        ("So [B] and [A] met [C], and [B] spoke to [A]", r"unknown slot \[C\]"),
        ("So [A] and [B] met, and [B] spoke to [A]", "in the order 'A B B A'"),
        ("So [B] and [A] met, and [B] spoke to", "in the order 'B A B'"),
        ("So [B] and [A] met, and [B] spoke to [A].", "end in ' \\[A\\]'"),
    ],
)
def test_malformed_templates(template: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_template(template, "BABA")


@given(st.lists(st.text(st.characters(exclude_characters="[]")), min_size=4, max_size=4))
def test_any_text_around_the_slots_survives(texts: list[str]) -> None:
    first, second, third, last = texts
    template = f"{first} [B],{second} [A],{third} [B],{last} [A]"
    written = parse_template(template, "BABA").format(IO="x", S1="y", S2="z")
    assert written == f"{first} y,{second} x,{third} z,{last}"
