"""Time, memory and operations of a call, measured so that a shared machine cannot favor one side.

Calls to be compared take turns in one run, and each is judged by the median of its rounds. The
operations are those that PyTorch counts (matrix products and attention), so that operations over
the measured peak of a matrix product are the floor below which no call of ours can come.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def interleaved(
    calls: Mapping[str, Callable[[], Any]], rounds: int, *, warm: bool = False
) -> dict[str, float]:
    """Median seconds of each call, all of them taking turns.

    Args:
        calls: what to time, by name.
        rounds: how many times each is timed.
        warm: whether all have been called already; if not, each is called once before.

    Returns:
        Seconds by name.
    """
    for call in () if warm else calls.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def matmul(rows: int, inner: int, columns: int, times: int = 3) -> tuple[Callable[[], None], int]:
    """A matrix product as the model makes them, some times over, and its operations."""
    a, b = torch.randn(rows, inner), torch.randn(columns, inner)

    def call() -> None:
        for _ in range(times):
            torch.nn.functional.linear(a, b)

    return call, 2 * rows * inner * columns * times


def operations(call: Callable[[], Any]) -> int:
    """Floating-point operations of the matrix products and the attention in a call."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def peak_bytes(call: Callable[[], Any]) -> float:
    """How much more memory the process holds at the peak of a call than before; NaN off Linux."""
    try:
        before = _resident("VmRSS")
        _CLEAR.write_text("5")  # sets the peak to what is held now
        call()
        return _resident("VmHWM") - before
    except OSError:
        return float("nan")


def _resident(field: str) -> float:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(field))
    return float(line.split()[1]) * 1024
