"""Hook points at which editing in place is the same as returning an edited copy.

What passes a hook point is often shared: the residual stream goes on beside the branch that reads
it, queries, keys and values are views of one matrix, the inputs of the heads are one tensor seen
several times, and gradients of a sum are one tensor for all terms. An edit in place would change
all of them, or fail where autograd does not allow it, or change what an earlier hook has kept. So
every hook is given a contiguous copy of its own, and the copy goes on. Hooks that promise to write
into nothing (`reads_only`) need none, and a point without hooks copies nothing.
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
    """The identity, at which hooks see an activation and its gradient, and may change them."""

    def __call__(self, x: Tensor) -> Tensor:
        """`x`, after the hooks."""
        # Hooks of torch itself do not come by way of add_hook.
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
        """Add a function to call with each activation (or gradient), and with this point.

        Args:
            hook: takes the tensor and `hook=`, this point; it may edit the tensor in place, or
                return another to go on with.
            dir: "fwd" for the activation, "bwd" for its gradient.
            is_permanent: whether the hook survives `reset_hooks`.
            level: which `hooks` block it belongs to.
            prepend: call it before those that are there.
            alias_names: names to call it under, once for each.

        Returns:
            The handle that removes it.

        Raises:
            TypeError: if the hook cannot be called.
            ValueError: for another direction.
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
            dir: "fwd", "bwd" or "both".
            including_permanent: whether permanent ones go too.
            level: which `hooks` block they belong to; None for all of them.

        Raises:
            ValueError: for another direction.
        """
        # After each run every point of the model is asked, and most have none.
        if self.fwd_hooks or self.bwd_hooks or dir not in ("fwd", "bwd", "both"):
            super().remove_hooks(dir, including_permanent, level)


def reads_only(hook: HookFunction) -> HookFunction:
    """Mark a hook that never writes into the tensor it is given, so that it needs no copy of it.

    Args:
        hook: the hook; it may return another tensor.

    Returns:
        The same hook.
    """
    hook.reads_only = True  # type: ignore[attr-defined]
    return hook


class _Private:
    """A hook that gets a copy of its own, which goes on in place of the original."""

    def __init__(self, hook: Callable[..., Any]) -> None:
        self.hook = hook

    def __call__(self, tensor: Any, *, hook: Any) -> Any:
        if not isinstance(tensor, Tensor):
            return self.hook(tensor, hook=hook)
        own = _copied(tensor)
        result = self.hook(own, hook=hook)
        return own if result is None else result

    def __repr__(self) -> str:
        # The arguments of a partial may be large tensors.
        hook = self.hook
        return f"partial({hook.func!r}, ...)" if isinstance(hook, partial) else repr(hook)


def _copied(x: Tensor) -> Tensor:
    return x.clone(memory_format=torch.contiguous_format)
