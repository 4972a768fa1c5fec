"""Tasks other than IOI: does a GPT-2 do them, and by which heads?

The tasks are greater-than, induction, gendered pronouns, subject-verb agreement and acronyms, and
your own, from a CSV or JSON file. The
report shows how well the model does, which heads write the answer (path patching), a circuit pruned
from all heads with the links between them, how much of the task the circuit does alone (mean
ablation), and, for `gpt2`, the published circuit, if there is one. If pruning with heads ablated at
all positions leaves less than half of the task, it is repeated with heads ablated only at positions
with a role. If most of what the model does lies at positions without a role, a warning says so;
`--positions all` then makes the circuit of heads at every position.

    interp task greater-than --model mini --n 100 --out out/task
    interp task --csv docs/examples/own_task.csv

Source: Hanna et al. 2023 (arXiv 2305.00586); Olsson et al. 2022 (arXiv 2209.11895); Linzen et al.
2016 (arXiv 1611.01368); García-Carrasco et al. 2024 (arXiv 2405.04156); pruning and ablation as in
`interp ioi`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Unpack

import typer

import interp
from analyses.common.choices import among, names, require_device, require_model
from analyses.common.opening import open_model
from analyses.common.prompts import File, asked_for
from analyses.common.shell import Count, Device, Model, Out, Seed, bar, prepare, show, start
from analyses.common.study import Study
from interp.report import Report

TASKS = ("greater-than", "induction", "pronoun", "agreement", "acronym")
POSITIONS = ("roles", "all")


def run(
    name: str | None = None,
    model: str | Path | interp.HookedGPT2 = "mini",
    *,
    n: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    threshold: float = 0.02,
    positions: str = "roles",
    device: str | None = None,
    **file: Unpack[File],
) -> Report:
    """Run the analysis.

    Args:
        name: a task in `TASKS`; None for a file
        model: a name or directory for `interp.load`, or a loaded model
        n: number of prompts, at least 2; None for 100, or for all rows of a file
        seed: seed of the prompts
        out: folder for the report, results.json, results.csv, prompts.csv, the circuit and its
            diagrams; None writes nothing
        threshold: smallest effect of a head in the circuit, as a fraction of the mean metric
        positions: "roles" for a circuit of heads at the task's roles, "all" for one of heads at
            every position
        device: where to run; None for where the model is
        file: your own prompts: `csv`, `json`, `roles`; see `analyses.common.prompts.File`

    Returns:
        The report.

    Raises:
        ValueError: the task is unknown, there are fewer than 2 prompts, the threshold is not a
            fraction between 0 and 1, the model does not fit the task, or as for `asked_for`
        OSError: `out` cannot be written to

    Warns:
        RolesWarning: the circuit is one of heads at roles, and the task has none, or most of what
            the model does lies elsewhere
    """
    if name is not None:
        among("task", [name], TASKS)
    elif file.get("csv") is None and file.get("json") is None:
        raise ValueError(
            f"which task? Give one of {', '.join(TASKS)}, or a file of your own prompts as csv or "
            "json"
        )
    asked = asked_for({"task": name, **file}, n, default_n=100, seed=seed)
    assert asked is not None
    among("choice of positions", [positions], POSITIONS)
    if not 0 < threshold < 1:
        raise ValueError(f"threshold must be a positive fraction below 1, got {threshold}")
    require_model(model)
    require_device(device)
    folder = prepare(out)
    from analyses import task_report
    from interp.circuits.coverage import uncovered

    loaded = open_model(model, device)
    task, about = asked.prompts(loaded), asked.about
    metric = task.metric
    options_shown = {"task": about, "positions": positions}
    study = Study(loaded, task, seed, metric, folder, options_shown, None, about)

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
    share = interp.circuits.covered_by_roles(loaded, task, progress=bar("roles"))
    study.figures["share at roles"] = share
    everywhere = positions == "all"
    evidence = interp.circuits.derive_pruned(
        loaded, task, threshold=threshold, everywhere=everywhere, progress=bar("circuit")
    )
    found = evidence.circuit
    circuits = {"found here": found, **_published(study)}
    for label, circuit in circuits.items():
        _faithfulness(study, label, circuit)

    patterns = interp.heads.attention_patterns(loaded, study.task.clean[0])
    sections = task_report.sections(study, sides, circuits, evidence)
    if folder is not None:
        task_report.write_circuits(study, circuits, attention, patterns)
    best = interp.patching.strongest_heads(study.estimates["direct effects"], 3)
    whole, kept, at_roles = (
        study.figures[f"{key}, found here"] for key in ("F_M", "ratio", "ratio at roles")
    )
    lead = (
        f"On {len(task)} prompts of {about}, {loaded.name} reaches a mean {metric} of "
        f"{whole.mean:.2f}. The heads with the largest direct effects are {names(best)}. "
    )
    if found.heads and everywhere:
        lead += (
            f"The {len(found.heads)} heads found here, each at every position, alone keep "
            f"{round(kept.mean, 2) + 0:.0%} of it."
        )
    elif found.heads:
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
    if not everywhere and (complaint := uncovered(task, share)):
        lead += f" {complaint[0].upper()}{complaint[1:]}."
    more = task_report.downloads(circuits)
    return study.report(
        f"{name.capitalize() if name else about} in {loaded.name}", lead, sections, more
    )


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
    name: Annotated[
        str | None, typer.Argument(help=f"One of {', '.join(TASKS)}; none with --csv or --json.")
    ] = None,
    model: Model = "mini",
    n: Count = None,
    seed: Seed = 0,
    out: Out = Path("out/task"),
    threshold: Annotated[
        float,
        typer.Option(help="Smallest effect of a head, as a fraction of the metric."),
    ] = 0.02,
    positions: Annotated[
        str, typer.Option(help="roles, or all for a circuit of heads at every position.")
    ] = "roles",
    device: Device = None,
    **file: Unpack[File],
) -> None:
    """Behavior, direct effects, circuit and faithfulness on tasks other than IOI."""
    report = run(
        name, model, n=n, seed=seed, out=out, threshold=threshold, positions=positions,
        device=device, **file,
    )  # fmt: skip
    show(report, out)


if __name__ == "__main__":
    start(main)
