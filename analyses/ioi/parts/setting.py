"""What every part of the IOI paper gets and gives."""

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
        model: the model.
        task: IOI prompts with ABC partners.
        circuit: heads with class and position.
        direct: direct effects of heads, dims layer, head, prompt, in logits.
        attention: attention between roles, dims layer, head, query, key, prompt.
        seed: seed of whatever is drawn.
        size: how much the sampling parts do.
        derivation: what `analyses.ioi.parts.derivation.derived` returned, if it is done already.
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
        """Measure what all parts share: direct effects and attention.

        Args:
            model: the model.
            task: IOI prompts with ABC partners.
            circuit: heads with class and position.
            seed: seed of whatever is drawn.
            size: how much the sampling parts do.

        Returns:
            The setting.
        """
        direct = effect(path_patch(model, task))
        attention = interp.heads.attention_between(model, task)
        return cls(model, task, circuit, direct, attention, seed, size)

    @property
    def papers(self) -> bool:
        """Whether the model is the paper's and the circuit too, so that figures can be compared."""
        if self.model.name != "gpt2":
            return False
        return self.circuit.members == published_circuit("ioi", "gpt2").members

    @property
    def depends(self) -> dict[str, object]:
        """What a part's results follow from besides model and prompts.

        The circuit says in its links and its source how it was found, which the derivation shows.
        """
        return {"circuit": self.circuit, "seed": self.seed, "size": self.size}

    def heads(self, *kinds: str, position: str | None = None) -> list[Head]:
        """Heads of the circuit's classes, once each.

        Args:
            kinds: the classes.
            position: only those that stand at this role; None for any.

        Returns:
            The heads, in the order of a forward pass.
        """
        wanted = [head for kind in kinds for head in self.circuit.heads_of(kind)]
        there = [h for h in wanted if position is None or h.role == position]
        return list(dict.fromkeys(as_head(h.part) for h in there))

    def about(self) -> str:
        """Prompts, templates, orders and the reference set, in a sentence."""
        sizes = sorted(Counter(self.task.group).values())
        n_templates = len(set(self.task.template))
        each = f"{sizes[0]}" if sizes[0] == sizes[-1] else f"{sizes[0]} to {sizes[-1]}"
        return (
            f"{len(self.task)} prompts: {n_templates} templates in the orders "
            f"{' and '.join(sorted(set(self.task.order)))}. Reference: the ABC partners, three "
            f"fresh names in the same text; {each} of each template and order."
        )


@dataclass(frozen=True)
class Measured:
    """A figure with its interval.

    Args:
        key: short name; if one of `IOI_FIGURES`, it has a published value.
        label: what is measured.
        estimate: mean, low, high.
        unit: unit of the three.
    """

    key: str
    label: str
    estimate: Estimate
    unit: str

    @classmethod
    def mean(cls, key: str, label: str, values: xr.DataArray | np.ndarray, unit: str) -> "Measured":
        """The mean over prompts of one value each."""
        return cls(key, label, estimate_mean(values), unit)


@dataclass(frozen=True)
class Claim:
    """What the paper says of heads of GPT-2 small, and what is found.

    Args:
        label: the statement.
        paper: the paper's heads.
        ours: ours.
        rule: when the two agree.
        agrees: whether they do.
    """

    label: str
    paper: str
    ours: str
    rule: str
    agrees: bool


@dataclass(frozen=True)
class Chapter:
    """What a part has to say.

    Args:
        section: section of the page.
        figures: figures with intervals.
        claims: claims about the paper's heads; none for another model.
    """

    section: Section
    figures: Sequence[Measured] = ()
    claims: Sequence[Claim] = ()


@dataclass(frozen=True)
class PaperPart:
    """One section of the paper.

    Args:
        name: what `--parts` calls it.
        version: raise it when `collect` changes, so that what was kept is measured again.
        collect: setting -> results by name.
        write: setting and results -> what they say.
    """

    name: str
    version: int
    collect: Callable[[Setting], Results]
    write: Callable[[Setting, Results], Chapter]


def verdicts(setting: Setting, figures: Sequence[Measured], claims: Sequence[Claim]) -> list[Item]:
    """Figures and claims as a table, beside the paper's where the model is the paper's.

    Args:
        setting: what they were measured on.
        figures: figures with their intervals.
        claims: claims about heads.

    Returns:
        The table, one row each; none if there is nothing to put in.
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
    about = "Ours with 95 % intervals over prompts, beside the paper's. Tolerances are ours."
    return [Table(compared, about)] if compared else []


def titled(effects: xr.Dataset, title: str) -> xr.Dataset:
    """Mean effects under the title that a figure shall have."""
    return effects.assign(mean=effects["mean"].assign_attrs(title=title))


def labels(heads: Sequence[tuple[int, int]]) -> str:
    """Heads as the paper lists them.

    >>> labels([(9, 9), (9, 6)])
    '9.9 9.6'
    """
    return " ".join(str(Head(*head)) for head in heads)


def pick(values: xr.DataArray, heads: Sequence[tuple[int, int]]) -> xr.DataArray:
    """Values of some heads in place of dims layer and head, dim `node` with their labels first."""
    picked = [values.sel(layer=i, head=h, drop=True) for i, h in heads]
    return xr.concat(picked, "node").assign_coords(node=[str(Head(i, h)) for i, h in heads])


def missing(heading: str, what: str) -> Chapter:
    """What a part says of a circuit that lacks the heads it is about."""
    return Chapter(Section(heading, f"Not measured: the circuit has no {what}."))
