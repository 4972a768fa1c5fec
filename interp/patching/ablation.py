"""The IOI paper's mean ablation: a head outside the circuit says what it says on average.

The average is over the corrupted (ABC) prompts of one group, that is, of one template and order,
separately at each absolute position, so that what the template itself tells is kept and who the
names are is lost. A head of the circuit keeps its output at its own position alone.

Source: Wang et al. 2022 (arXiv 2211.00593), section 2.1 and appendix E.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.model import HookedGPT2
from interp.patching.runs import Hooks, Progress, batches, inputs
from interp.tasks import Task

Keep = tuple[int, int, str]
"""Layer, head and role of an output that is left as it is."""


@torch.inference_mode()
def group_means(
    model: HookedGPT2, task: Task, *, progress: Progress = iter
) -> tuple[Float[Tensor, "layer group pos head d_head"], Int[Tensor, " prompt"]]:
    """Mean of z over the corrupted prompts of each group, per absolute position.

    Args:
        model: the model.
        task: prompts whose `group` is shared by prompts of one template, order and length.
        progress: wraps the batches, for a progress bar.

    Returns:
        The means [layer group pos head d_head], and each prompt's group as an index into them.
    """
    names = sorted(set(task.group))
    group = torch.tensor([names.index(name) for name in task.group], device=model.device)
    counts = torch.bincount(group, minlength=len(names))
    config = model.config
    shape = (config.n_layers, len(names), task.clean_tokens.shape[1], config.n_heads, config.d_head)
    sums = torch.zeros(shape, device=model.device, dtype=model.dtype)
    for rows in batches(task, progress):
        _, cache = model.run_with_cache(
            *inputs(model, task, rows, "corrupted"),
            stop_at_layer=config.n_layers,
            names_filter=lambda name: name.endswith("attn.hook_z"),
        )
        for layer in range(config.n_layers):
            sums[layer].index_add_(0, group[rows], cache["z", layer])
    return sums / counts[:, None, None, None], group


def mean_ablation(
    model: HookedGPT2, task: Task, keep: Iterable[Keep], *, progress: Progress = iter
) -> Callable[[slice], Hooks]:
    """Hooks that set every head's output to its group mean, except where `keep` says.

    Args:
        model: the model.
        task: the prompts that will be run, with their corrupted partners.
        keep: (layer, head, role) of the outputs to leave as the ablated model computes them.
        progress: wraps the batches, for a progress bar.

    Returns:
        For a slice of the prompts, the forward hooks: the `hooks` of `run_task`.

    Raises:
        ValueError: for a head outside the model or a role that the task does not have.
    """
    kept = kept_outputs(model, task, keep)
    means, group = group_means(model, task, progress=progress)
    return replace_outputs(kept, means, group)


def replace_outputs(
    kept: Bool[Tensor, "layer prompt pos head"],
    means: Float[Tensor, "layer group pos head d_head"],
    group: Int[Tensor, " prompt"],
) -> Callable[[slice], Hooks]:
    """Hooks that set head outputs to their group's mean wherever `kept` is False.

    Args:
        kept: read anew in each run, so that it can be changed between runs.
        means: of `group_means`.
        group: of `group_means`.

    Returns:
        For a slice of the prompts, the forward hooks.
    """

    def hooks(rows: slice) -> Hooks:
        def ablate(z: Tensor, hook: Any) -> Tensor:
            layer = hook.layer()
            return torch.where(kept[layer, rows, :, :, None], z, means[layer, group[rows]])

        return [(lambda name: name.endswith("attn.hook_z"), ablate)]

    return hooks


def kept_outputs(
    model: HookedGPT2, task: Task, keep: Iterable[Keep]
) -> Bool[Tensor, "layer prompt pos head"]:
    """Where head outputs are kept: True at each head's roles.

    Args:
        model: the model.
        task: the prompts.
        keep: (layer, head, role) of the outputs to keep.

    Returns:
        One truth value a head output.

    Raises:
        ValueError: for a head outside the model or a role that the task does not have.
    """
    n_layers, n_heads = model.config.n_layers, model.config.n_heads
    kept = torch.zeros(
        n_layers, *task.clean_tokens.shape, n_heads, dtype=torch.bool, device=model.device
    )
    prompts = torch.arange(len(task), device=model.device)
    for layer, head, role in keep:
        if not (0 <= layer < n_layers and 0 <= head < n_heads):
            raise ValueError(
                f"head {layer}.{head} is not in the model, which has {n_layers} layers of "
                f"{n_heads} heads"
            )
        if role not in task.positions:
            raise ValueError(f"the task has no role {role!r}; it has {list(task.positions)}")
        kept[layer, prompts, task.positions[role].to(model.device), head] = True
    return kept
