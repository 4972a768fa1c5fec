"""The circuit derived anew (section 3): path patching from the logits backwards, with a test.

See `interp.circuits.derive`. It is done on at most `PROMPTS` of the prompts, of all templates and
orders alike; how much of the logit difference the derived circuit keeps is measured on all of them.
"""

from collections import defaultdict

import interp
from analyses.common.shell import bar
from analyses.common.study import derivation_tables
from analyses.ioi.parts.setting import Found, Measured, Part, Setting, Told, verdicts
from interp.circuits import Circuit, Derivation, compare, derive, faithfulness
from interp.patching import Ablation, Keep
from interp.plots import circuit_svg, example_of
from interp.report import Drawing, Item, Section, Table
from interp.statistics import bootstrap_ratio
from interp.tasks import Task

PROMPTS = 50
HEADING = "The circuit derived anew, path by path (3)"


def balanced(task: Task, n: int = PROMPTS) -> Task:
    """Some of the prompts, as many of each template and order as can be.

    Args:
        task: the prompts.
        n: how many at most.

    Returns:
        The first of every group, then the second of each, and so on, in the task's order.
    """
    seen: dict[str, int] = defaultdict(int)
    turn = []
    for i, group in enumerate(task.group):
        turn.append((seen[group], i))
        seen[group] += 1
    return task.subset(sorted(i for _, i in sorted(turn)[:n]))


def derived(
    model: interp.HookedGPT2,
    task: Task,
    *,
    smallest: float = 0.02,
    nodes: list[Keep] | None = None,
    ablation: Ablation | None = None,
    seed: int = 0,
) -> Found:
    """Derive the circuit, or the links of heads that are known.

    Args:
        model: the model.
        task: IOI prompts with ABC partners.
        smallest: of `derive`, a fraction.
        nodes: of `derive`.
        ablation: of `derive`.
        seed: of the intervals.

    Returns:
        `nodes`: effect of each head on each prompt, what it does, and the circuit; `links`: effect
        of each; `alone`: of `faithfulness`, on all prompts.
    """
    some = balanced(task)
    found = derive(
        model, some, smallest=smallest, nodes=nodes, ablation=ablation, seed=seed,
        progress=bar("derivation"),
    )  # fmt: skip
    about = {
        "circuit": found.circuit.to_json(),
        "prompts": len(some),
        "tested": found.tested,
        "smallest": found.smallest,
        "fdr": found.fdr,
    }
    return {
        "nodes": found.behavior.assign(effect=found.nodes).assign_attrs(about),
        "links": found.effects.to_dataset(),
        "alone": faithfulness(model, task, found.circuit),
    }


def circuit_of(found: Found) -> Circuit:
    """The derived circuit.

    Args:
        found: of `derived`.

    Returns:
        Heads and links.
    """
    return Circuit.from_json(found["nodes"].attrs["circuit"])


def measure(setting: Setting) -> Found:
    """The derivation that the run was given, or a new one.

    Args:
        setting: what to work on.

    Returns:
        Of `derived`.
    """
    if setting.derivation is not None:
        return setting.derivation
    return derived(setting.model, setting.task, seed=setting.seed)


def tell(setting: Setting, found: Found) -> Told:
    """What they say.

    Args:
        setting: what they were measured on.
        found: of `measure`.

    Returns:
        Section and figures.
    """
    about, circuit = found["nodes"].attrs, circuit_of(found)
    evidence = Derivation(
        circuit,
        found["links"].effect,
        found["nodes"].effect,
        found["nodes"].drop_vars(["effect", "q_value"]),
        int(about["tested"]),
        float(about["smallest"]),
        float(about["fdr"]),
    )
    ratio = bootstrap_ratio(found["alone"].circuit, found["alone"].full)
    figures = [Measured("derived_kept", "F(C) / F(M) of the derived circuit", ratio, "fraction")]
    same = circuit.records() == setting.circuit.records()
    items: list[Item] = []
    if circuit.heads:
        items += [
            Drawing(
                circuit_svg(circuit, example=example_of(setting.model, setting.task)),
                "The derived circuit; its arrows are the links that were measured.",
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
    return Told(
        Section(
            HEADING,
            f"{setting.about()} {about['prompts']} of them were used here.\n\nFrom the last layer "
            "to the first, every head's output at every role is sent into all that was found "
            f"before, together: {about['tested']} paths. A head counts if its mean effect is "
            f"beyond {about['smallest']:.3f} logits, a link if it is beyond the same fraction of "
            f"its receiver's effect; false discoveries below {about['fdr']:.0%}. "
            + ("It is the circuit that this page evaluates." if same else ""),
            [*items, *verdicts(setting, figures, ())],
        ),
        figures,
    )


PART = Part("derivation", 1, measure, tell)
