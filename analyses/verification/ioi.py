"""The IOI paper's figures as checks: measured by the parts of `interp ioi`, and kept by its store.

A part that was measured for the same weights, prompts and versions is read from the folder, so an
interrupted run resumes. Figures of the paper that are not here (signals, early heads, adversarial
prompts) are those of `interp ioi --model gpt2`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import interp
from analyses.common.shell import bar
from analyses.ioi.parts import PARTS, Setting
from analyses.ioi.size import Size
from analyses.verification.checks import Check, Subject
from interp.circuits import fraction_kept, published_circuit
from interp.circuits.published import IOI_FIGURES
from interp.circuits.published.claims import Answer, Claim, Value
from interp.execution import Results, Store
from interp.patching import effect, heads_in_order, measure, path_patch
from interp.statistics import estimate_mean
from interp.tasks import Task

GROUP = "Indirect objects"
PAPER = "Wang et al. 2022 (arXiv 2211.00593)"
SIZE = Size(random_sets=1, runs=0, iterations=1, candidates=1, search_prompts=2, sequences=10)
"""No searches: the sets of nodes are the paper's own."""

_WHY = "prompts and their number differ from the paper's"
_HOW = {
    "behavior": "measure, clean runs",
    "faithfulness": "faithfulness; means from 500 other prompts",
    "direct": "path_patch from each head to the logits",
    "name-movers": "copy_scores, attention_between, attention_projection",
    "s-inhibition": "attention_between; path_patch into the name movers' queries",
    "random-tokens": "attention_scores on repeated random tokens",
    "backups": "measure with the name movers at their group means",
    "mlps": "ablate, group means",
    "completeness": "completeness; means from 500 other prompts",
    "minimality": "minimality; means from 500 other prompts",
}
_COST = {  # fixed and for each prompt, in prompts run once; measured at GPT-2 small's size
    "behavior": (10, 1),
    "faithfulness": (600, 12),
    "direct": (0, 3),
    "name-movers": (0, 4),
    "s-inhibition": (0, 6),
    "random-tokens": (350, 0),
    "backups": (100, 8),
    "mlps": (450, 10),
    "completeness": (1500, 30),
    "minimality": (1500, 60),
}
_KEYS = {  # check -> its figures, by the beginning of the key
    "behavior": ("logit_diff", "accuracy", "io_probability"),
    "faithfulness": ("faithfulness",),
    "name-movers": ("copy_", "anti_copy_", "attention_io", "correlation"),
    "s-inhibition": ("attention_s2",),
    "backups": ("without_name_movers",),
    "mlps": ("without_mlps",),
    "completeness": ("circuit_without_", "full_without_", "naive_circuit_", "gap_paper"),
    "minimality": ("minimality",),
}
_ANSWERS = {  # check -> what parts call their claims about heads, the published answer, the rule
    "direct": (
        ("Heads that lower the logit difference most when patched", "9.6 9.9 10.0", "the same"),
        ("Heads that raise it most", "10.7 11.10", "the same"),
    ),
    "s-inhibition": (
        (
            "Heads whose paths into the name movers' queries matter most",
            "7.3 7.9 8.6 8.10",
            "the same",
        ),
    ),
    "random-tokens": (
        ("The 2 heads with the highest previous token score", "2.2 4.11", "both"),
        ("The 3 heads with the highest duplicate token score", "0.1 3.0", "both among our 3"),
        ("The 5 heads with the highest induction score", "5.5 6.9", "both among our 5"),
    ),
    "mlps": (("The MLP that matters most alone", "MLP 0", "the same"),),
}
_SECTION = {
    "direct": "section 3.1",
    "s-inhibition": "section 3.2",
    "random-tokens": "section 3.3",
    "mlps": "appendix J",
}


