"""Print what a model of the generated language can do on prompts held out of its training."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from interp.model.loading import load
from interp.training.mini import Figure, held_out_figures


def run(model: str = "mini", *, n: int = 2000, seed: int = 1) -> list[Figure]:
    """Measure every skill of the language on held-out prompts.

    Args:
        model: a name or directory that `interp.load` opens.
        n: prompts for each skill.
        seed: of the prompts.

    Returns:
        The figures of `interp.training.held_out_figures`.
    """
    return held_out_figures(load(model), n=n, seed=seed)


def main(
    model: Annotated[str, typer.Option(help="Name or directory of the model.")] = "mini",
    n: Annotated[int, typer.Option(help="Prompts for each skill.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of the prompts.")] = 1,
) -> None:
    """Print the held-out figures; fail if one is below what is required of it."""
    figures = run(model, n=n, seed=seed)
    table = Table(title=f"{model} on held-out prompts")
    for column in ("skill", "held out", "measure", "value [95 % interval]", "n", "required"):
        table.add_column(column)
    for f in figures:
        required = "" if f.required is None else f">= {f.required:g}"
        color = "green" if f.reached else "red"
        value = f"[{color}]{f.estimate.mean:.3f}[/] \\[{f.estimate.low:.3f}, {f.estimate.high:.3f}]"
        table.add_row(f.skill, f.held_out, f.measure, value, str(f.n), required)
    Console().print(table)
    missed = [f for f in figures if not f.reached]
    if missed:
        raise typer.Exit(code=1)


if __name__ == "__main__":
    typer.run(main)
