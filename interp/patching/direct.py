"""The direct effect of every head on the logits, by path patching.

The output of one head at END is replaced by the one it has on the corrupted prompt, and only its
path to the logits through residual stream, layer norms and MLPs is let through: every other head
writes what it writes on the clean prompt. Since attention is frozen, no position affects another,
so END alone is computed, from the patched layer on:

    x_l = resid_mid_l(clean) + (z_h(corrupted) - z_h(clean)) W_O_h,  then only MLPs and the clean
    attention outputs of later layers,  effect = logit_diff(x) - logit_diff(clean)

Source: Wang et al. 2022 (arXiv 2211.00593), section 3.1 and appendix B; as in the paper, MLPs and
layer norms are recomputed.
"""

import torch
import xarray as xr
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from interp.model import HookedGPT2
from interp.patching.runs import Progress, Side, at, batches, inputs, logit_diff_of
from interp.results import labelled
from interp.tasks import Task

_READ = ("attn.hook_z", "hook_attn_out", "hook_resid_mid")


@torch.inference_mode()
def direct_effect(model: HookedGPT2, task: Task, *, progress: Progress = iter) -> xr.DataArray:
    """What each head's direct path to the logits adds to the logit difference, by its removal.

    Args:
        model: the model.
        task: clean prompts with corrupted partners (the paper: ABC).
        progress: wraps the batches, for a progress bar.

    Returns:
        Dims layer, head, prompt, in logits: the logit difference with the head's direct path taken
        from the corrupted prompt, minus the clean one. Negative: the head writes the answer.
    """
    layers = range(model.config.n_layers)
    effects = []
    for rows in batches(task, progress):
        clean = _at_end(model, task, rows, "clean")
        corrupted = _at_end(model, task, rows, "corrupted")
        clean_stream = clean["hook_resid_mid"][-1]
        answer, foil = task.answer[rows], task.foil[rows]
        base = logit_diff_of(model, _mlp(model, layers[-1], clean_stream), answer, foil)
        by_layer = []
        for layer in layers:
            change = corrupted["attn.hook_z"][layer] - clean["attn.hook_z"][layer]
            written = einsum(change, model.blocks[layer].attn.W_O, "b h k, h k d -> b h d")
            x = _mlp(model, layer, clean["hook_resid_mid"][layer][:, None] + written)
            for later in layers[layer + 1 :]:
                x = _mlp(model, later, x + clean["hook_attn_out"][later][:, None])
            by_layer.append(logit_diff_of(model, x, answer, foil) - base[:, None])  # b h
        effects.append(torch.stack(by_layer))  # layer b h
    values = torch.cat(effects, 1).transpose(1, 2)  # layer head prompt
    return labelled(
        values,
        ("layer", "head", "prompt"),
        name="direct_effect",
        title="Direct effect on the logit difference",
        unit="logits",
        model=model,
        task=task,
    )


def _at_end(
    model: HookedGPT2, task: Task, rows: slice, side: Side
) -> dict[str, list[Float[Tensor, "batch ..."]]]:
    """What is read of a run, at END: kind of activation -> one tensor a layer."""
    tokens, mask = inputs(model, task, rows, side)
    end = task.positions["END"][rows]
    _, cache = model.run_with_cache(
        tokens, mask, return_type=None, names_filter=lambda name: name.endswith(_READ)
    )
    n_layers = model.config.n_layers
    return {
        kind: [at(cache[f"blocks.{layer}.{kind}"], end) for layer in range(n_layers)]
        for kind in _READ
    }


def _mlp(
    model: HookedGPT2, layer: int, resid_mid: Float[Tensor, "... d_model"]
) -> Float[Tensor, "... d_model"]:
    """The stream after a layer's MLP, resid_mid -> resid_post."""
    block = model.blocks[layer]
    return resid_mid + block.mlp(block.ln2(resid_mid))
