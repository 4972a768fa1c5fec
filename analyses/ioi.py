"""Indirect object identification: which heads of a GPT-2 tell who gets the drink?

The canned run of Wang et al. 2022, "Interpretability in the Wild" (arXiv 2211.00593), on any
GPT-2: how well it does the task, which heads write the answer (path patching), a circuit, and how
much of the task the circuit does alone (mean ablation). For `gpt2` the circuit is the paper's, 26
heads, and every figure stands beside the paper's own. For another model it is made of the heads
whose effect passes a threshold, as `interp.circuits.prune_heads` says.

    interp ioi --model mini --n 200 --seed 0 --out out/ioi
"""

from pathlib import Path
from typing import Annotated

import typer
import xarray as xr

import interp
from analyses import ioi_files
from analyses.ioi_report import Findings, write_report
from analyses.shell import Device, Model, N, Out, Prompts, Seed, bar, plain_errors, show
from interp.circuits import Circuit, classify, faithfulness, prune_heads, published
from interp.heads import attention_between
from interp.lens import direct_logit_attribution
from interp.patching import effect, measure, path_patch
from interp.report import Report
from interp.tasks import Task, ioi


def run(
    model: str | Path | interp.HookedGPT2 = "mini",
    *,
    n: int = 200,
    seed: int = 0,
    out: str | Path | None = None,
    prompts: str | Path | None = None,
    circuit: Circuit | None = None,
    threshold: float = 0.02,
    device: str | None = None,
) -> Report:
    """Run the analysis.

    Args:
        model: a name or directory for `interp.load`, or a loaded model.
        n: number of prompts, at least 2.
        seed: of the prompts.
        out: folder for report.html, results.json, prompts.json, circuit.json and the diagram; None
            writes nothing.
        prompts: a JSON file of templates, names and nouns; None for interp's own.
        circuit: the circuit to evaluate; None for the paper's if the model is `gpt2`, else the
            heads above the threshold.
        threshold: smallest effect of a head of the circuit, as a fraction of the mean logit
            difference.
        device: where to run; None for where the model is.

    Returns:
        The report.

    Raises:
        ValueError: for fewer than 2 prompts, or input that model or prompts do not fit.
        OSError: when `out` cannot be written to; asked before any work.
    """
    if n < 2:
        raise ValueError(f"n must be at least 2 for an interval, got {n}")
    if not threshold > 0:
        raise ValueError(f"threshold must be a positive fraction, got {threshold}")
    folder = None if out is None else ioi_files.prepare(out)
    loaded = model if isinstance(model, interp.HookedGPT2) else interp.load(model)
    if device is not None:
        loaded.to(device)
    task = ioi(loaded.tokenizer, n, seed=seed, corruption="abc", prompts=prompts)

    behavior = _behavior(loaded, task)
    direct = effect(path_patch(loaded, task, "logits", progress=bar("direct effects")))
    attention = attention_between(loaded, task, progress=bar("attention"))
    attribution = direct_logit_attribution(loaded, task, by="head", progress=bar("attribution"))
    if circuit is None:
        circuit = _circuit(loaded, task, behavior, direct, attention, threshold)
    alone = faithfulness(loaded, task, circuit, progress=bar("faithfulness"))

    findings = Findings(
        loaded, task, seed, behavior, direct, attention, attribution, circuit, alone
    )
    report = write_report(findings)
    if folder is not None:
        ioi_files.write(folder, findings, report)
    return report


def _behavior(model: interp.HookedGPT2, task: Task) -> xr.Dataset:
    """What the whole model does, prompt by prompt."""
    metrics = ("logit_diff", "accuracy", "probability")
    found = measure(model, task, metrics, progress=bar("behavior"))
    found = found.rename(probability="io_probability")
    return found.assign_coords(order=("prompt", list(task.order)))


def _circuit(
    model: interp.HookedGPT2,
    task: Task,
    behavior: xr.Dataset,
    direct: xr.DataArray,
    attention: xr.DataArray,
    threshold: float,
) -> Circuit:
    """The paper's circuit for its model; for any other the heads whose effects are large."""
    if model.name == "gpt2":
        return published("ioi", "gpt2")
    keep = prune_heads(model, task, threshold=threshold, progress=bar("circuit"))
    return classify(
        keep,
        direct,
        attention,
        smallest=threshold * abs(float(behavior["logit_diff"].mean())),
        source=f"pruned from the last layer to the first, threshold {threshold:.1%} of F(M)",
    )


def main(
    model: Model = "mini",
    n: N = 200,
    seed: Seed = 0,
    out: Out = Path("out/ioi"),
    prompts: Prompts = None,
    circuit: Annotated[
        Path | None, typer.Option(help="circuit.json to evaluate instead of the canned one.")
    ] = None,
    threshold: Annotated[
        float,
        typer.Option(help="Smallest effect of a head, as a fraction of the logit difference."),
    ] = 0.02,
    device: Device = None,
) -> None:
    """Indirect object identification: behavior, direct effects, circuit, faithfulness, report."""
    with plain_errors():
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
    show(report, out)


if __name__ == "__main__":
    typer.run(main)
