"""`make bench`: how fast the interventions are, beside what does the same today.

Prints, from one interleaved run: the peak of a matrix product on this machine; a plain forward
against it; every comparison of `rows` with its ratio, its goal, how many times fewer operations
ours takes (the ratio at equal rates, which no noise of the machine changes), for path patching also
the ratio to plain hooks on our own model, the floor of its operation count, peak memory and whether
the numbers agree; and how cost grows with the model, the
prompts' length and their number.
"""

import os
import tempfile
import warnings
from functools import partial
from typing import Annotated

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TQDM_DISABLE"] = "1"

import torch
import typer
from rich.console import Console
from rich.table import Table

import interp
from interp.patching import measure
from tests.benchmarks.growth import growth_table
from tests.benchmarks.measure import interleaved, matmul, operations, peak_bytes
from tests.benchmarks.rows import SMALL, Row, all_rows, random_gpt2, random_prompts

_SHAPES = ((768, 3072), (3072, 768), (768, 2304))


def peak_calls(rows: int) -> dict[str, tuple]:
    """Matrix products of the model's own shapes."""
    return {f"{a} x {b}": matmul(rows, a, b) for a, b in _SHAPES}


def bridge_of(model: interp.HookedGPT2) -> object:
    """TransformerLens's bridge on the same weights."""
    from transformer_lens.model_bridge import TransformerBridge

    with tempfile.TemporaryDirectory() as directory, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(directory)
        return TransformerBridge.boot_transformers(directory, device="cpu")


def forward_row(model: interp.HookedGPT2, n: int, length: int, rounds: int) -> Table:
    """A forward with the logits of two tokens at END, against the peak of a matrix product."""
    task = random_prompts(n, length, model.config.d_vocab)
    peaks = peak_calls(n * length)
    calls = {name: call for name, (call, _) in peaks.items()}
    calls["forward"] = lambda: measure(model, task)
    seconds = interleaved(calls, rounds)
    peak = max(work / seconds[name] for name, (_, work) in peaks.items())
    work = operations(calls["forward"])
    table = Table("what", "seconds", "GFLOP", "GFLOP/s", "of the peak", "goal")
    table.add_row("peak of a matrix product", "", "", f"{peak / 1e9:.0f}", "", "")
    rate = work / seconds["forward"]
    table.add_row(
        f"forward, {n} prompts of {length} tokens", f"{seconds['forward']:.3f}",
        f"{work / 1e9:.0f}", f"{rate / 1e9:.0f}", f"{rate / peak:.0%}", "75%",
    )  # fmt: skip
    return table


def comparison(rows: list[Row], rounds: int, progress: Console) -> Table:
    """Every row, timed in turns with the matrix product that its floor is reckoned with."""
    table = Table(
        "what", "prompts", "ours, s", "theirs, s", "times faster", "goal", "fewer operations",
        "than hooks on ours", "floor, s", "of the peak", "memory, ours", "theirs",
        "largest difference",
    )  # fmt: skip
    for row in rows:
        progress.print(f"{row.name}, {row.prompts} prompts", style="dim")
        product, work = matmul(2048, 768, 3072)
        calls = {"ours": row.ours, "theirs": row.theirs, "peak": product}
        results: dict[str, torch.Tensor] = {}
        counted: dict[str, int] = {}

        def run(
            side: str, row: Row = row, results: dict = results, counted: dict = counted
        ) -> None:
            call = getattr(row, side)
            counted[side] = operations(lambda: results.update({side: call()}))

        if row.hooked is not None:
            calls["hooked"] = row.hooked
        memory = {side: peak_bytes(partial(run, side)) for side in ("ours", "theirs")}
        product()
        if row.hooked is not None:
            results["hooked"] = row.hooked()
        seconds = interleaved(calls, rounds, warm=True)
        whole = seconds["theirs"] / row.share
        floor = counted["ours"] / (work / seconds["peak"])
        fewer = counted["theirs"] / row.share / counted["ours"]
        hooked = f"{seconds['hooked'] / row.share / seconds['ours']:.1f}" if row.hooked else ""
        found, expected = results["ours"][row.sample], results["theirs"]
        twins = [result for side, result in results.items() if side != "ours"]
        difference = max((found - twin).abs().max() for twin in twins)
        scale = (expected - expected.median()).abs().max()
        table.add_row(
            row.name, str(row.prompts), f"{seconds['ours']:.2f}", f"{whole:.2f}",
            f"{whole / seconds['ours']:.1f}", f"{row.goal:g}", f"{fewer:.1f}", hooked,
            f"{floor:.2f}", f"{floor / seconds['ours']:.0%}",
            *(f"{b / 2**20:.0f} MiB" for b in memory.values()), f"{difference / scale:.0e}",
        )  # fmt: skip
        said = f"{whole / seconds['ours']:.1f} times faster, {fewer:.1f} times fewer operations"
        said += f", {hooked} times faster than hooks on ours" if hooked else ""
        said += f", {floor / seconds['ours']:.0%} of the peak"
        progress.print(f"  {said}, {memory['ours'] / 2**20:.0f} MiB", style="dim")
    return table


def main(
    rounds: Annotated[int, typer.Option(help="Times that each call is timed.")] = 3,
    sample: Annotated[
        int, typer.Option(help="Cells that the other side's loops are timed on.")
    ] = 12,
    prompts: Annotated[int, typer.Option(help="Prompts of the larger comparisons.")] = 64,
    only: Annotated[str, typer.Option(help="Rows whose name holds this text.")] = "",
    growth: Annotated[bool, typer.Option(help="Also print how cost grows.")] = True,
    tiny: Annotated[bool, typer.Option(help="A tiny model, to try the benchmark itself.")] = False,
    threads: Annotated[int, typer.Option(help="Of PyTorch; 0 leaves it alone.")] = 0,
) -> None:
    """Time the interventions."""
    if threads:
        torch.set_num_threads(threads)
    config = (
        interp.GPT2Config(n_layers=4, n_heads=2, d_model=32, d_mlp=64, d_vocab=100, n_ctx=32)
        if tiny
        else SMALL
    )
    console = Console(width=max(160, Console().width))
    console.print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads; "
        f"{config.n_layers} layers of {config.n_heads} heads, d_model {config.d_model}, float32"
    )
    model = random_gpt2(config)
    console.print(forward_row(model, prompts, 16, max(rounds, 5)))
    tasks = [random_prompts(n, 16, config.d_vocab) for n in (prompts, 8)]
    rows = [row for row in all_rows(model, bridge_of(model), tasks, sample) if only in row.name]
    console.print(comparison(rows, rounds, Console(stderr=True)))
    if growth:
        console.print(growth_table(tiny=tiny))


app = typer.Typer()
app.command()(main)

if __name__ == "__main__":
    app()