def ioi_claims(name: str) -> tuple[Claim, ...]:
    """The claims of one check.

    Args:
        name: name of the check

    Returns:
        The paper's figures and answers; the key of an answer is its question.
    """
    figures = [figure for figure in IOI_FIGURES if figure.key.startswith(_KEYS.get(name, ("?",)))]
    numbers = [
        Claim.of_figure(figure, f"{GROUP}: {name}", why=_WHY, how=_HOW[name]) for figure in figures
    ]
    return tuple(
        [replace(claim, source=f"{PAPER}, {claim.source}") for claim in numbers]
        + [
            Claim(
                what, f"{GROUP}: {name}", what, published, f"{PAPER}, {_SECTION[name]}", rule,
                _WHY, _HOW[name],
            )
            for what, published, rule in _ANSWERS.get(name, ())
        ]
    )  # fmt: skip


def ioi_checks(subject: Subject, task: Task | str, folder: Path | None, seed: int) -> list[Check]:
    """List the checks of the paper's figures.

    Args:
        subject: the checkpoint
        task: the prompts, or why there are none
        folder: folder of the kept results; None keeps nothing
        seed: seed of what parts draw

    Returns:
        The checks, the quickest first.
    """
    shared = _Shared(subject, task, folder, seed)
    measures: dict[str, Callable[[], Mapping[str, Value]]] = {
        "behavior": shared.behavior,
        "direct": shared.direct_answers,
        **{name: partial(shared.part, name) for name in _COST if name in PARTS},
        "faithfulness": shared.faithfulness,
    }
    checks = [Check(name, ioi_claims(name), one, *_COST[name]) for name, one in measures.items()]
    return sorted(checks, key=lambda check: check.cost(100))


@dataclass
class _Shared:
    """What the checks share: prompts, kept results, and the setting of the parts."""

    subject: Subject
    given: Task | str
    folder: Path | None
    seed: int

    @cached_property
    def store(self) -> Store:
        model = self.subject.require_model()
        if isinstance(self.given, str):
            raise ValueError(self.given)
        return Store(self.folder, model, self.given)

    @cached_property
    def setting(self) -> Setting:
        model, task = self.store.model, self.store.task
        paths = self.store.get("direct", lambda: {"direct": path_patch(model, task, "logits",
                               progress=bar("direct effects"))})  # fmt: skip
        looks = self.store.get("attention", lambda: {
            "attention": interp.heads.attention_between(model, task).to_dataset(name="looks")
        })  # fmt: skip
        circuit = published_circuit("ioi", "gpt2")
        direct, attention = effect(paths["direct"]), looks["attention"]["looks"]
        return Setting(model, task, circuit, direct, attention, self.seed, SIZE)

    def behavior(self) -> Mapping[str, Value]:
        model, task = self.store.model, self.store.task
        metrics = ("logit_diff", "accuracy", "probability")
        found = self.store.get(
            "behavior",
            lambda: {"behavior": measure(model, task, metrics, progress=bar("behavior"))},
        )["behavior"]
        return {
            "logit_diff": estimate_mean(found.logit_diff),
            "accuracy": estimate_mean(found.accuracy),
            "io_probability": estimate_mean(found.probability),
        }

    def faithfulness(self) -> Mapping[str, Value]:
        model, task = self.store.model, self.store.task
        circuit = published_circuit("ioi", "gpt2")
        found = self.store.get(
            "faithfulness",
            lambda: {
                "alone": interp.circuits.faithfulness(
                    model, task, circuit, metrics="logit_diff", progress=bar("faithfulness")
                )
            },
        )["alone"]
        return {"faithfulness": fraction_kept(found, "logit_diff")}

    def direct_answers(self) -> Mapping[str, Value]:
        ranked = heads_in_order(self.setting.direct)
        return {
            what: _heads(published, some)
            for (what, published, _), some in zip(
                _ANSWERS["direct"], (ranked[:3], ranked[-2:]), strict=True
            )
        }

    def part(self, name: str) -> Mapping[str, Value]:
        part, setting = PARTS[name], self.setting
        found: Results = self.store.get(
            name, partial(part.collect, setting), version=part.version, **setting.depends
        )
        chapter = part.write(setting, found)
        return {m.key: m.estimate for m in chapter.figures} | {
            claim.label: Answer(claim.ours, claim.agrees) for claim in chapter.claims
        }


def _heads(published: str, found: Sequence[object]) -> Answer:
    labels = [str(one) for one in found]
    return Answer(" ".join(labels), set(published.split()) == set(labels))
