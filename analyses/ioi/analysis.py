"""Indirect object identification: which heads of a GPT-2 tell who gets the drink?

The analysis of Wang et al. 2022, "Interpretability in the Wild" (arXiv 2211.00593), for any GPT-2:
how well it does the task, which heads write the answer (path patching), a circuit, and how much of
the task the circuit does alone (mean ablation); then the paper, section by section
(`analyses.ioi.parts`). For `gpt2` the circuit is the paper's, with 26 heads, and every figure is
compared with the paper's. For other models the circuit is derived by `interp.circuits.derive`, or
pruned if that fails; see `analyses.ioi.circuit`. Finished parts are kept in the folder and reused
by later runs on the same weights and prompts.

    interp ioi --model mini --n 200 --seed 0 --out out/ioi
    interp ioi --parts signals,adversarial
    interp ioi --model gpt2 --n 100 --full --out out/gpt2
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import interp
from analyses.common.choices import (
    among,
    require_device,
    require_json,
    require_model,
    require_prompts,
    words,
)
from analyses.common.opening import open_model
from analyses.common.shell import (
    Device,
    Model,
    N,
    Out,
    PromptsFile,
    Seed,
    bar,
    prepare,
    show,
    start,
)
from analyses.ioi.size import PAPERS_SIZE, USUAL_SIZE, Size
from interp.report import Report

if TYPE_CHECKING:
    from interp.circuits import Circuit
    from interp.execution import Results
    from interp.tasks import Task

PART_NAMES = (
    "name-movers",
    "s-inhibition",
    "signals",
    "early-heads",
    "random-tokens",
    "backups",
    "mlps",
    "derivation",
    "completeness",
    "minimality",
    "adversarial",
)
"""The parts of `analyses.ioi.parts`, in the order of the page."""

EXPLAINED = 60
"""Largest number of prompts on which heads outside the circuit are explained."""

VIEWS = ("parts", "quick", "full")
"""Options that choose how much of the paper to do; finished parts are reused."""


def run(
    model: str | Path | interp.HookedGPT2 = "mini-ioi",
    *,
    n: int = 200,
    seed: int = 0,
    out: str | Path | None = None,
    prompts: str | Path | None = None,
    circuit: Circuit | str | Path | None = None,
    threshold: float = 0.02,
    parts: Sequence[str] | None = None,
    size: Size = USUAL_SIZE,
    device: str | None = None,
) -> Report:
    """Run the analysis.

    Args:
        model: a name or directory for `interp.load`, or a loaded model
        n: number of prompts, at least 2
        seed: seed of the prompts
        out: folder for report.html, results.json, prompts.json, circuit.json, the diagram and the
            finished parts; None writes nothing
        prompts: a JSON file of templates, names and nouns; None for interp's own
        circuit: the circuit to evaluate, or its file; None for the paper's if the model is `gpt2`,
            else the derived one
        threshold: smallest effect of a head in the circuit, as a fraction of the mean logit
            difference
        parts: parts, among `PART_NAMES`, to run after behavior, direct effects, circuit and
            faithfulness; None for all
        size: size of searches and samples; `PAPERS_SIZE` for the paper's
        device: where to run; None for where the model is

    Returns:
        The report.

    Raises:
        ValueError: there are fewer than 2 prompts, a part is unknown, the threshold is not a
            fraction, a file cannot be read, or model, prompts and circuit do not fit each other
        OSError: `out` cannot be written to
    """
    require_prompts(n)
    if not 0 < threshold < 1:
        raise ValueError(f"threshold must be a fraction between 0 and 1, got {threshold}")
    chosen = list(PART_NAMES) if parts is None else list(parts)
    among("part", chosen, PART_NAMES)
    require_json(prompts, "prompts file")
    file = circuit if isinstance(circuit, str | Path) else None
    require_json(file, "circuit file")
    require_model(model)
    require_device(device)
    folder = prepare(out)

    from analyses.ioi import files
    from analyses.ioi import parts as paper
    from analyses.ioi.circuit import kept_circuit
    from analyses.ioi.findings import Findings
    from analyses.ioi.report import write_report
    from interp.execution import Store

    loaded = open_model(model, device)
    task = interp.tasks.ioi(loaded.tokenizer, n, seed=seed, corruption="abc", prompts=prompts)
    task.require_fits(loaded)
    given = None if isinstance(circuit, str | Path) else circuit
    if file is not None:
        given = interp.circuits.Circuit.load(file)
    if given is not None:
        given.require_model(loaded)

    store = Store(None if folder is None else folder / "parts", loaded, task)
    behavior = store.get("behavior", partial(_behavior, loaded, task), version=2)["behavior"]
    heads = store.get("heads", partial(_heads, loaded, task), version=2)["heads"]
    evidence: Results | None = None
    if given is None:
        found, evidence = kept_circuit(store, loaded, task, threshold=threshold)
    else:
        found = given
    job = partial(_alone, loaded, task, found)
    alone = store.get("faithfulness", job, version=3, circuit=found)["alone"]

    left = partial(_left_out, loaded, task, found)
    matter = store.get("left-out", left, version=1, circuit=found)["left_out"]

    setting = paper.Setting(
        loaded, task, found, heads.direct, heads.attention, seed, size, evidence
    )
    chapters = {}
    for name in chosen:
        part = paper.PARTS[name]
        collect = partial(part.collect, setting)
        results = store.get(name, collect, version=part.version, **setting.depends)
        chapters[name] = part.write(setting, results)
    options = {
        "model": str(model) if isinstance(model, str | Path) else loaded.name,
        "prompts": None if prompts is None else str(prompts),
        "given_circuit": given is not None,
        "threshold": threshold,
        "parts": chosen,
        "size": asdict(size),
    }
    findings = Findings(
        loaded, task, seed, options, behavior, heads.direct, heads.attention, heads.attribution,
        found, alone, heads.writes_answer, heads.writes_foil, matter,
    )  # fmt: skip
    report = write_report(findings, chapters)
    if folder is not None:
        files.write(folder, findings, report, chapters)
    return report


def _behavior(model: interp.HookedGPT2, task: Task) -> Results:
    """The whole model's behavior on every prompt."""
    metrics = ("accuracy", *interp.metrics.BEHAVIOR)
    found = interp.patching.measure(model, task, metrics, progress=bar("behavior"))
    return {"behavior": found.assign_coords(order=("prompt", list(task.order)))}


