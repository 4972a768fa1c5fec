"""How tables write their cells, and what a drawing is."""

import numpy as np
import pandas as pd
import pytest

from interp.report import Drawing, Table

ROWS = [
    {"head": "9.9", "effect": -1.23456, "n": 100, "agrees": True},
    {"head": "10.7", "effect": None, "n": 7, "agrees": False},
]


def test_cells_from_rows():
    table = Table(ROWS)
    assert table.rows() == [
        ["9.9", "\N{MINUS SIGN}1.235", "100", "yes"],
        ["10.7", "\N{EN DASH}", "7", "no"],
    ]
    assert table.columns() == [("head", False), ("effect", True), ("n", True), ("agrees", False)]


def test_cells_from_a_frame_are_the_same():
    assert Table(pd.DataFrame(ROWS)).rows() == Table(ROWS).rows()
    assert Table(pd.DataFrame(ROWS)).columns() == Table(ROWS).columns()


def test_formats():
    formats = {"effect": "+.1f", "n": lambda n: f"{n} prompts"}
    assert Table(ROWS, formats=formats).rows()[0] == [
        "9.9",
        "\N{MINUS SIGN}1.2",
        "100 prompts",
        "yes",
    ]
    assert Table([{"x": 1234}], formats={"x": ".2e"}).rows() == [["1.23e+03"]]
    with pytest.raises(KeyError, match=r"formats names 'efect'; the columns .* 'effect'"):
        Table(ROWS, formats={"efect": ".1f"})


def test_numpy_scalars_and_missing_values():
    row = {"a": np.float32(0.5), "b": np.int64(3), "c": np.bool_(True), "d": np.nan, "e": pd.NA}
    assert Table([row]).rows() == [["0.500", "3", "yes", "\N{EN DASH}", "\N{EN DASH}"]]
    assert [numeric for _, numeric in Table([row]).columns()] == [True, True, False, False, False]


def test_rows_with_different_names_and_no_rows():
    assert Table([{"a": 1}, {"b": "x"}]).rows() == [["1", "\N{EN DASH}"], ["\N{EN DASH}", "x"]]
    assert Table([]).rows() == []
    assert Table([]).columns() == []


def test_text_with_a_hyphen_stays():
    assert Table([{"a": "S-inhibition"}]).rows() == [["S-inhibition"]]


def test_a_drawing_is_one_svg_element():
    assert Drawing("<svg></svg>\n").svg
    with pytest.raises(ValueError, match=r"starts with '<script>'"):
        Drawing("<script>")
