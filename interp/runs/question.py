"""The question that a result answers: what was replaced where and by what, and how it was read.

`interp.results.labelled` adds the model with its weights' fingerprint, the task with that of its
prompts, and the versions.
"""

from typing import Any

from interp.runs.ablation import Ablation
from interp.runs.selection import Selection


def question(
    technique: str,
    *,
    site: str = "",
    selection: Selection | None = None,
    ablation: Ablation | None = None,
    reference: str = "",
    **options: object,
) -> dict[str, Any]:
    """The fields of an `interp.results.Question` that a technique knows.

    Args:
        technique: its name.
        site: the activation.
        selection: the parts that it goes over.
        ablation: what is knocked out in every run.
        reference: fingerprints of the prompts that means are taken over or resampled from, where
            these are not the task's own.
        options: everything else that changes a number, such as the direction; None is left out.

    Returns:
        Field -> its value.
    """
    return {
        "technique": technique,
        "site": site,
        "selection": "" if selection is None else selection.describe(),
        "ablation": "" if ablation is None else ablation.describe(),
        "reference": reference,
        "options": {name: str(value) for name, value in options.items() if value is not None},
    }
