"""Compare a model with transformers' own GPT-2 on the same weights, layer by layer."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

import interp
from analyses.common.choices import require_model
from analyses.common.shell import start


def main(
    model: Annotated[str, typer.Argument(help="A model's name or directory.")] = "mini",
) -> None:
    """Compare a model with transformers' own GPT-2 on the same weights, layer by layer."""
    require_model(model)
    report = interp.verify(model)
    Console().print(str(report), highlight=False, markup=False, soft_wrap=True)
    if not report.passed:
        raise typer.Exit(1)


if __name__ == "__main__":
    start(main)
