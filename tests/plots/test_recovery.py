"""Recovery under noise, on rows written by hand."""

import pandas as pd
import pytest

from interp.plots import recovery_lines

ROWS = pd.DataFrame(
    [
        {"model": model, "noise": noise, "part": part, "precision": p, "recall": r}
        for model, noise, part, p, r in (
            ("a", 0.2, "links", 0.75, 0.5),
            ("a", 0.0, "links", 1.0, 0.9),
            ("b", 0.0, "links", 0.6, 0.4),
            ("a", 0.0, "heads", 0.1, 0.2),
        )
    ]
)


def test_a_line_of_each_measure_of_each_model_by_rising_noise():
    traces = {trace.name: trace for trace in recovery_lines(ROWS, part="links").data}
    assert {name: list(trace.y) for name, trace in traces.items()} == {
        "a, precision": [1.0, 0.75],
        "a, recall": [0.9, 0.5],
        "b, precision": [0.6],
        "b, recall": [0.4],
    }
    assert list(traces["a, recall"].x) == [0.0, 0.2]
    looks = {(t.line.color, t.line.dash, t.marker.symbol) for t in traces.values()}
    assert len(looks) == 4


def test_a_part_that_is_not_there():
    with pytest.raises(ValueError, match=r"1 to \d models with a row 'MLPs'; got 0"):
        recovery_lines(ROWS, part="MLPs")
