"""Does the circuit alone do the task? Faithfulness by mean ablation.

F(M) is the mean logit difference of the whole model, F(C) that of the model in which every head
output outside the circuit is set to its mean. A faithful circuit has F(C) near F(M).

Source: Wang et al. 2022 (arXiv 2211.00593), section 4; ablation as in section 2.1.
"""

import xarray as xr

from interp.circuits.circuit import Circuit
from interp.model import HookedGPT2
from interp.patching import Ablation, Progress, measure
from interp.tasks import Task


def faithfulness(
    model: HookedGPT2, task: Task, circuit: Circuit, *, progress: Progress = iter
) -> xr.Dataset:
    """The logit difference of the whole model and of the circuit alone, prompt by prompt.

    Args:
        model: the model.
        task: clean prompts, whose corrupted partners give the means.
        circuit: heads with the position that each keeps.
        progress: wraps the batches of each of its three runs, for a progress bar.

    Returns:
        `full` and `circuit`, dims prompt, in logits. F(M) and F(C) are their means; MLPs, layer
        norms and embeddings are left alone.

    Raises:
        ValueError: for a head or a position that model or task do not have.
    """
    keep = [(head.layer, head.head, head.position) for head in circuit.heads]
    others = Ablation(heads="all", keep=keep, value="group mean")
    runs = {
        "full": measure(model, task, progress=progress),
        "circuit": measure(model, task, ablation=others, progress=progress),
    }
    titles = {"full": "Whole model", "circuit": "Circuit alone"}
    return xr.Dataset(
        {
            name: found.logit_diff.rename(name).assign_attrs(title=titles[name])
            for name, found in runs.items()
        }
    )
