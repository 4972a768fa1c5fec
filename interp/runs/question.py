"""The question that a result answers: what was replaced where by what, and how it was measured.

`interp.results.labeled` adds the model with the fingerprint of its weights, the task with the
fingerprint of its prompts, and the versions.
"""

from typing import Any

from interp.runs.ablation import Ablation
from interp.runs.selection import Selection
from interp.tasks import Task


def question(
    technique: str,
    *,
    task: Task | None = None,
    site: str = "",
    selection: Selection | None = None,
    ablation: Ablation | None = None,
    reference: str = "",
    **options: object,
) -> dict[str, Any]:
    """The fields of an `interp.results.Question` that a technique supplies.

    Args:
        technique: name of the technique
        task: the prompts, which decide where the means of an ablation come from by default
        site: the activation
        selection: the parts that it sweeps over
        ablation: what is knocked out in every run
        reference: fingerprints of the prompts for means or resampling, if not the task's own
        options: everything else that affects a number, such as the direction; None is left out

    Returns:
        Field -> its value.
    """
    return {
        "technique": technique,
        "site": site,
        "selection": "" if selection is None else selection.describe(),
        "ablation": "" if ablation is None else ablation.describe(task),
        "reference": reference,
        "options": {name: str(value) for name, value in options.items() if value is not None},
    }
