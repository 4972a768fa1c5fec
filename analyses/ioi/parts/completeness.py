"""Completeness (section 4.1): does the circuit break as the model does, and does a naive one?

Nodes K are knocked out of circuit and model: class by class, at random, and as chosen by a greedy
search that maximizes the difference between the two; for the paper's circuit also the sets that the
paper's own search found (appendix M). The search uses some of the prompts (`Size`), and the sets
that it finds are measured on all; the paper does both on the same 100.
"""

import xarray as xr

from analyses.common.shell import bar
from analyses.common.verdicts import answered, not_measured, side_of
from analyses.common.wording import text
from analyses.ioi.labels import LABELS
from analyses.ioi.parts.setting import Chapter, Measured, PaperPart, Results, Setting, verdicts
from interp.circuits import (
    Circuit,
    Member,
    Verdict,
    class_sets,
    completeness,
    gap,
    greedy_sets,
    published_circuit,
    random_sets,
)
from interp.circuits.published import IOI_GREEDY
from interp.metrics import BEHAVIOR
from interp.plots import completeness_scatter
from interp.report import Figure, Item, Section, Table
from interp.statistics import estimate_mean, estimate_ratio

HEADING = "Does the circuit break as the model does? Completeness (4.1)"
_CLOSE = 0.2
"""Fraction of F(M) within which circuit and model are called alike."""
BOTH = "name movers of both positive kinds"
_SEARCHED = ("random", "greedy", "paper")
"""Prefixes of the names of sets that are not classes."""


def collect(setting: Setting) -> Results:
    """Measure F(C without K) and F(M without K) for the circuit and for the paper's naive circuit.

    Args:
        setting: what the part works on

    Returns:
        `circuit` and, if there is one, `naive`: results of `completeness` by the metrics of
        `interp.metrics.BEHAVIOR`, with the coordinate `nodes` along set. Empty for an empty
        circuit.
    """
    circuits = {"circuit": setting.circuit}
    if setting.papers:
        circuits["naive"] = published_circuit("ioi naive", "gpt2")
    return {
        name: _measure(setting, circuit, name)
        for name, circuit in circuits.items()
        if circuit.heads
    }


def _measure(setting: Setting, circuit: Circuit, name: str) -> xr.Dataset:
    model, task, size = setting.model, setting.task, setting.size
    sets = class_sets(circuit)
    positive = circuit.heads_of("name mover") + circuit.heads_of("backup name mover")
    if circuit.heads_of("backup name mover"):
        sets[BOTH] = positive
    if setting.papers and name == "circuit":
        for i, K in enumerate(IOI_GREEDY):
            sets[f"paper {i + 1}"] = tuple(h for h in circuit.heads if h.part in K)
    sets |= random_sets(circuit, size.random_sets, seed=setting.seed)
    if size.runs:
        sets |= greedy_sets(
            model,
            task[: size.search_prompts],
            circuit,
            metrics="logit_diff",
            runs=size.runs,
            iterations=size.iterations,
            candidates=min(size.candidates, 5) if name == "naive" else size.candidates,
            seed=setting.seed,
            progress=bar(f"greedy search, {name}"),
        )
    found = completeness(
        model, task, circuit, sets, metrics=BEHAVIOR, progress=bar(f"completeness, {name}")
    )
    return found.assign_coords(nodes=("set", [_names(heads) for heads in sets.values()]))


