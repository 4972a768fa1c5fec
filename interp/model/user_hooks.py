"""Find the user's hooks on a model, and refuse them for techniques that would not obey them.

Most techniques resume runs in the middle of the model, where they compute only what a change can
reach. Hooks do not act there, so a number measured with a user's hooks on the model would belong
neither to the hooked model nor to the plain one. These techniques call `require_no_hooks` first.
"""

from collections.abc import Collection, Iterator
from typing import Any

from torch import nn
from torch.nn.utils import parametrize

from interp.model._lens import HookPoint

_TORCH_HOOKS = {
    "_forward_pre_hooks": "forward pre-hook of torch",
    "_forward_hooks": "forward hook of torch",
    "_backward_pre_hooks": "backward pre-hook of torch",
    "_backward_hooks": "backward hook of torch",
}


def require_no_hooks(model: Any, what: str) -> None:
    """Refuse a model on which the user has hooks.

    Args:
        model: the model that a technique is about to run
        what: name of the technique, such as "patch"

    Raises:
        ValueError: there are hooks; the message says where they are and what to do
        RuntimeError: another thread has hooks on the model
    """
    found = model.user_hooks()
    if not found:
        return
    shown = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
    raise ValueError(
        f"{what} needs a model without hooks, but this one has {shown}. {what} resumes runs in the "
        "middle of the model, where these would not act, so its figures would belong neither to "
        "the hooked model nor to the plain one. Leave the `with model.hooks(...)` block, or remove "
        "them with model.reset_hooks(including_permanent=True) (hooks of torch with their handle's "
        "remove()). To measure with parts of the model ablated, pass an Ablation; to measure a "
        "changed model, change the weights of a copy (copy.deepcopy(model))"
    )


def hooks_on(model: nn.Module, own_levels: Collection[int]) -> list[str]:
    """Find the user's hooks on a model.

    Args:
        model: the model
        own_levels: levels of the `hooks` blocks that do not count, because a technique opened them

    Returns:
        The names of modules, each with the kind of hook in brackets.
    """
    found = []
    for name, module in model.named_modules():
        kinds = dict.fromkeys(_kinds(module, own_levels))
        found += [f"{name or 'the model'} ({kind})" for kind in kinds]
    return found


def _kinds(module: nn.Module, own_levels: Collection[int]) -> Iterator[str]:
    handles = []
    if isinstance(module, HookPoint):
        for direction, own in (("forward", module.fwd_hooks), ("backward", module.bwd_hooks)):
            handles += own
            for handle in own:
                if handle.is_permanent or handle.context_level not in own_levels:
                    yield f"{'permanent ' if handle.is_permanent else ''}{direction} hook"
    known = {handle.hook.id for handle in handles}
    for attribute, kind in _TORCH_HOOKS.items():
        if any(key not in known for key in getattr(module, attribute)):
            yield kind
    if "forward" in vars(module):
        yield "replaced forward"
    if parametrize.is_parametrized(module):
        yield f"parametrized {', '.join(module.parametrizations)}"  # type: ignore[arg-type]