def _heads(model: interp.HookedGPT2, task: Task) -> Results:
    """Direct effects, attention between roles and what every head writes at END."""
    import xarray as xr

    written = {
        name: interp.lens.direct_logit_attribution(
            model, task, by="head", metric=metric, progress=bar(name.replace("_", " "))
        )
        for name, metric in (
            ("attribution", None),
            ("writes_answer", "answer_logit"),
            ("writes_foil", "foil_logit"),
        )
    }

    paths = interp.patching.path_patch(model, task, "logits", progress=bar("direct effects"))
    found = {
        "direct": interp.patching.effect(paths),
        "attention": interp.heads.attention_between(model, task, progress=bar("attention")),
        **written,
    }
    return {"heads": xr.Dataset(found)}


def _alone(model: interp.HookedGPT2, task: Task, circuit: Circuit) -> Results:
    """The whole model and the circuit alone."""
    found = interp.circuits.faithfulness(
        model, task, circuit, metrics=interp.metrics.BEHAVIOR, progress=bar("faithfulness")
    )
    return {"alone": found}


def _left_out(model: interp.HookedGPT2, task: Task, circuit: Circuit) -> Results:
    """The heads that matter and are not in the circuit, on at most `EXPLAINED` prompts."""
    some = interp.tasks.balanced(task, EXPLAINED)
    found = interp.circuits.left_out(model, some, circuit, progress=bar("heads left out"))
    return {"left_out": found}


def main(
    model: Model = "mini-ioi",
    n: N = 200,
    seed: Seed = 0,
    out: Out = Path("out/ioi"),
    prompts: PromptsFile = None,
    circuit: Annotated[
        Path | None, typer.Option(help="circuit.json to evaluate instead of the default circuit.")
    ] = None,
    threshold: Annotated[
        float,
        typer.Option(help="Smallest effect of a head, as a fraction of the logit difference."),
    ] = 0.02,
    parts: Annotated[
        str | None, typer.Option(help=f"Only these parts, with commas: {', '.join(PART_NAMES)}.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="No parts: only behavior, circuit and faithfulness.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Searches and samples as large as the paper's.")
    ] = False,
    device: Device = None,
) -> None:
    """Indirect object identification: the paper, section by section, and a report."""
    report = run(
        model,
        n=n,
        seed=seed,
        out=out,
        prompts=prompts,
        circuit=circuit,
        threshold=threshold,
        parts=[] if quick and parts is None else words(parts, "part"),
        size=PAPERS_SIZE if full else USUAL_SIZE,
        device=device,
    )
    show(report, out)


if __name__ == "__main__":
    start(main)
