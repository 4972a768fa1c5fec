"""The `interp` command: one subcommand an analysis."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(
    help="Open GPT-2: run the analyses of interp.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Model = Annotated[
    str,
    typer.Option(
        help="mini (bundled), gpt2, gpt2-medium, gpt2-large, gpt2-xl, distilgpt2 (Hugging Face "
        "hub), or a directory in Hugging Face layout."
    ),
]


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Say what is wrong with the input in its own words, without a traceback."""
    try:
        yield
    except (ValueError, KeyError, OSError) as error:
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        Console(stderr=True).print(f"interp: {message}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from error


@app.callback()
def _commands() -> None:
    """Open GPT-2: run the analyses of interp."""


@app.command()
def ioi(
    model: Model = "mini",
    n: Annotated[int, typer.Option(help="Number of prompts.", min=2)] = 200,
    seed: Annotated[int, typer.Option(help="Of the prompts.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the report and its files.")] = Path(
        "out/ioi"
    ),
    prompts: Annotated[
        Path | None, typer.Option(help="JSON file of templates, names and nouns.")
    ] = None,
    circuit: Annotated[
        Path | None, typer.Option(help="circuit.json to evaluate instead of the canned one.")
    ] = None,
    threshold: Annotated[
        float,
        typer.Option(help="Smallest effect of a head, as a fraction of the logit difference."),
    ] = 0.02,
    device: Annotated[str | None, typer.Option(help="Where to run, such as cuda.")] = None,
) -> None:
    """Indirect object identification: behavior, direct effects, circuit, faithfulness, report."""
    with _plain_errors():
        from analyses.ioi import run
        from interp.circuits import Circuit

        given = None if circuit is None else Circuit.from_json(circuit.read_text(encoding="utf-8"))
        report = run(
            model,
            n=n,
            seed=seed,
            out=out,
            prompts=prompts,
            circuit=given,
            threshold=threshold,
            device=device,
        )
    Console().print(report.lead, highlight=False)
    Console().print(f"Report: {out / 'report.html'}", highlight=False, soft_wrap=True)


@app.command()
def verify(
    model: Annotated[str, typer.Argument(help="A model's name or directory.")] = "mini",
) -> None:
    """Compare a model with transformers' own GPT-2 on the same weights, layer by layer."""
    with _plain_errors():
        import interp

        report = interp.verify(model)
    Console().print(str(report), highlight=False, markup=False, soft_wrap=True)
    if not report.passed:
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
