"""What every analysis shows to a shell: the same options, plain errors, progress on the terminal.

An analysis file has `run(...)` for notebooks and `main(...)`, its options, for the `interp` command
and for `python -m analyses.NAME`.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from interp.report import Report

Model = Annotated[
    str,
    typer.Option(
        help="mini (bundled), gpt2, gpt2-medium, gpt2-large, gpt2-xl, distilgpt2 (Hugging Face "
        "hub), or a directory in Hugging Face layout."
    ),
]
N = Annotated[int, typer.Option(help="Number of prompts.", min=2)]
Seed = Annotated[int, typer.Option(help="Of the prompts.")]
Out = Annotated[Path, typer.Option(help="Folder for the report and its files.")]
Device = Annotated[str | None, typer.Option(help="Where to run, such as cuda.")]
Prompts = Annotated[Path | None, typer.Option(help="JSON file of templates, names and nouns.")]


def prepare(folder: str | Path) -> Path:
    """Make the folder and try it, so that no work is done for nothing.

    Args:
        folder: where the files will go.

    Returns:
        The folder.

    Raises:
        OSError: it cannot be made or written to.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(
            f"cannot write to {folder}: {error.strerror}; pass another folder as out"
        ) from error
    return folder


@contextmanager
def plain_errors() -> Iterator[None]:
    """Say what is wrong with the input in its own words, without a traceback."""
    try:
        yield
    except (ValueError, KeyError, OSError) as error:
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        Console(stderr=True).print(f"interp: {message}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from error


def show(report: Report, folder: Path) -> None:
    """Print what an analysis found and where its report lies."""
    Console().print(report.lead, highlight=False)
    Console().print(f"Report: {folder / 'report.html'}", highlight=False, soft_wrap=True)


def bar(description: str) -> partial[Iterable[slice]]:
    """A progress bar on the terminal's error stream, gone when it is full."""
    console = Console(stderr=True)
    hidden = not console.is_terminal
    return partial(track, description=description, transient=True, console=console, disable=hidden)
