"""Libraries that other libraries import and nothing here calls, imported late: a child would wait for each of them.

Some libraries import others with everything they have, for a single function. `install` says which of their modules
get what late: where such a module imports a library that is not loaded yet, it gets a stand-in for it that loads the
library when something of it is used. To all others, and before and after, an import is what it always is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

Functions = tuple[str, ...]
"""Names of functions that are imported one by one; all else of the library loads it at once."""
HIDDEN = None
"""In their place: the module is to find the library missing, where it would use it on import."""
Late = Mapping[str, Functions | None]
"""By the name of the library, or of its part."""


class LateImports(MetaPathFinder):
    """Finds the modules in `wanted`, whose imports are late, for Python to load."""

    def __init__(self, wanted: Mapping[str, Late]) -> None:
        self.wanted = wanted

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name in self.wanted else None
        if spec is None or not isinstance(spec.loader, SourceFileLoader):
            return None
        spec.loader = _Loader(spec.loader.name, spec.loader.path, self.wanted[name])
        return spec


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, late: Late) -> None:
        super().__init__(name, path)
        self._late = late

    def exec_module(self, module: ModuleType) -> None:
        with ExitStack() as stack:
            for library, functions in self._late.items():
                stack.enter_context(_standing_in(library, functions))
            super().exec_module(module)


def install(wanted: Mapping[str, Late]) -> None:
    """Import late what the modules in `wanted` import, of those that are loaded from here on."""
    sys.meta_path.insert(0, LateImports(wanted))


@contextmanager
def _standing_in(library: str, functions: Functions | None) -> Iterator[None]:
    """Within it an import of `library` gets a stand-in, unless the library is loaded already."""
    if library in sys.modules:
        yield
        return
    stand_in = None if functions is None else _stand_in(library, functions)
    sys.modules[library] = stand_in  # type: ignore[assignment]  # `None` is Python's own way to say that it is missing.
    try:
        yield
    finally:
        if sys.modules.get(library, library) is stand_in:
            del sys.modules[library]


def _stand_in(library: str, functions: Functions) -> ModuleType:
    stand_in = ModuleType(library)
    stand_in.__spec__ = ModuleSpec(library, None)  # Whoever asks whether the library is installed looks for it.

    def real() -> ModuleType:
        if sys.modules.get(library) is stand_in:
            del sys.modules[library]
        return import_module(library)

    def other(name: str) -> Any:
        if name == "__path__":  # Every import of names asks for it, to see whether they may be modules.
            raise AttributeError(name)
        return getattr(real(), name)

    vars(stand_in).update({name: _late(name, real) for name in functions} | {"__getattr__": other})
    return stand_in


def _late(name: str, real: Callable[[], ModuleType]) -> Callable[..., Any]:
    def late(*given: Any, **named: Any) -> Any:
        return getattr(real(), name)(*given, **named)

    late.__name__ = late.__qualname__ = name
    return late
