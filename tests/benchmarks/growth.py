"""How the cost of a sweep over all heads grows with the model, the prompts' length and number.

The operations of the whole sweep are counted by `head_sweep_operations`; the rate comes from the
heads of the middle layer, measured with the base runs that any sweep needs, where that is not too
long. Seconds are those of the base runs and of all heads at that rate: of the same row, or else of
the last one that was measured, base runs left out.
"""

import time
from dataclasses import replace

from rich.table import Table

import interp
from interp.patching import Selection, patch
from interp.tasks import Task
from tests.benchmarks.measure import operations, peak_bytes
from tests.benchmarks.rows import SMALL, random_gpt2, random_prompts

SHAPES = {
    "small": SMALL,
    "medium": replace(SMALL, n_layers=24, n_heads=16, d_model=1024, d_mlp=4096),
    "large": replace(SMALL, n_layers=36, n_heads=20, d_model=1280, d_mlp=5120),
    "xl": replace(SMALL, n_layers=48, n_heads=25, d_model=1600, d_mlp=6400),
}
"""The four sizes of GPT-2 (Radford et al. 2019, table 2)."""

POINTS = [
    *((name, 16, 8) for name in SHAPES),
    *(("small", length, 8) for length in (64, 256, 1024)),
    *(("small", 16, n) for n in (1, 64, 512)),
]
"""Model, tokens a prompt, prompts."""

_MOST = 8e12  # operations of a sample that is measured


def head_sweep_operations(
    config: interp.GPT2Config, length: int, prompts: int, layers: list[int] | None = None
) -> int:
    """Matrix-product operations of the resumed forward when every head is patched at all positions.

    A job enters its layer after the attention; each later layer is whole, but for the last, which
    makes keys and values everywhere and all else at END.

    Args:
        config: the model's shape.
        length: tokens a prompt.
        prompts: how many.
        layers: the patched layers; by default all.

    Returns:
        Operations, base runs not counted.
    """
    d, m, last = config.d_model, config.d_mlp, config.n_layers - 1
    out, mlp, qkv = 2 * d * d, 4 * d * m, 6 * d * d  # a row
    at_end = out + mlp
    jobs = prompts * config.n_heads
    total = 0
    for layer in range(config.n_layers) if layers is None else layers:
        if layer == last:
            total += jobs * at_end
            continue
        between = last - layer - 1
        total += jobs * length * (out + mlp + between * (qkv + out + mlp) + 2 * qkv // 3)
        total += jobs * (qkv // 3 + at_end)
    return total


def growth_table(*, tiny: bool = False) -> Table:
    """Every point, measured where it fits.

    Args:
        tiny: tiny models, to try the benchmark itself.

    Returns:
        The table.
    """
    table = Table(
        "model", "tokens", "prompts", "TFLOP of all heads", "GFLOP/s", "memory", "seconds",
        title="All heads (z) at all positions",
    )  # fmt: skip
    rate, model, made = float("nan"), None, ""
    for name, length, prompts in POINTS:
        config = SHAPES[name]
        if tiny:
            config = replace(config, n_heads=2, d_model=16, d_mlp=32, d_vocab=50)
        layer, whole = config.n_layers // 2, head_sweep_operations(config, length, prompts)
        work = head_sweep_operations(config, length, prompts, [layer])
        measured, memory = work <= _MOST, float("nan")
        if measured:
            if made != name:
                model = None  # let go of it before the next is made
                model, made = random_gpt2(config), name
            task = random_prompts(prompts, length, config.d_vocab)
            done: list[int] = []

            def sample(
                model: interp.HookedGPT2 = model, task: Task = task, layer: int = layer,
                done: list[int] = done,
            ) -> None:  # fmt: skip
                done.append(operations(lambda: patch(model, task, "z", Selection(layers=[layer]))))

            start = time.perf_counter()
            memory = peak_bytes(sample)
            rate = done[0] / (time.perf_counter() - start)
        total = whole + (done[0] - work if measured else 0)
        table.add_row(
            name, str(length), str(prompts), f"{whole / 1e12:.3g}",
            *((f"{rate / 1e9:.0f}", f"{memory / 2**20:.0f} MiB") if measured else ("", "")),
            f"{total / rate:.3g}" + ("" if measured else " (counted)"),
        )  # fmt: skip
    return table
