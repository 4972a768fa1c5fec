"""`python -m tests.benchmarks.ioi`: how long each part of `interp ioi` takes at the size of GPT-2.

The model has the shape and the name of GPT-2 small, so that the circuit is the paper's, and random
weights; its vocabulary is the bundled model's, padded to GPT-2's size. Processor time is printed
beside that of the clock, since a shared machine slows the clock alone, and both are counted in
forwards of the same prompts, timed between the parts, since machines differ.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table

import interp
from analyses import ioi as story
from analyses.ioi.parts import PARTS, Setting, Size
from interp.circuits import published_circuit
from interp.model import HookedGPT2
from interp.patching import measure
from interp.tasks import ioi
from tests.benchmarks.rows import SMALL


def timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """The result of a call, and its seconds on the clock and of processor time."""
    clock, processor = time.perf_counter(), time.process_time()
    found = call()
    return found, time.perf_counter() - clock, time.process_time() - processor


def main(
    prompts: int = 64,
    greedy: Annotated[
        bool, typer.Option(help="Also the greedy search, as large as usual.")
    ] = False,
    only: Annotated[str, typer.Option(help="Parts whose name holds this text.")] = "",
    tiny: Annotated[
        bool, typer.Option(help="A narrow model, to try the benchmark itself.")
    ] = False,
) -> None:
    """Time the parts, one after the other."""
    console = Console()
    tokenizer = interp.load("mini").tokenizer
    config = SMALL
    if tiny:
        config = interp.GPT2Config(
            n_layers=12, n_heads=12, d_model=48, d_mlp=48, d_vocab=2000, n_ctx=128
        )
    model = HookedGPT2(config, tokenizer, name="gpt2").eval()
    task = ioi(tokenizer, prompts)
    circuit = published_circuit("ioi", "gpt2")
    size = Size() if greedy else Size(runs=0)
    table = Table("part", "seconds", "processor seconds", "forwards")
    seconds, processor, forwards = [], [], []

    def row(name: str, call: Callable[[], Any]) -> Any:
        forwards.append(timed(partial(measure, model, task))[1])
        found, clock, cpu = timed(call)
        seconds.append(clock)
        processor.append(cpu)
        table.add_row(name, f"{clock:.1f}", f"{cpu:.1f}", f"{clock / forwards[-1]:.0f}")
        console.print(f"{name}: {clock:.1f} s, {cpu:.1f} s of processor time", style="dim")
        return found

    row("behavior", partial(story._behavior, model, task))
    heads = row("direct effects, attention, attribution", partial(story._heads, model, task))
    row("faithfulness", partial(story._alone, model, task, circuit))
    given = heads["heads"]
    setting = Setting(model, task, circuit, given.direct, given.attention, 0, size)
    for name, part in PARTS.items():
        if only in name:
            found = row(name, partial(part.collect, setting))
            row(f"{name}: its section", partial(part.tell, setting, found))
    whole = sum(one / forward for one, forward in zip(seconds, forwards, strict=True))
    table.add_row("total", f"{sum(seconds):.1f}", f"{sum(processor):.1f}", f"{whole:.0f}")
    console.print(
        f"{prompts} prompts, {config.n_layers} layers of {config.n_heads} heads, d_model "
        f"{config.d_model}, {torch.get_num_threads()} threads, "
        f"{'with' if greedy else 'without'} the greedy search"
    )
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