def write(setting: Setting, found: Results) -> Chapter:
    """Write the chapter.

    Args:
        setting: what the part worked on
        found: the result of `collect`

    Returns:
        The section and the figures.
    """
    if not found:
        return Chapter(Section(HEADING, str(not_measured("the circuit is empty"))))
    items: list[Item] = []
    figures: list[Measured] = []
    for name, values in found.items():
        title = "The circuit" if name == "circuit" else "The naive circuit"
        items.append(
            Figure(
                completeness_scatter(values, title=title),
                "Each point is a set K: the circuit without it on x, the model without it on y, "
                "in logits. On the line, both break in the same way.",
            )
        )
        worst = abs(gap(values).mean("prompt"))
        every = [str(s) for s in values["set"].values if not str(s).startswith("random")]
        first = {str(values["nodes"].sel(set=s).item()): s for s in reversed(every)}
        shown = [s for s in every if s in first.values()]
        items.append(
            Table(
                [_row(values, s) for s in shown],
                f"{title}: sets by class and by greedy search, each once, in logits.",
            )
        )
        items.append(
            Table(
                [_behavior(values, s) for s in shown],
                f"{title}: does it still name IO without K? The mean of every measure in the "
                "circuit, and in the model after the slash; the logits of IO and S are above the "
                "mean of the other names.",
            )
        )
        figures += _figures(values, "" if name == "circuit" else "naive_", title)
        chosen = values["set"].values[int(worst.values.argmax())]
        items.append(
            f"Of all sets {chosen} tells {title.lower()} from the model most: "
            f"{float(worst.max()):.2f} logits apart on average."
        )
    size = setting.size
    section = Section(
        HEADING,
        f"{_alike(found['circuit'])}\n\n"
        f"{setting.about()}\n\nK is set to its means in the circuit and in the whole model, at the "
        f"positions where the circuit has it. {size.random_sets} sets hold each node with "
        f"probability 1/2; {size.runs} greedy searches of {size.iterations} iterations try "
        f"{size.candidates} nodes each on {min(size.search_prompts, len(setting.task))} prompts.",
        [*items, *verdicts(setting, figures, ())],
    )
    return Chapter(section, figures)


def _alike(values: xr.Dataset) -> Verdict:
    """Whether model and circuit stay close without every set."""
    apart = gap(values)
    worst = apart.isel(set=int(abs(apart.mean("prompt")).values.argmax()))
    sign = 1 if float(worst.mean()) >= 0 else -1
    whole = values.logit_diff.sel(run="full", set="none", drop=True)
    share = estimate_ratio(sign * worst.drop_vars(["set", "nodes"], errors="ignore"), whole)
    figures = (
        f"without the set {worst['set'].item()}, which tells the two apart most, they differ by "
        f"{text(share, 2)} of F(M); up to {_CLOSE:g} counts as alike"
    )
    answer = {"yes": "no", "no": "yes"}.get(side_of(share, _CLOSE), "cannot be told")
    return answered(answer, figures)  # type: ignore[arg-type]


def _figures(values: xr.Dataset, prefix: str, title: str) -> list[Measured]:
    found = []
    for name in map(str, values["set"].values):
        if name.startswith(_SEARCHED):
            continue
        for side, letter in (("circuit", "C"), ("full", "M")):
            label = (
                f"{title}: F({letter} without {name})"
                if name != "none"
                else f"{title}: F({letter})"
            )
            key = f"{prefix}{side}_without_{name}"
            found.append(
                Measured.mean(key, label, values.logit_diff.sel(run=side, set=name), "logits")
            )
    for kind in _SEARCHED:
        sets = [s for s in map(str, values["set"].values) if s.startswith(kind)]
        if sets:
            apart = gap(values).sel(set=sets)
            mean = apart.mean("prompt").values
            worst = apart.isel(set=int(abs(mean).argmax()))
            sign = 1 if float(worst.mean()) >= 0 else -1
            label = f"{title}: largest gap, {kind} sets"
            found.append(Measured.mean(f"{prefix}gap_{kind}", label, sign * worst, "logits"))
    return found


def _row(values: xr.Dataset, name: str) -> dict[str, object]:
    one = values.sel(set=name)
    return {
        "K": name,
        "nodes": str(one["nodes"].item()) or "\N{EN DASH}",
        "F(C without K)": text(estimate_mean(one.logit_diff.sel(run="circuit")), 2),
        "F(M without K)": text(estimate_mean(one.logit_diff.sel(run="full")), 2),
        "gap": text(estimate_mean(gap(one)), 2),
    }


def _behavior(values: xr.Dataset, name: str) -> dict[str, object]:
    means = values.sel(set=name).mean("prompt")
    figures = {
        LABELS[metric]: " / ".join(
            f"{float(means[metric].sel(run=run)):.2f}" for run in ("circuit", "full")
        )
        for metric in BEHAVIOR
    }
    return {"K": name, **figures}


def _names(heads: tuple[Member, ...]) -> str:
    return " ".join(head.label for head in heads)


PART = PaperPart("completeness", 4, collect, write)
