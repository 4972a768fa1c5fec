"""Look up hook points by name, with errors that suggest the nearest names."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from torch import nn

from interp.model._lens import HookPoint

Where = str | Callable[[str], bool]
"""The name of a hook point, or a predicate on names."""

# d_model wide per head: 12 times the memory of z in GPT-2 small, so cached only by name.
_PER_HEAD = ("hook_result", "hook_q_input", "hook_k_input", "hook_v_input")


class HookNames(dict[str, nn.Module]):
    """Modules by name; the error for an unknown name suggests the nearest ones."""

    def __missing__(self, name: str) -> nn.Module:
        hooks = [key for key, module in self.items() if isinstance(module, HookPoint)]
        near = get_close_matches(name, hooks, n=3) or hooks[:3]
        raise KeyError(f"no hook point {name!r}; nearest: {', '.join(near)}")


def find_points(
    modules: Mapping[str, nn.Module], points: Mapping[str, HookPoint], where: Where
) -> dict[str, HookPoint]:
    """Find the hook points that a name or a predicate selects.

    Args:
        modules: every module by its names
        points: every hook point by its own name
        where: a name, or a predicate on names

    Returns:
        The hook points, by the names that they were asked for by.

    Raises:
        KeyError: the name does not exist; the message suggests the nearest ones
        ValueError: the module is not a hook point, or the predicate matches nothing
        TypeError: `where` is neither a name nor a predicate
    """
    if isinstance(where, str):
        point = modules[where]
        if not isinstance(point, HookPoint):
            inside = [name for name in points if name.startswith(f"{where}.")]
            inside.sort(key=lambda name: name.count("."))
            near = inside[:8] or get_close_matches(where, points, n=3) or list(points)[:3]
            raise ValueError(
                f"{where!r} is a module but no hook point; hook points near it: {', '.join(near)}"
            )
        return {where: point}
    if not callable(where):
        raise TypeError(
            "a hook point is given by its name or by a predicate on names, got "
            f"{type(where).__name__} {where!r}"
        )
    found = {name: point for name, point in points.items() if where(name)}
    if not found:
        raise ValueError(
            "the predicate matches no hook point; their names are such as "
            f"{', '.join(list(points)[:6])}"
        )
    return found


def names_to_keep(
    modules: Mapping[str, nn.Module], points: Mapping[str, HookPoint], names_filter: Any
) -> Callable[[str], bool]:
    """Turn what `run_with_cache` is asked to keep into a predicate on names.

    Args:
        modules: every module by its names
        points: every hook point by its own name
        names_filter: a name, several names, or a predicate; None for everything except what is
            d_model wide per head

    Raises:
        KeyError, ValueError, TypeError: as for `find_points`, or if there are no names or a hook
            point is named twice
    """
    if names_filter is None:
        return _is_cheap
    if callable(names_filter):
        return set(find_points(modules, points, names_filter)).__contains__
    names = [names_filter] if isinstance(names_filter, str) else names_filter
    if not isinstance(names, list | tuple | set | frozenset) or not all(
        isinstance(name, str) for name in names
    ):
        raise TypeError(
            "names_filter must be a hook name, several, a predicate on names, or None, got "
            f"{names_filter!r}"
        )
    kept = [p.name for name in names for p in find_points(modules, points, name).values()]
    if not kept:
        raise ValueError("names_filter is empty, so nothing would be kept; None keeps everything")
    twice = sorted({str(name) for name in kept if kept.count(name) > 1})
    if twice:
        raise ValueError(f"names_filter names {', '.join(twice)} more than once")
    return set(kept).__contains__


def _is_cheap(name: str) -> bool:
    return not name.endswith(_PER_HEAD)
