"""Adversarial prompts (section 4.4): naming IO twice should mislead heads that find duplicates.

Two sentences about IO, and as a control about S, are added between the names and the second clause
(`interp.tasks.named_again`). All three sets come from the same prompts: those with a punctuation
mark after which the sentences can go. The sentences are ours, so figures are compared with wide
tolerances.
"""

import xarray as xr

from analyses.common.wording import text
from analyses.ioi.parts.setting import Chapter, Measured, PaperPart, Results, Setting, verdicts
from interp.patching import measure
from interp.report import Section, Table
from interp.statistics import estimate_mean
from interp.tasks import named_again
from interp.tasks.ioi_variants import breaks

HEADING = "Adversarial prompts: a name once more (4.4)"
_SETS = {"plain": "as they are", "IO": "IO named again", "S1": "S named again"}


def collect(setting: Setting) -> Results:
    """Measure behavior on the prompts as they are, with IO named again, and with S named again.

    Args:
        setting: what the part works on

    Returns:
        `plain`, `IO`, `S1`: `logit_diff`, `accuracy` and `probability`, dims prompt; empty if no
            prompt has a place for the sentences.
    """
    task, tokenizer = setting.task.right_padded(), setting.model.tokenizer
    chosen = [i for i, mark in enumerate(breaks(task, tokenizer)) if mark is not None]
    if len(chosen) < 2:
        return {}
    tasks = {"plain": task.subset(chosen)}
    tasks |= {role: named_again(task, tokenizer, role, seed=setting.seed) for role in ("IO", "S1")}
    metrics = ("logit_diff", "accuracy", "probability")
    found: dict[str, xr.Dataset] = {
        name: measure(setting.model, t, metrics) for name, t in tasks.items()
    }
    example = tasks["IO"].clean[0]
    return {**found, "IO": found["IO"].assign_attrs(example=example)}


def write(setting: Setting, found: Results) -> Chapter:
    """Write the chapter.

    Args:
        setting: what the part worked on
        found: the result of `collect`

    Returns:
        The section and the figures.
    """
    if not found:
        return Chapter(Section(HEADING, "Not measured: no prompt has a place for more sentences."))
    rows, figures = [], []
    for name, about in _SETS.items():
        one = found[name]
        wrong = 1 - one.accuracy
        rows.append(
            {
                "prompts": about,
                "logit difference": text(estimate_mean(one.logit_diff), 2),
                "probability of IO": text(estimate_mean(one.probability)),
                "S above IO": text(estimate_mean(wrong)),
            }
        )
        for key, label, values, unit in (
            ("_diff", "Logit difference", one.logit_diff, "logits"),
            ("_io", "Mean probability of IO", one.probability, "probability"),
            ("", "Fraction of prompts with S above IO", wrong, "fraction"),
        ):
            about_it = f"{label}, {about}"
            figures.append(Measured.mean(f"adversarial_{name}{key}", about_it, values, unit))
    n = found["plain"].sizes["prompt"]
    section = Section(
        HEADING,
        f"These are the {n} of {len(setting.task)} prompts that have a comma or full stop between "
        f"the names and the second clause. For example: “{found['IO'].attrs['example']} …”",
        [
            Table(rows, "Means with 95 % intervals over prompts."),
            *verdicts(setting, figures, ()),
        ],
    )
    return Chapter(section, figures)


PART = PaperPart("adversarial", 1, collect, write)
