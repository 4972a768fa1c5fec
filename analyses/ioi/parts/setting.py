"""The inputs and outputs of the parts of the IOI paper."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

import interp
from analyses.common.wording import minus, text
from analyses.ioi.size import USUAL_SIZE, Size
from interp.circuits import Circuit, published_circuit
from interp.circuits.published import IOI_FIGURES
from interp.execution import Results
from interp.parts import Head, as_head
from interp.patching import effect, path_patch
from interp.report import Item, Section, Table
from interp.statistics import Estimate, estimate_mean
from interp.tasks import Task


@dataclass(frozen=True)
class Setting:
    """What the parts work on.

    Args:
        model: the model
        task: IOI prompts with ABC partners
        circuit: heads with class and position
        direct: direct effects of heads, dims layer, head, prompt, in logits
        attention: attention between roles, dims layer, head, query, key, prompt
        seed: seed of whatever is drawn
        size: how much the sampling parts do
        derivation: the result of `analyses.ioi.parts.derivation.derived`, if there is one already
    """

    model: interp.HookedGPT2
    task: Task
    circuit: Circuit
    direct: xr.DataArray
    attention: xr.DataArray
    seed: int = 0
    size: Size = USUAL_SIZE
    derivation: "Results | None" = None

    @classmethod
    def of(
        cls,
        model: interp.HookedGPT2,
        task: Task,
        circuit: Circuit,
        *,
        seed: int = 0,
        size: Size = USUAL_SIZE,
    ) -> "Setting":
        """Measure what all parts need: direct effects and attention.

        Args:
            model: the model
            task: IOI prompts with ABC partners
            circuit: heads with class and position
            seed: seed of whatever is drawn
            size: how much the sampling parts do

        Returns:
            The setting.
        """
        direct = effect(path_patch(model, task))
        attention = interp.heads.attention_between(model, task)
        return cls(model, task, circuit, direct, attention, seed, size)

    @property
    def papers(self) -> bool:
        """Whether model and circuit are the paper's, so that figures can be compared."""
        if self.model.name != "gpt2":
            return False
        return self.circuit.members == published_circuit("ioi", "gpt2").members

    @property
    def depends(self) -> dict[str, object]:
        """What a part's results depend on besides model and prompts.

        The circuit's links and source record how it was found, which the derivation shows.
        """
        return {"circuit": self.circuit, "seed": self.seed, "size": self.size}

    def heads(self, *kinds: str, position: str | None = None) -> list[Head]:
        """The heads of some classes of the circuit, each once.

        Args:
            kinds: the classes
            position: role of the heads; None for any

        Returns:
            The heads, in the order of a forward pass.
        """
        wanted = [head for kind in kinds for head in self.circuit.heads_of(kind)]
        there = [h for h in wanted if position is None or h.role == position]
        return list(dict.fromkeys(as_head(h.part) for h in there))

    def about(self) -> str:
        """Describe the prompts, templates, orders and reference set in a sentence."""
        reference = self.task.reference or self.task
        sizes = sorted(Counter(reference.group).values())
        n_templates = len(set(self.task.template))
        each = f"{sizes[0]}" if sizes[0] == sizes[-1] else f"{sizes[0]} to {sizes[-1]}"
        return (
            f"{len(self.task)} prompts: {n_templates} templates in the orders "
            f"{' and '.join(sorted(set(self.task.order)))}. Partners: three fresh names in the "
            f"same text (ABC). Means that stand in are over the partners of {len(reference)} "
            f"prompts, {each} of each template and order."
        )


@dataclass(frozen=True)
class Measured:
    """A figure with its interval.

    Args:
        key: short name; if it is a key of `IOI_FIGURES`, there is a published value
        label: what is measured
        estimate: mean, low, high
        unit: unit of the three
    """

    key: str
    label: str
    estimate: Estimate
    unit: str

    @classmethod
    def mean(cls, key: str, label: str, values: xr.DataArray | np.ndarray, unit: str) -> "Measured":
        """The mean over prompts, with one value per prompt."""
        return cls(key, label, estimate_mean(values), unit)


@dataclass(frozen=True)
class Claim:
    """A claim of the paper about heads of GPT-2 small, and what we find.

    Args:
        label: the claim
        paper: the paper's heads
        ours: our heads
        rule: when the two agree
        agrees: whether they do
    """

    label: str
    paper: str
    ours: str
    rule: str
    agrees: bool


@dataclass(frozen=True)
class Chapter:
    """The results of a part, as written for the page.

    Args:
        section: the section of the page
        figures: the figures, with intervals
        claims: claims about the paper's heads; none for another model
    """

    section: Section
    figures: Sequence[Measured] = ()
    claims: Sequence[Claim] = ()


@dataclass(frozen=True)
class PaperPart:
    """One section of the paper.

    Args:
        name: what `--parts` calls it
        version: increase it when `collect` changes, so that kept results are measured again
        collect: setting -> results, by name
        write: setting and results -> the chapter
    """

    name: str
    version: int
    collect: Callable[[Setting], Results]
    write: Callable[[Setting, Results], Chapter]


def verdicts(setting: Setting, figures: Sequence[Measured], claims: Sequence[Claim]) -> list[Item]:
    """Put figures and claims in a table, next to the paper's if the model is the paper's.

    Args:
        setting: what the part worked on
        figures: the figures, with intervals
        claims: claims about heads

    Returns:
        A table with one row each; no table if there are no rows.
    """
    if not setting.papers:
        rows = [{"figure": m.label, "value": text(m.estimate), "unit": m.unit} for m in figures]
        return [Table(rows, "Means with 95 % intervals over prompts.")] if rows else []
    known = {figure.key: figure for figure in IOI_FIGURES}
    compared = []
    for m in figures:
        row = {"figure": f"{m.label} ({m.unit})", "ours": text(m.estimate)}
        if m.key in known:
            paper = known[m.key]
            row |= {
                "paper": minus(f"{paper.value:g}"),
                "tolerance": minus(f"{paper.low:.3g} to {paper.high:.3g}"),
                "verdict": "agrees" if paper.agrees(m.estimate.mean) else "does not agree",
            }
        compared.append(row)
    for c in claims:
        compared.append(
            {
                "figure": c.label,
                "ours": c.ours,
                "paper": c.paper,
                "tolerance": c.rule,
                "verdict": "agrees" if c.agrees else "does not agree",
            }
        )
    about = (
        "Our figures with 95 % intervals over prompts, next to the paper's. Tolerances are ours."
    )
    return [Table(compared, about)] if compared else []


def titled(effects: xr.Dataset, title: str) -> xr.Dataset:
    """Mean effects with a title for their figure."""
    return effects.assign(mean=effects["mean"].assign_attrs(title=title))


def labels(heads: Sequence[tuple[int, int]]) -> str:
    """Write heads as the paper lists them.

    >>> labels([(9, 9), (9, 6)])
    '9.9 9.6'
    """
    return " ".join(str(Head(*head)) for head in heads)


def pick(values: xr.DataArray, heads: Sequence[tuple[int, int]]) -> xr.DataArray:
    """Select heads: the dim `node`, with their labels, replaces layer and head and comes first."""
    picked = [values.sel(layer=i, head=h, drop=True) for i, h in heads]
    return xr.concat(picked, "node").assign_coords(node=[str(Head(i, h)) for i, h in heads])


def missing(heading: str, what: str) -> Chapter:
    """The text of a part for a circuit that lacks the heads it is about."""
    return Chapter(Section(heading, f"Not measured: the circuit has no {what}."))
