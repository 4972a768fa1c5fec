"""Direct logit attribution of heads: how far each head's output pushes answer against foil.

The final layer norm, at the scale it has in the run, makes the logit difference linear in what the
heads write; with w its gain and centering as C,

    attribution_h = (C (z_h W_O_h) / scale * w) . (W_U[answer] - W_U[foil])   at END.

Source: Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"; Wang et al. 2022
(arXiv 2211.00593), section 3.1, where the projection is shown against attention.
"""

import torch
import xarray as xr
from einops import einsum

from interp.model import HookedGPT2
from interp.patching import Ablation, Progress
from interp.patching.readout import answer_direction
from interp.patching.runs import at, batches, run_side
from interp.results import labelled
from interp.tasks import Task


@torch.inference_mode()
def head_attribution(
    model: HookedGPT2,
    task: Task,
    *,
    ablation: Ablation | None = None,
    progress: Progress = iter,
) -> xr.DataArray:
    """What every head at END writes into the logit difference of the clean prompts.

    Args:
        model: the model.
        task: prompts with answer and foil.
        ablation: what is knocked out of the model.
        progress: wraps the batches, for a progress bar.

    Returns:
        Dims layer, head, prompt, in logits. Positive: toward the answer.
    """
    n_layers = model.config.n_layers
    task = task.right_padded().to(model.device)
    prepared = ablation.prepare(model, task) if ablation else None
    parts = []
    for rows in batches(task, progress):
        end = task.positions["END"][rows]
        hooks = prepared.hooks(rows) if prepared else ()
        keys = [("z", layer) for layer in range(n_layers)]
        last, kept = run_side(model, task, rows, "clean", keys, hooks=hooks)
        scale = (last.var(-1, unbiased=False) + model.config.eps).sqrt()  # b
        direction, _ = answer_direction(model, task.answer[rows], task.foil[rows])
        direction = direction * model.ln_final.w
        direction = (direction - direction.mean(-1, keepdim=True)) / scale[:, None]  # b d
        written = [
            einsum(at(kept["z", i], end), model.blocks[i].attn.W_O, direction,
                   "b h k, h k d, b d -> h b")
            for i in range(n_layers)
        ]  # fmt: skip
        parts.append(torch.stack(written))
    return labelled(
        torch.cat(parts, -1),
        ("layer", "head", "prompt"),
        name="attribution",
        title="Direct logit attribution of the head's output at END",
        unit="logits",
        model=model,
        task=task,
    )
