"""Hook points at which editing in place has the same effect as returning an edited copy.

Tensors that pass a hook point are often shared: the residual stream continues past the branch that
reads it; queries, keys and values are views of one matrix; the inputs of the heads are one tensor
seen several times; and all terms of a sum share one gradient tensor. An edit in place would change
all of them, fail where autograd does not allow it, or change what an earlier hook has kept. So
every hook gets its own contiguous copy, and the run continues with that copy. Hooks that promise
not to write (`reads_only`) need no copy, and a point without hooks copies nothing.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from interp.model._lens import HookPoint as _HookPoint
from interp.model._lens import LensHandle

HookFunction = TypeVar("HookFunction", bound=Callable[..., Any])


class HookPoint(_HookPoint):
    """The identity function, where hooks see an activation and its gradient and may change them."""

    def __call__(self, x: Tensor) -> Tensor:
        """Return `x`, after the hooks."""
        # torch's own hooks do not come through add_hook.
        if self._forward_pre_hooks or len(self._forward_hooks) > len(self.fwd_hooks):
            x = _copied(x)
        return super().__call__(x)

    def add_hook(
        self,
        hook: Callable[..., Any],
        dir: Literal["fwd", "bwd"] = "fwd",
        is_permanent: bool = False,
        level: int | None = None,
        prepend: bool = False,
        alias_names: list[str] | None = None,
    ) -> LensHandle:
        """Add a function to call with each activation (or gradient) and this point.

        Args:
            hook: takes the tensor and `hook=`, this point; it may edit the tensor in place or
                return another to continue with
            dir: "fwd" for the activation, "bwd" for its gradient
            is_permanent: whether the hook survives `reset_hooks`
            level: the `hooks` block that the hook belongs to
            prepend: whether to call it before the existing hooks
            alias_names: names under which to call it, once for each

        Returns:
            The handle that removes it.

        Raises:
            TypeError: the hook is not callable
            ValueError: the direction is unknown
        """
        if not callable(hook):
            raise TypeError(
                f"a hook must be a function (tensor, hook) -> tensor or None, got {hook!r}"
            )
        if dir not in ("fwd", "bwd"):
            raise ValueError(f'dir must be "fwd" or "bwd", got {dir!r}')
        given = hook if getattr(hook, "reads_only", False) else _Private(hook)
        handle = super().add_hook(given, dir, is_permanent, level, prepend, alias_names)
        handle.user_hook = hook
        return handle

    def remove_hooks(
        self,
        dir: Literal["fwd", "bwd", "both"] = "fwd",
        including_permanent: bool = False,
        level: int | None = None,
    ) -> None:
        """Remove the functions that `add_hook` added.

        Args:
            dir: "fwd", "bwd" or "both"
            including_permanent: whether to remove permanent ones too
            level: the `hooks` block whose functions to remove; None for all

        Raises:
            ValueError: the direction is unknown
        """
        # This is called for every point after each run, and most points have no hooks.
        if self.fwd_hooks or self.bwd_hooks or dir not in ("fwd", "bwd", "both"):
            super().remove_hooks(dir, including_permanent, level)


def reads_only(hook: HookFunction) -> HookFunction:
    """Mark a hook that never writes into the tensor it is given, so that it needs no copy.

    Args:
        hook: the hook, which may return another tensor

    Returns:
        The same hook.
    """
    hook.reads_only = True  # type: ignore[attr-defined]
    return hook


class _Private:
    """A hook that gets its own copy, which replaces the original."""

    def __init__(self, hook: Callable[..., Any]) -> None:
        self.hook = hook

    def __call__(self, tensor: Any, *, hook: Any) -> Any:
        if not isinstance(tensor, Tensor):
            return self.hook(tensor, hook=hook)
        own = _copied(tensor)
        result = self.hook(own, hook=hook)
        return own if result is None else result

    def __repr__(self) -> str:
        # A partial's arguments may be large tensors.
        hook = self.hook
        return f"partial({hook.func!r}, ...)" if isinstance(hook, partial) else repr(hook)


def _copied(x: Tensor) -> Tensor:
    return x.clone(memory_format=torch.contiguous_format)
