"""Reading and changing activations: the base class of `HookedGPT2`, independent of the model.

It extends TransformerLens's root module by errors at the boundary, separate hooks for techniques
and for the user, and one thread at a time (see `interp.model.turns`).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

from torch import Tensor, nn

from interp.model._lens import ActivationCache, HookedRootModule
from interp.model._lens import HookPoint as LensHookPoint
from interp.model.checks import check_device
from interp.model.hook_names import HookNames, Where, find_points, names_to_keep
from interp.model.hook_points import reads_only
from interp.model.turns import Turn
from interp.model.user_hooks import hooks_on

Hooks = Sequence[tuple[Where, Callable[..., Any]]]
"""Hook points, by name or by a predicate on names, each with the function to call there."""

Model = TypeVar("Model", bound="HookedModule")
P = ParamSpec("P")
R = TypeVar("R")


def takes_turn(method: Callable[Concatenate[Model, P], R]) -> Callable[Concatenate[Model, P], R]:
    """Make a method of a `HookedModule` wait until no other thread is using the model."""

    @wraps(method)
    def alone(self: Model, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._turn:
            return method(self, *args, **kwargs)

    return alone


class HookedModule(HookedRootModule):
    """A module with named hook points, and runs that read and change what passes them."""

    def __init__(self) -> None:
        super().__init__()
        self._turn = Turn()
        self._own_levels: set[int] = set()

    def name_hook_points(self, aliases: dict[str, nn.Module]) -> None:
        """Name every module, once all of them exist.

        Args:
            aliases: other names of some hook points
        """
        self.setup()
        self.mod_dict: dict[str, nn.Module] = HookNames({**self.mod_dict, **aliases})

    # ---- setting hooks ---------------------------------------------------------------------

    def _named(self, where: Where) -> dict[str, LensHookPoint]:
        return find_points(self.mod_dict, self.hook_dict, where)

    @takes_turn
    def add_hook(
        self,
        name: Where,
        hook: Callable[..., Any],
        dir: Literal["fwd", "bwd"] = "fwd",
        is_permanent: bool = False,
        level: int | None = None,
        prepend: bool = False,
    ) -> None:
        """Add a hook that stays until `reset_hooks`.

        Args:
            name: a hook point, or a predicate on their names
            hook: takes a tensor and `hook=`, the point; it may edit the tensor in place, or return
                another to continue with
            dir: "fwd" for activations, "bwd" for their gradients
            is_permanent: whether the hook survives `reset_hooks`
            level: the `hooks` block that the hook belongs to
            prepend: whether to call it before the existing hooks

        Raises:
            KeyError: the name does not exist; the message suggests the nearest ones
            ValueError: the module is not a hook point, the predicate matches nothing, or the
                direction is unknown
            TypeError: the hook is not callable
        """
        for key, point in self._named(name).items():
            self.check_and_add_hook(
                point, key, hook, dir=dir, is_permanent=is_permanent, level=level, prepend=prepend
            )

    def _enable_hook(
        self, name: Where, hook: Callable[..., Any], dir: Literal["fwd", "bwd"]
    ) -> None:
        for point in self._named(name).values():
            point.add_hook(hook, dir=dir, level=self.context_level)

    @takes_turn
    def reset_hooks(self, *args: Any, **kwargs: Any) -> None:
        """Remove all hooks; with `including_permanent=True`, permanent ones too."""
        super().reset_hooks(*args, **kwargs)

    @contextmanager
    def hooks(
        self,
        fwd_hooks: Hooks = (),
        bwd_hooks: Hooks = (),
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
    ) -> Iterator[Any]:
        """Put hooks on the model for the duration of a `with` block.

        Meanwhile, other threads that use the model get an error.

        Args:
            fwd_hooks: hook points and functions of the forward run; see `add_hook`
            bwd_hooks: hook points and functions of the backward run
            reset_hooks_end: whether to remove the hooks when the block ends
            clear_contexts: whether to empty the hook points' `ctx` too

        Raises:
            KeyError, ValueError, TypeError: as for `add_hook`
            RuntimeError: another thread is in such a block
        """
        with (
            self._turn.block(),
            super().hooks(
                list(fwd_hooks), list(bwd_hooks), reset_hooks_end, clear_contexts
            ) as model,
        ):
            yield model

    @contextmanager
    def own_hooks(self, fwd_hooks: Hooks = (), bwd_hooks: Hooks = ()) -> Iterator[None]:
        """Put hooks on the model as `hooks` does, for a technique's own use.

        `user_hooks` leaves them out. Other threads wait for the end of the block, so the block must
        not wait for them.

        Args:
            fwd_hooks: hook points and functions of the forward run
            bwd_hooks: hook points and functions of the backward run
        """
        with self._turn, self.hooks(fwd_hooks, bwd_hooks):
            level = self.context_level
            self._own_levels.add(level)
            try:
                yield
            finally:
                self._own_levels.discard(level)

    @takes_turn
    def user_hooks(self) -> list[str]:
        """List the hooks on this model, except those of a running technique.

        Returns:
            The place of each hook, with its kind in brackets: hooks set by `add_hook` and `hooks`,
            permanent ones, torch's own hooks on any module, replaced `forward` methods, and
            parametrizations. Empty for a plain model.

        Example:
            >>> import interp
            >>> model = interp.load("mini")
            >>> with model.hooks([("blocks.1.attn.hook_z", lambda z, hook: 0 * z)]):
            ...     model.user_hooks()
            ['blocks.1.attn.hook_z (forward hook)']
        """
        return hooks_on(self, self._own_levels)

    # ---- runs ------------------------------------------------------------------------------

    @takes_turn
    def run_with_hooks(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model with hooks that are removed afterward.

        Args:
            *args: arguments of `forward`
            **kwargs: arguments of `forward`, and `fwd_hooks`, `bwd_hooks`, `reset_hooks_end` and
                `clear_contexts` of `hooks`

        Returns:
            What `forward` returns.

        Raises:
            KeyError, ValueError, TypeError: as for `add_hook` and `forward`
        """
        return super().run_with_hooks(*args, **kwargs)

    @takes_turn
    def run_with_cache(
        self,
        *args: Any,
        names_filter: Any = None,
        device: Any = None,
        remove_batch_dim: bool = False,
        incl_bwd: bool = False,
        **kwargs: Any,
    ) -> tuple[Any, ActivationCache]:
        """Run the model and keep its activations.

        Args:
            *args: what `forward` takes
            names_filter: a hook name, several names, or a predicate on names; None keeps everything
                except per-head results and q/k/v inputs, which are d_model wide per head and must
                be named
            device: device for the kept activations; None leaves them where they are
            remove_batch_dim: whether to drop the batch dimension of a single prompt
            incl_bwd: whether to keep gradients too, in a run with return_type="loss"
            **kwargs: arguments of `forward`, and `pos_slice`, as in TransformerLens

        Returns:
            What `forward` returns, and the activations by name.

        Raises:
            KeyError: a hook name does not exist; the message suggests the nearest ones
            ValueError: the filter matches nothing or names a point twice, gradients are asked of
                anything but the loss, `remove_batch_dim` is used with several prompts, or as for
                `forward`
            TypeError: the filter is of another type
        """
        if incl_bwd and kwargs.get("return_type") != "loss":
            raise ValueError(
                'incl_bwd=True keeps the gradients of the loss; pass return_type="loss" with it, '
                f"got {kwargs.get('return_type', 'logits')!r}"
            )
        if remove_batch_dim and args and _n_prompts(args[0]) != 1:
            raise ValueError(
                "remove_batch_dim=True is for one prompt, got "
                f"{_n_prompts(args[0])}; leave it out for a batch"
            )
        output, cache = super().run_with_cache(
            *args,
            names_filter=names_to_keep(self.mod_dict, self.hook_dict, names_filter),
            device=None if device is None else check_device(device),
            remove_batch_dim=remove_batch_dim,
            incl_bwd=incl_bwd,
            **kwargs,
        )
        return output, ActivationCache(cache, self, has_batch_dim=not remove_batch_dim)

    def get_caching_hooks(
        self, names_filter: Any = None, *args: Any, **kwargs: Any
    ) -> tuple[dict[str, Tensor], list[Any], list[Any]]:
        """The hooks behind `run_with_cache`; see there and TransformerLens."""
        names = names_to_keep(self.mod_dict, self.hook_dict, names_filter)
        cache, forward, backward = super().get_caching_hooks(names, *args, **kwargs)
        for _, hook in (*forward, *backward):
            reads_only(hook)
        return cache, forward, backward


def _n_prompts(input: Any) -> int:
    if isinstance(input, Tensor):
        return len(input) if input.ndim > 1 else 1
    return 1 if isinstance(input, str) else len(input)
