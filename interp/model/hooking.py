"""Whose hooks are on a model, and techniques that must have none of the user's.

Most techniques resume runs in the middle of the model, where they compute only what a change can
reach. No hook acts there, so a figure measured with a user's hooks on the model would belong
neither to the hooked model nor to the plain one. These techniques call `require_no_hooks` first.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.utils import parametrize

from interp.model._lens import HookPoint

Hooks = Sequence[tuple[str | Callable[[str], bool], Callable[..., Any]]]
"""Hook points, by name or by a predicate on names, each with the function to call there."""

_TORCH_HOOKS = {
    "_forward_pre_hooks": "forward pre-hook of torch",
    "_forward_hooks": "forward hook of torch",
    "_backward_pre_hooks": "backward pre-hook of torch",
    "_backward_hooks": "backward hook of torch",
}


class HookMethods:
    """What `HookedGPT2` knows of the hooks on it."""

    named_modules: Any
    hooks: Any
    context_level: int
    _own_levels: set[int]

    def user_hooks(self) -> list[str]:
        """The hooks on this model other than those of a technique that is running.

        Returns:
            Where each is, with its kind in brackets: hooks of `add_hook` and `hooks`, permanent
            ones, hooks of torch on any module, replaced `forward` methods and parametrizations.
            Empty for a plain model.

        Example:
            >>> import interp
            >>> model = interp.load("mini")
            >>> with model.hooks([("blocks.1.attn.hook_z", lambda z, hook: 0 * z)]):
            ...     model.user_hooks()
            ['blocks.1.attn.hook_z (forward hook)']
        """
        found = []
        for name, module in self.named_modules():
            kinds = _kinds(module, self._own_levels)
            found += [f"{name or 'the model'} ({kind})" for kind in dict.fromkeys(kinds)]
        return found

    @contextmanager
    def own_hooks(self, fwd_hooks: Hooks = (), bwd_hooks: Hooks = ()) -> Iterator[None]:
        """Add hooks as `hooks` does, for a technique's own use: `user_hooks` leaves them out.

        Args:
            fwd_hooks: hook points and functions of the forward run.
            bwd_hooks: hook points and functions of the backward run.
        """
        with self.hooks(list(fwd_hooks), list(bwd_hooks)):
            level = self.context_level
            self._own_levels.add(level)
            try:
                yield
            finally:
                self._own_levels.discard(level)


def require_no_hooks(model: HookMethods, what: str) -> None:
    """Refuse a model that has hooks of the user's on it.

    Args:
        model: the model that a technique is about to run.
        what: the technique, as the user calls it, such as "patch".

    Raises:
        ValueError: if there are any, with their places and what to do.
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


def _kinds(module: nn.Module, own_levels: set[int]) -> Iterator[str]:
    handles = []
    if isinstance(module, HookPoint):
        for direction, own in (("forward", module.fwd_hooks), ("backward", module.bwd_hooks)):
            handles += own
            for handle in own:
                if handle.is_permanent or handle.context_level not in own_levels:
                    yield (
                        f"permanent {direction} hook"
                        if handle.is_permanent
                        else (f"{direction} hook")
                    )
    known = {handle.hook.id for handle in handles}
    for attribute, kind in _TORCH_HOOKS.items():
        if any(key not in known for key in getattr(module, attribute)):
            yield kind
    if "forward" in vars(module):
        yield "replaced forward"
    if parametrize.is_parametrized(module):
        yield f"parametrized {', '.join(module.parametrizations)}"  # type: ignore[arg-type]
