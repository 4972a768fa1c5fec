"""The benchmark runs, both of its sides compute the same, and its operations are counted right."""

import pytest
import torch
from typer.testing import CliRunner

import interp
from interp.patching import Selection, patch
from tests.benchmarks.__main__ import app, bridge_of
from tests.benchmarks.growth import head_sweep_operations
from tests.benchmarks.measure import interleaved, operations
from tests.benchmarks.rows import Row, all_rows, random_gpt2, random_prompts

TINY = interp.GPT2Config(n_layers=4, n_heads=2, d_model=32, d_mlp=64, d_vocab=100, n_ctx=32)


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    model = random_gpt2(TINY)
    tasks = [random_prompts(n, 16, TINY.d_vocab) for n in (6, 2)]
    return all_rows(model, bridge_of(model), tasks, 4)


def test_both_sides_of_every_comparison_compute_the_same(rows: list[Row]) -> None:
    assert len(rows) == 8
    for row in rows:
        found = row.ours()[row.sample]
        for twin in filter(None, (row.theirs, row.hooked)):
            with torch.inference_mode():
                expected = twin()
            scale = (expected - expected.median()).abs().max()
            assert scale > 1e-5, row.name  # the cells differ
            assert (found - expected).abs().max() < 1e-2 * scale, row.name


@pytest.mark.parametrize("length", [3, 16])
@pytest.mark.parametrize("layers", [[0], [1], [3], [0, 1, 2, 3]])
def test_operations_of_a_sweep_are_those_that_are_counted(length: int, layers: list[int]) -> None:
    model = random_gpt2(TINY)
    task = random_prompts(3, length, TINY.d_vocab, changed=(0,))
    both = operations(lambda: patch(model, task, "z", Selection(layers=layers)))
    first = operations(lambda: patch(model, task, "z", Selection(layers=layers, heads=[0])))
    expected = head_sweep_operations(TINY, length, 3, layers) / 2
    # Attention is not counted, which makes the formula a floor, and the readout is very little.
    assert both - first == pytest.approx(expected, rel=1e-2)
    assert both - first >= expected


def test_calls_take_turns() -> None:
    order: list[str] = []
    interleaved({name: lambda name=name: order.append(name) for name in "ab"}, rounds=3)
    assert order == list("abababab")


@pytest.mark.slow
def test_the_benchmark_prints_its_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    result = CliRunner().invoke(app, ["--tiny", "--rounds", "1", "--sample", "4", "--prompts", "4"])
    assert result.exit_code == 0, result.output
    for words in ("of the peak", "times faster", "heads to q", "TFLOP of all heads", "xl"):
        assert words in result.output
