"""Import modules of TransformerLens without the rest, and keep the package whole for others.

TransformerLens's `__init__` files import transformers and datasets, which takes seconds, while the
modules that we use need only torch. Here they are imported with their packages left *hollow*:
found, but without running `__init__`. Afterwards the hollow packages are forgotten, and the modules
stay in `sys.modules`. A later import of transformer_lens runs its real `__init__`, which finds the
modules there, so there is only one `HookedRootModule`, whoever imported it first.

All of this happens within the import of the package, under its import lock, so other threads wait.
If anything is not as expected (another version, say), the package is imported the ordinary way.
"""

import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


class _Finished(ImportError):
    """Raised to end the hollow import, so that Python forgets the hollow package."""


class _Hollow(ModuleType):
    """A package whose `__init__` has not run: it has the names of `sources`, else the real ones.

    Modules imported meanwhile may keep a reference to it (`import package.utilities as utils`).
    """

    sources: tuple[str, ...] = ()
    finished = False

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__"):
            for source in self.sources:
                with suppress(AttributeError):
                    vars(self)[name] = getattr(import_module(f"{self.__name__}.{source}"), name)
                    return vars(self)[name]
            if self.finished:
                return getattr(import_module(self.__name__), name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


class _Finder(MetaPathFinder, Loader):
    """Makes packages hollow until the modules are imported, then waits for the whole package."""

    def __init__(
        self, package: str, modules: Sequence[str], hollow: dict[str, tuple[str, ...]]
    ) -> None:
        self.package = package
        self.modules = [f"{package}.{name}" for name in modules]
        self.hollow = {f"{package}.{name}".rstrip("."): names for name, names in hollow.items()}
        self.kept: dict[str, ModuleType] = {}

    def find_spec(
        self, fullname: str, path: Any, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self.hollow or (self.kept and fullname != self.package):
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is None:
            return None
        if self.kept:
            self._complete_after(spec)
        else:
            spec.loader = self
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = _Hollow(spec.name)
        module.sources = self.hollow[spec.name]
        return module

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ != self.package:
            return
        try:
            for name in self.modules:
                import_module(name)
        except Exception:
            self._forget(all_modules=True)
            raise
        self.kept = self._forget()
        raise _Finished

    def _forget(self, *, all_modules: bool = False) -> dict[str, ModuleType]:
        """Take the hollow packages out of `sys.modules`; return the modules that stay."""
        prefix = f"{self.package}."
        ours = {name: m for name, m in list(sys.modules.items()) if name.startswith(prefix)}
        for name, module in ours.items():
            if all_modules or isinstance(module, _Hollow):
                del sys.modules[name]
        for module in (*ours.values(), sys.modules[self.package]):
            if isinstance(module, _Hollow):
                module.finished = True
        return {name: m for name, m in ours.items() if not isinstance(m, _Hollow)}

    def _complete_after(self, spec: ModuleSpec) -> None:
        """Once the whole package is imported, set its modules as attributes of their packages.

        Python does this when it loads a module, but these were loaded before.
        """
        loader: Any = spec.loader
        whole = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module
            whole(module)
            with suppress(ValueError):
                sys.meta_path.remove(self)
            for name, kept in self.kept.items():
                parent, _, child = name.rpartition(".")
                if parent in sys.modules and child not in vars(sys.modules[parent]):
                    setattr(sys.modules[parent], child, kept)

        loader.exec_module = exec_module


def light_import(
    package: str, modules: Sequence[str], hollow: dict[str, tuple[str, ...]]
) -> list[ModuleType]:
    """Import modules of a package without running the `__init__` files of some of its packages.

    Args:
        package: the package
        modules: names of the modules, within the package
        hollow: the packages whose `__init__` is not run, by name within the package ("" is the
            package itself), each with the modules in which to look up names that it lacks

    Returns:
        The modules; from an ordinary import, if the package is imported already or cannot be
        imported in this way.
    """
    if package not in sys.modules:
        finder = _Finder(package, modules, hollow)
        sys.meta_path.insert(0, finder)
        try:
            import_module(package)
        except _Finished:
            return [sys.modules[name] for name in finder.modules]
        except Exception:  # whatever differs from what we expect: import it whole, below
            pass
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)
    return [import_module(f"{package}.{name}") for name in modules]
