"""Compare a model with transformers' own GPT-2, and GPT-2 small with what others published.

Without options, every layer is compared with transformers on the same weights. `--published` adds,
for a GPT-2 small, activations that others stored, where named heads look, the paper's circuit
against an independent one, and the figures of the IOI paper; see `analyses.verification`.

    interp verify gpt2
    interp verify gpt2 --published --out out/verify
    interp verify path/to/gpt2 --published --prompts paper_prompts.json --n 100

Exit code 0: everything agrees. 1: something disagrees. 3: nothing disagrees, but something could
not be measured.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

import interp
from analyses.common.choices import require_json, require_model, require_prompts
from analyses.common.shell import ASKED, Device, N, PromptsFile, Seed, require_own, start


def main(
    model: Annotated[str, typer.Argument(help="A model's name or directory.")] = "mini",
    published: Annotated[
        bool,
        typer.Option("--published", help="Compare GPT-2 small with all that others published."),
    ] = False,
    prompts: PromptsFile = None,
    n: N = 100,
    seed: Seed = 0,
    folder: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for published.json; by default out/verify-MODEL."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the results of another run there.")
    ] = False,
    device: Device = None,
) -> None:
    """Compare a model with transformers' GPT-2, and GPT-2 small with what others published."""
    require_model(model)
    if published:
        _published(model, prompts, n, seed, folder, overwrite, device)
        return
    if prompts is not None or folder is not None or device is not None:
        raise ValueError("--prompts, --out and --device belong to --published; add it")
    report = interp.verify(model)
    Console().print(str(report), highlight=False, markup=False, soft_wrap=True)
    if not report.passed:
        raise typer.Exit(1)


def _published(
    model: str,
    prompts: Path | None,
    n: int,
    seed: int,
    out: Path | None,
    overwrite: bool,
    device: str | None,
) -> None:
    require_prompts(n)
    require_json(prompts, "prompts file")
    folder = Path("out") / f"verify-{Path(model).resolve().name}" if out is None else out
    asked: dict[str, Any] = {
        "analysis": "verify", "model": model, "n": n, "seed": seed,
        "prompts": None if prompts is None else str(prompts),
    }  # fmt: skip
    if not overwrite:
        require_own(folder, asked)

    from analyses.common.shell import prepare
    from analyses.verification import run
    from analyses.verification.record import NAME
    from analyses.verification.table import show_record

    prepare(folder)
    progress = Console(stderr=True)

    def say(line: str) -> None:
        progress.print(line, highlight=False, markup=False, soft_wrap=True)

    record = run(model, n=n, seed=seed, prompts=prompts, out=folder, device=device, say=say)
    (folder / ASKED).write_text(json.dumps(asked, indent=1) + "\n", "utf-8")
    console = Console()
    show_record(console, record)
    console.print(
        f"All of it, to send back: {folder / NAME}", highlight=False, markup=False, soft_wrap=True
    )
    if code := record.exit_code():
        raise typer.Exit(code)


if __name__ == "__main__":
    start(main)
