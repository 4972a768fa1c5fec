"""The circuit derived from the model (section 3), by path patching from the logits backward.

See `interp.circuits.derive`. The derivation uses `PROMPTS` prompts of its own, spread evenly over
templates and orders; what the derived circuit keeps is measured on the prompts of the run.
"""

from collections.abc import Sequence

import xarray as xr

import interp
from analyses.common.shell import bar
from analyses.common.tables import derivation_tables
from analyses.ioi.parts.setting import Chapter, Measured, PaperPart, Results, Setting, verdicts
from interp.circuits import (
    Circuit,
    Derivation,
    compare,
    derive,
    does_the_task,
    faithfulness,
    fraction_kept,
)
from interp.circuits.known import trained_circuit
from interp.metrics import BEHAVIOR
from interp.parts import NodeLike
from interp.patching import Ablation
from interp.plots import circuit_svg, example_of
from interp.report import Drawing, Item, Section, Table
from interp.statistics import Estimate
from interp.tasks import Task, balanced

PROMPTS = 50
_APART = 1009  # between the seeds of the two sets of prompts
METRICS = ("logit_diff", "answer_logit")
"""The metrics that find heads; a head that only writes against S changes only the first."""

HEADING = "Does the circuit derived path by path do the task? (3)"


def selection_prompts(task: Task) -> Task:
    """Draw the prompts on which a circuit is chosen, which differ from those it is measured on.

    Args:
        task: the prompts that it will be measured on

    Returns:
        As many as `PROMPTS`, drawn with another seed; of a task that cannot draw more, some of its
        own.
    """
    if task.sampler is None:
        return balanced(task, PROMPTS)
    return task.sampler.draw(PROMPTS, seed=task.sampler.seed + _APART)


def derived(
    model: interp.HookedGPT2,
    task: Task,
    *,
    smallest: float = 0.02,
    nodes: Sequence[NodeLike] | None = None,
    ablation: Ablation | None = None,
) -> Results:
    """Derive the circuit, or the links of known heads.

    Args:
        model: the model
        task: IOI prompts with ABC partners
        smallest: as in `derive`, a fraction
        nodes: as in `derive`
        ablation: as in `derive`

    Returns:
        The derivation, as `results_of` returns it.
    """
    some = selection_prompts(task)
    found = derive(
        model, some, metrics=METRICS, smallest=smallest, nodes=nodes, ablation=ablation,
        progress=bar("derivation"),
    )  # fmt: skip
    return results_of(model, task, found, len(some))


def results_of(model: interp.HookedGPT2, task: Task, found: Derivation, n_prompts: int) -> Results:
    """Turn a derivation into results to keep, with how much of the task its circuit does alone.

    Args:
        model: the model
        task: all prompts
        found: the derivation
        n_prompts: number of prompts used for the derivation

    Returns:
        `derivation`: its text, and the number of prompts; `alone`: the result of `faithfulness` for
            its circuit, on all prompts.
    """
    about = {"json": found.to_json(), "prompts": n_prompts}
    return {
        "derivation": xr.Dataset(attrs=about),
        "alone": faithfulness(model, task, found.circuit, metrics=BEHAVIOR),
    }


def derivation_of(found: Results) -> Derivation:
    """Read the derivation from kept results.

    Args:
        found: the result of `results_of`

    Returns:
        The circuit with its evidence.
    """
    return Derivation.from_json(found["derivation"].attrs["json"])


def collect(setting: Setting) -> Results:
    """Use the derivation that the run has already, or make one.

    Args:
        setting: what the part works on

    Returns:
        The derivation, as `derived` returns it.
    """
    if setting.derivation is not None:
        return setting.derivation
    return derived(setting.model, setting.task)


def write(setting: Setting, found: Results) -> Chapter:
    """Write the chapter.

    Args:
        setting: what the part worked on
        found: the result of `collect`

    Returns:
        The section and the figures.
    """
    evidence, n_prompts = derivation_of(found), found["derivation"].attrs["prompts"]
    circuit = evidence.circuit
    ratio = fraction_kept(found["alone"])
    figures = [Measured("derived_kept", "F(C) / F(M) of the derived circuit", ratio, "fraction")]
    same = circuit.members == setting.circuit.members
    items: list[Item] = []
    if circuit.heads:
        items += [
            Drawing(
                circuit_svg(circuit, example=example_of(setting.model, setting.task)),
                "The derived circuit; arrows are the measured links.",
            ),
            *derivation_tables(evidence),
        ]
    if not same:
        items.append(
            Table(
                compare(circuit, setting.circuit),
                "The derived circuit against the one that this page evaluates "
                f"({'of the paper' if setting.papers else setting.circuit.source or 'given'}): "
                "heads by class, of any class, with their positions, connections between classes. "
                "Precision: of what was derived, the part that the other has; recall: the reverse.",
                {"precision": ".0%", "recall": ".0%"},
            )
        )
    trained = trained_circuit(setting.model)
    if trained is not None:
        items += _graded(circuit, trained, figures)
    return Chapter(
        Section(
            HEADING,
            f"{does_the_task(found['alone'])}\n\n"
            f"{setting.about()} The derivation used {n_prompts} other prompts.\n\nFrom the last "
            "layer to the first, every head's output at every role is sent into all that was found "
            f"before, together: {evidence.tested} paths. A head counts if its mean effect is "
            f"beyond {evidence.smallest:.3f} logits, a link if it is beyond the same fraction of "
            f"its receiver's effect; false discoveries below {evidence.fdr:.0%}. "
            + ("It is the circuit that this page evaluates." if same else ""),
            [*items, *verdicts(setting, figures, ())],
        ),
        figures,
    )


def _graded(circuit: Circuit, trained: Circuit, figures: list[Measured]) -> list[Item]:
    """How well the derivation finds the circuit that was trained into the model."""
    table = compare(circuit, trained)
    classes = table[table["part"].isin([member.kind for member in trained.heads])]
    in_class, of = int(classes["shared"].sum()), int(classes["reference"].sum())
    shared = int(table[table["part"] == "any class"]["shared"].sum())
    found = Estimate(*[in_class / of] * 3)
    figures.append(
        Measured("trained_heads", "Trained-in heads found in their class", found, "fraction")
    )
    return [
        f"The model was trained to have a circuit, so what there is to find is known: of its {of} "
        f"heads the derivation finds {shared}, {in_class} of them in the class "
        "that they were trained for. Other heads that it finds bring the names along to where the "
        "trained ones read them, or are what the training left as it was.",
        Table(
            table,
            "The derived circuit against the one that was trained in: heads by class, of any "
            "class, and with their positions. Precision: of what was derived, the part that was "
            "trained in; recall: the reverse.",
            {"precision": ".0%", "recall": ".0%"},
        ),
    ]


PART = PaperPart("derivation", 5, collect, write)
