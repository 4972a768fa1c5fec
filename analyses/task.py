"""Tasks other than IOI: does a GPT-2 do them, and by which heads?

The tasks are greater-than, induction, gendered pronouns, subject-verb agreement and acronyms. The
report shows how well the model does, which heads write the answer (path patching), a circuit pruned
from all heads with the links between them, how much of the task the circuit does alone (mean
ablation), and, for `gpt2`, the published circuit, if there is one. If pruning with heads ablated at
all positions leaves less than half of the task, it is repeated with heads ablated only at positions
with a role.

    interp task greater-than --model mini --n 100 --out out/task

Source: Hanna et al. 2023 (arXiv 2305.00586); Olsson et al. 2022 (arXiv 2209.11895); Linzen et al.
2016 (arXiv 1611.01368); García-Carrasco et al. 2024 (arXiv 2405.04156); pruning and ablation as in
`interp ioi`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

import interp
from analyses.common.choices import among, names, require_device, require_model, require_prompts
from analyses.common.opening import open_model
from analyses.common.shell import Device, Model, N, Out, Seed, bar, prepare, show, start
from analyses.common.study import Study
from interp.report import Report

TASKS = ("greater-than", "induction", "pronoun", "agreement", "acronym")


def run(
    name: str,
    model: str | Path | interp.HookedGPT2 = "mini",
    *,
    n: int = 100,
    seed: int = 0,
    out: str | Path | None = None,
    threshold: float = 0.02,
    device: str | None = None,
) -> Report:
    """Run the analysis.

    Args:
        name: a task in `TASKS`
        model: a name or directory for `interp.load`, or a loaded model
        n: number of prompts, at least 2
        seed: seed of the prompts
        out: folder for the report, results.json, results.csv, prompts.csv, the circuit and its
            diagrams; None writes nothing
        threshold: smallest effect of a head in the circuit, as a fraction of the mean metric
        device: where to run; None for where the model is

    Returns:
        The report.

    Raises:
        ValueError: the task is unknown, there are fewer than 2 prompts, the threshold is not a
            fraction between 0 and 1, or the model does not fit the task
        OSError: `out` cannot be written to
    """
    among("task", [name], TASKS)
    require_prompts(n)
    if not 0 < threshold < 1:
        raise ValueError(f"threshold must be a positive fraction below 1, got {threshold}")
    require_model(model)
    require_device(device)
    folder = prepare(out)
    from analyses import task_report

    loaded = open_model(model, device)
    draw = partial(getattr(interp.tasks, name.replace("-", "_")), loaded.tokenizer, seed=seed)
    task = draw(n)
    task.require_fits(loaded)
    metric = task.metric
    study = Study(loaded, task, seed, metric, folder, {"task": name}, draw)

    readings = [metric, *(m for m in task_report.READINGS if m != metric)]
    readings += ["cutoff_sharpness"] if name == "greater-than" else []
    sides = {
        str(side): interp.patching.measure(loaded, study.task, readings, side=side)
        for side in interp.tasks.sides.SIDES
    }
    direct = interp.patching.path_patch(
        loaded, study.task, metrics=metric, progress=bar("direct effects")
    )
    study.keep("direct effects", direct)
    options: dict[str, Any] = {"value": "group mean", "metrics": metric}
    study.keep(
        "ablation", interp.patching.ablate(loaded, study.task, progress=bar("ablation"), **options)
    )
    attention = interp.heads.attention_between(loaded, study.task, progress=bar("attention"))
    evidence = interp.circuits.derive_pruned(
        loaded, task, threshold=threshold, progress=bar("circuit")
    )
    found = evidence.circuit
    circuits = {"found here": found, **_published(study)}
    for label, circuit in circuits.items():
        _faithfulness(study, label, circuit)

    patterns = interp.heads.attention_patterns(loaded, study.task.clean[0])
    sections = task_report.sections(study, name, sides, circuits, evidence)
    if folder is not None:
        task_report.write_circuits(study, circuits, attention, patterns)
    best = interp.patching.strongest_heads(study.estimates["direct effects"], 3)
    whole, kept, at_roles = (
        study.figures[f"{key}, found here"] for key in ("F_M", "ratio", "ratio at roles")
    )
    lead = (
        f"On {n} prompts of {name}, {loaded.name} reaches a mean {metric} of {whole.mean:.2f}. The "
        f"heads with the largest direct effects are {names(best)}. "
    )
    if found.heads:
        alone, at_roles_alone = (f"{round(one.mean, 2) + 0:.0%}" for one in (kept, at_roles))
        lead += (
            f"The {len(found.heads)} head outputs found here alone keep {alone} of it, and "
            f"{at_roles_alone} if heads at positions without a role are left alone."
        )
    else:
        lead += (
            "Once the others are ablated, no head output at the task\u2019s roles makes a "
            "difference above the threshold."
        )
    more = task_report.downloads(circuits)
    return study.report(f"{name.capitalize()} in {loaded.name}", lead, sections, more)


def _published(study: Study) -> dict[str, interp.circuits.Circuit]:
    """The published circuit, if there is one for this model."""
    try:
        return {"published": interp.circuits.published_circuit(study.task.name, study.model.name)}
    except KeyError:
        return {}


def _faithfulness(study: Study, label: str, circuit: interp.circuits.Circuit) -> None:
    """The metric of the whole model and of the circuit alone, and their ratio.

    "At roles" means that heads are ablated only at the task's roles: a model that also uses other
    positions fails when these are ablated, whatever the circuit is.
    """
    roles = list(study.task.positions)
    for where, positions in (("", None), (" at roles", roles)):
        found = interp.circuits.faithfulness(
            study.model, study.task, circuit, positions=positions, progress=bar(label)
        )[study.metric]
        whole, alone = (found.sel(run=run, drop=True) for run in ("full", "circuit"))
        for key, values in (("F_M", whole), (f"F_C{where}", alone)):
            study.keep(f"{key}, {label}", values)
            means = study.estimates[f"{key}, {label}"]
            ends = (float(means[end]) for end in ("mean", "low", "high"))
            study.figures[f"{key}, {label}"] = interp.statistics.Estimate(*ends)
        ratio = interp.statistics.estimate_ratio(alone, whole)
        study.figures[f"ratio{where}, {label}"] = ratio


def main(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(TASKS)}.")],
    model: Model = "mini",
    n: N = 100,
    seed: Seed = 0,
    out: Out = Path("out/task"),
    threshold: Annotated[
        float,
        typer.Option(help="Smallest effect of a head, as a fraction of the metric."),
    ] = 0.02,
    device: Device = None,
) -> None:
    """Behavior, direct effects, circuit and faithfulness on tasks other than IOI."""
    report = run(name, model, n=n, seed=seed, out=out, threshold=threshold, device=device)
    show(report, out)


if __name__ == "__main__":
    start(main)
