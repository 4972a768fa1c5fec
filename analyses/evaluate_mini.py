"""Print what a model of the generated language can do on prompts held out of training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

import interp
from analyses.common.choices import require_model
from analyses.common.shell import start

if TYPE_CHECKING:
    from interp.training.mini import Score


def run(model: str = "mini", *, n: int = 2000, seed: int = 1) -> list[Score]:
    """Measure every skill of the language on held-out prompts.

    Args:
        model: a name or directory that `interp.load` opens
        n: number of prompts for each skill, at least 4
        seed: seed of the prompts

    Returns:
        The scores of `interp.training.mini.held_out_scores`.

    Raises:
        ValueError: the model does not exist, or there are fewer than 4 prompts
    """
    if n < 4:
        raise ValueError(f"n must be at least 4 prompts for each skill, got {n}")
    require_model(model)
    from interp.training.mini import held_out_scores

    return held_out_scores(interp.load(model), n=n, seed=seed)


def main(
    model: Annotated[str, typer.Option(help="Name or directory of the model.")] = "mini",
    n: Annotated[int, typer.Option(help="Prompts for each skill.", min=4)] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of the prompts.")] = 1,
) -> None:
    """Print the held-out scores; fail if a score is below its required value."""
    scores = run(model, n=n, seed=seed)
    table = Table(title=f"{model} on held-out prompts")
    for column in ("skill", "held out", "measure", "value [95 % interval]", "n", "required"):
        table.add_column(column)
    for f in scores:
        required = "" if f.required is None else f">= {f.required:g}"
        color = "green" if f.reached else "red"
        value = f"[{color}]{f.estimate.mean:.3f}[/] \\[{f.estimate.low:.3f}, {f.estimate.high:.3f}]"
        table.add_row(f.skill, f.held_out, f.metric, value, str(f.n), required)
    Console().print(table)
    missed = [f for f in scores if not f.reached]
    if missed:
        raise typer.Exit(code=1)


if __name__ == "__main__":
    start(main)
