"""Known circuits: does the derivation find a circuit that is known to be there?

The derivation is applied to three GPT-2s whose weights were set by hand (induction, duplicate-token
detection, indirect object identification). The report compares what it finds with what was built:
heads, classes, positions and links, with the evidence for each; then it repeats this with
increasing noise on the weights.

    interp known-circuits --n 60 --out out/known_circuits

Source: the derivation is that of Wang et al. 2022 (arXiv 2211.00593), section 3, with a test over
prompts in the place of the eye; see `interp.circuits.derivation`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import interp
from analyses.common.choices import among, require_prompts, words
from analyses.common.shell import N, Out, Seed, bar, prepare, show, start
from analyses.common.tables import derivation_tables
from analyses.common.verdicts import answered
from interp.report import Download, Drawing, Figure, Report, Section, Table

if TYPE_CHECKING:
    import pandas as pd

    from interp.circuits import Verdict

NAMES = ("induction", "duplicate", "ioi")
LEVELS = (0.0, 0.05, 0.1, 0.2, 0.3)
"""Levels of noise: 0, 0.5, 1, 2 and 3 times `interp.circuits.known.NOISE`."""
DOWNLOADS = (
    Download("results.json", "Heads and links, true and derived, with the evidence."),
    Download("noise.csv", "Precision and recall at every level of noise."),
)


def run(
    *,
    n: int = 60,
    seed: int = 0,
    out: str | Path | None = None,
    names: Sequence[str] = NAMES,
    smallest: float = 0.02,
    fdr: float = 0.05,
    levels: Sequence[float] = LEVELS,
) -> Report:
    """Run the analysis.

    Args:
        n: number of prompts, at least 2
        seed: seed of the prompts, weights and noise
        out: folder for report.html, results.json and noise.csv; None writes nothing
        names: models, among `NAMES`
        smallest: smallest effect of a head in the circuit, as a fraction of the mean logit
            difference
        fdr: bound on the fraction of false discoveries
        levels: levels of noise on the weights, see `interp.circuits.known_circuit`

    Returns:
        The report.

    Raises:
        ValueError: a model is unknown; there are no models, no levels of noise or fewer than 2
            prompts; or an option is out of range
        OSError: `out` cannot be written to
    """
    among("model", names, NAMES)
    if not names or not levels:
        raise ValueError("at least one model and one level of noise are needed")
    if not all(0 <= level < float("inf") for level in levels):
        raise ValueError(f"levels of noise must be numbers from 0; got {list(levels)}")
    for what, fraction in (("smallest", smallest), ("fdr", fdr)):
        if not 0 < fraction < 1:
            raise ValueError(f"{what} must be a fraction between 0 and 1, got {fraction}")
    require_prompts(n)
    folder = prepare(out)

    def again(known: interp.circuits.known.KnownCircuit, what: str) -> interp.circuits.Derivation:
        return interp.circuits.derive(
            known.model, known.task, smallest=smallest, fdr=fdr, progress=bar(what)
        )

    import pandas as pd

    sections, results, sweep, exact = [], {}, [], []
    for name in names:
        known = interp.circuits.known_circuit(name, n=n, seed=seed)
        derived = again(known, name)
        sections.append(_section(name, known, derived))
        exact += [name] if _same(known.circuit, derived.circuit) else []
        results[name] = {
            side: json.loads(circuit.to_json())
            for side, circuit in (("true", known.circuit), ("derived", derived.circuit))
        }
        for level in levels:
            noisy = interp.circuits.known_circuit(name, n=n, seed=seed, noise=level)
            found = again(noisy, f"{name}, noise {level:g}")
            accuracy = float(
                interp.patching.measure(noisy.model, noisy.task, "accuracy")["accuracy"].mean()
            )
            table = interp.circuits.compare(found.circuit, noisy.circuit)
            sweep.append(table.assign(model=name, noise=level, accuracy=accuracy))
    noise = pd.concat(sweep, ignore_index=True)
    lead = (
        f"Circuits that were built by hand: {len(names)}. The derivation returns {len(exact)} of "
        f"them exactly: every head with class and position, every link, and no other. "
        f"{_robust(noise)}"
    )
    sections.append(
        Section(
            "Is it found with noise on the weights?",
            f"{_despite(noise)}\n\n"
            "Gaussian noise is added to every matrix; at level 1, what it adds to the image of a "
            "vector is about as long as the vector. Precision falls if heads or links are found "
            "that were not built, and recall if built ones are missed.",
            [
                Figure(
                    interp.plots.recovery_lines(noise), "Links between heads, one line per model."
                ),
                Table(
                    noise[noise["part"].isin(["positions", "links"])][
                        ["model", "noise", "accuracy", "part", "reference", "found", "shared"]
                    ],
                    "Heads with their positions, and links: built, found, and both.",
                    {"noise": ".2f", "accuracy": ".1%"},
                ),
            ],
        )
    )
    origin = {
        "prompts": n,
        "seed": seed,
        "smallest": smallest,
        "fdr": fdr,
        **interp.results.versions(),
    }
    downloads = DOWNLOADS if folder is not None else ()
    report = Report("Circuits that are known", lead, sections, downloads, origin)
    if folder is not None:
        text = json.dumps(origin | {"circuits": results}, indent=1, allow_nan=False)
        (folder / "results.json").write_text(text + "\n", encoding="utf-8")
        noise.to_csv(folder / "noise.csv", index=False)
        report.save(folder / "report.html")
    return report


def _section(
    name: str, known: interp.circuits.known.KnownCircuit, derived: interp.circuits.Derivation
) -> Section:
    """One model: what it does, the two circuits, and the evidence."""
    heads = list(dict.fromkeys(head.part for head in known.circuit.heads))
    alone = interp.circuits.faithfulness(known.model, known.task, known.circuit)
    full, circuit = (alone.logit_diff.sel(run=run) for run in ("full", "circuit"))
    ratio = interp.statistics.estimate_ratio(circuit, full)
    gone = interp.patching.measure(
        known.model, known.task, ablation=interp.patching.Ablation(heads, value="group mean")
    ).logit_diff
    example, task = interp.plots.example_of(known.model, known.task), known.task
    text = (
        f"\N{LEFT DOUBLE QUOTATION MARK}{task.clean[0]}\N{RIGHT DOUBLE QUOTATION MARK} "
        f"\N{RIGHTWARDS ARROW} {known.model.to_string(int(task.answer[0]))}. The true circuit "
        f"alone keeps {ratio:.3f} of the logit difference; without it the logit difference is "
        f"{interp.statistics.estimate_mean(gone):.2f}, where 0 is chance. {derived.tested} paths "
        f"were tested against a smallest effect of {derived.smallest:.2f} logits."
    )
    return Section(
        f"Is the circuit that was built found: {known.task.name}?",
        f"{_found(known.circuit, derived.circuit)}\n\n"
        + text.replace("-0.00", "0.00").replace(" -", " \N{MINUS SIGN}"),
        [
            Drawing(interp.plots.circuit_svg(known.circuit, example=example), "As it was built."),
            Drawing(
                interp.plots.circuit_svg(derived.circuit, example=example), "As it was derived."
            ),
            Table(
                interp.circuits.compare(derived.circuit, known.circuit),
                "Derived against built: heads by class, heads of any class, heads at their "
                "positions, connections between classes, and links between heads.",
                {"precision": ".0%", "recall": ".0%"},
            ),
            *derivation_tables(derived),
        ],
    )


def _found(true: interp.circuits.Circuit, derived: interp.circuits.Circuit) -> Verdict:
    """Whether the derivation returns what was built."""
    parts = [f"{len(true.heads)} heads with class and position, {len(true.links)} links"]
    parts.append(f"found are {len(set(true.members) & set(derived.members))} of the heads")
    edges = [{link.edge for link in one.links} for one in (true, derived)]
    parts.append(f"{len(edges[0] & edges[1])} of the links, and {len(edges[1] - edges[0])} others")
    return answered("yes" if _same(true, derived) else "no", "; ".join(parts))


def _same(true: interp.circuits.Circuit, derived: interp.circuits.Circuit) -> bool:
    """Whether two circuits have the same heads and links."""
    return true.members == derived.members and [link.edge for link in true.links] == [
        link.edge for link in derived.links
    ]


def _robust(noise: pd.DataFrame) -> str:
    """A sentence on the level of noise up to which nothing changes."""
    wrong = noise.loc[(noise[["precision", "recall"]] < 1.0).any(axis=1), "noise"]
    right = [level for level in sorted(set(noise["noise"])) if not level >= wrong.min()]
    if not right:
        return "Noise on the weights changes what is found at every level that was tried."
    return f"With noise on the weights it still does at a level of {right[-1]:g}."


def _despite(noise: pd.DataFrame) -> Verdict:
    """Whether precision and recall stay at 1 at every level."""
    least = float(noise[["precision", "recall"]].to_numpy().min())
    return answered(
        "yes" if least == 1 else "no",
        f"the lowest precision or recall of any part at any level is {least:.2f}; "
        + _robust(noise).removesuffix("."),
    )


def _level(word: str) -> float:
    """Read a level of noise."""
    try:
        return float(word)
    except ValueError:
        raise ValueError(f"a level of noise is a number, such as 0.1; got {word!r}") from None


def main(
    n: N = 60,
    seed: Seed = 0,
    out: Out = Path("out/known_circuits"),
    names: Annotated[str, typer.Option(help="Models, separated by commas.")] = ",".join(NAMES),
    smallest: Annotated[
        float, typer.Option(help="Smallest effect, as a fraction of the logit difference.")
    ] = 0.02,
    fdr: Annotated[float, typer.Option(help="Bound on the fraction of false discoveries.")] = 0.05,
    noise: Annotated[str, typer.Option(help="Levels of noise, separated by commas.")] = ",".join(
        f"{level:g}" for level in LEVELS
    ),
) -> None:
    """Derive the circuits of models whose circuit is known, with and without noise."""
    levels = [_level(word) for word in words(noise, "level of noise") or ()]
    chosen = words(names, "model") or ()
    report = run(n=n, seed=seed, out=out, names=chosen, smallest=smallest, fdr=fdr, levels=levels)
    show(report, out)


if __name__ == "__main__":
    start(main)
