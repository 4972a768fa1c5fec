"""What all commands share: options, one way to fail, and a progress bar.

An analysis file has `run(...)` for notebooks and `main(...)`, whose arguments are its options, for
the `interp` command and for `python -m analyses.NAME`. Both use `command`, which adds the options
that all commands have:

    --debug       the traceback of an error
    --overwrite   put the results in a folder that holds those of another run

An error in the input ends a command with one line and exit code 2. Any other error is a bug; the
message says so, and the exit code is 1.
"""

import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dis import opmap
from functools import partial, wraps
from pathlib import Path
from tempfile import NamedTemporaryFile
from traceback import format_exc
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any

import typer

import interp
from analyses.common.choices import CORRUPTIONS, METRICS

if TYPE_CHECKING:
    from interp.report import Report

Model = Annotated[
    str,
    typer.Option(
        help="mini (bundled), gpt2, gpt2-medium, gpt2-large, gpt2-xl, distilgpt2 (Hugging Face "
        "hub), or a directory in Hugging Face layout."
    ),
]
N = Annotated[int, typer.Option(help="Number of prompts.", min=2)]
Seed = Annotated[int, typer.Option(help="Seed of the prompts.")]
Out = Annotated[Path, typer.Option(help="Folder for the report and its files.")]
Device = Annotated[str | None, typer.Option(help="Where to run, such as cuda.")]
Metric = Annotated[str, typer.Option(help=f"One of {', '.join(METRICS)}.")]
Corruption = Annotated[str, typer.Option(help=f"One of {', '.join(CORRUPTIONS)}.")]
PromptsFile = Annotated[Path | None, typer.Option(help="JSON file of templates, names and nouns.")]
_Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
_Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the results of another run in the folder.")
]

SETTINGS: Mapping[str, Any] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
}
"""Settings of all typer applications here."""

ASKED = "run.json"
"""The file in a folder of results that records what was asked for."""

_HOW = ("debug", "overwrite", "out", "device")
"""Options that do not affect results, only how a command runs."""

_HERE = tuple(str(Path(file).parent) for file in (interp.__file__, __file__, Path(__file__).parent))
_RAISE = opmap["RAISE_VARARGS"]


def command(
    main: Callable[..., None], *, views: Iterable[str] = (), debug: bool = False
) -> Callable[..., None]:
    """Make the command of an analysis, with its options and those that all commands have.

    Args:
        main: the function that takes the options of the analysis
        views: options that choose what to show or measure in addition; runs that differ only in
            these may share a folder
        debug: default of `--debug`

    Returns:
        A function for typer.
    """
    plain = inspect.signature(main, eval_str=True)
    has_folder = "out" in plain.parameters
    added: dict[str, Any] = {"overwrite": (_Overwrite, False)} if has_folder else {}
    added["debug"] = (_Debug, debug)
    ignored = {*_HOW, *views}

    @wraps(main)
    def run(*, debug: bool, overwrite: bool = False, **options: Any) -> None:
        with plain_errors(debug):
            asked = {key: _plain(value) for key, value in options.items() if key not in ignored}
            asked = {"analysis": main.__module__.removeprefix("analyses."), **asked}
            if has_folder and not overwrite:
                require_own(options["out"], asked)
            main(**options)
            if has_folder:
                (options["out"] / ASKED).write_text(json.dumps(asked, indent=1) + "\n", "utf-8")

    parameters = [
        *plain.parameters.values(),
        *(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value, annotation=kind)
            for name, (kind, value) in added.items()
        ),
    ]
    run.__signature__ = plain.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
    del run.__wrapped__
    return run


def start(main: Callable[..., None], **options: Any) -> None:
    """Run the command of an analysis file, as `python -m analyses.NAME` does.

    Args:
        main: as for `command`
        options: as for `command`
    """
    app = typer.Typer(**SETTINGS)
    app.command()(command(main, **options))
    app()


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def require_own(folder: Path, asked: Mapping[str, Any]) -> None:
    """Refuse a folder that holds the results of another run.

    Args:
        folder: folder for the results
        asked: what this run asks for

    Raises:
        ValueError: the results in the folder answer something else
    """
    try:
        before = json.loads((folder / ASKED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # there is nothing, or nothing of ours
    names = [key for key in {**before, **asked} if before.get(key) != asked.get(key)]
    if names:
        was, is_now = (
            ", ".join(f"{key} {one.get(key)}" for key in names) for one in (before, asked)
        )
        raise ValueError(
            f"{folder} holds the results of another run ({was}; now {is_now}); give another "
            "folder as --out, or --overwrite to replace them"
        )


def prepare(folder: str | Path | None) -> Path | None:
    """Create the folder and check that it is writable, so that no work is wasted.

    Args:
        folder: folder for the files; None for none

    Returns:
        The folder.

    Raises:
        OSError: it cannot be created or written to
    """
    if folder is None:
        return None
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
def plain_errors(debug: bool = False) -> Iterator[None]:
    """Report errors in the input in one line, and any other error as a bug.

    Args:
        debug: whether to show the traceback of either

    Raises:
        typer.Exit: with code 2 for an error in the input, else with code 1.
    """
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        from rich.console import Console

        console = Console(stderr=True)
        say = partial(console.print, style="red", markup=False, highlight=False, soft_wrap=True)
        if debug:
            console.print(format_exc(), markup=False, highlight=False, soft_wrap=True)
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        if is_about_input(error):
            say(f"interp: {message}")
            raise typer.Exit(2) from error
        say(f"interp: {type(error).__name__}: {message}")
        say(
            "This is a bug in interp, not an error in your input. "
            + ("Please report it." if debug else "Run it with --debug and report the traceback.")
        )
        raise typer.Exit(1) from error


def is_about_input(error: BaseException) -> bool:
    """Whether an error is one that interp raises on purpose, because of its input.

    torch, numpy or a mistake in this code (`int("x")`) may raise the same classes; those errors are
    bugs. So the error must come from a `raise` statement in interp or the analyses. A file that
    cannot be opened is always an error in the input.

    Args:
        error: the error, with its traceback

    Returns:
        True if the input is wrong.
    """
    if isinstance(error, OSError) and error.filename is not None:
        return True
    if not isinstance(error, ValueError | KeyError | OSError) or error.__traceback__ is None:
        return False
    last: TracebackType = error.__traceback__
    while last.tb_next is not None:
        last = last.tb_next
    code = last.tb_frame.f_code
    thrown = code.co_code[last.tb_lasti] == _RAISE
    return thrown and code.co_filename.startswith(_HERE)


def show(report: "Report", folder: Path) -> None:
    """Print what an analysis found and where its report is.

    Args:
        report: the report
        folder: folder that it was written to
    """
    from rich.console import Console

    Console().print(report.lead, highlight=False, markup=False)
    Console().print(
        f"Report: {folder / 'report.html'}", highlight=False, markup=False, soft_wrap=True
    )


def bar(description: str) -> partial[Iterable[slice]]:
    """A progress bar on the terminal's error stream, which disappears when it is full.

    Args:
        description: what the steps do

    Returns:
        A value for the `progress` argument of techniques.
    """
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    hidden = not console.is_terminal
    return partial(track, description=description, transient=True, console=console, disable=hidden)
