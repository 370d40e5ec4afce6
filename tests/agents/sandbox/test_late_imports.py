"""A library that another one imports for nothing is loaded when it is used, and nobody is told anything untrue."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from apps.agents.sandbox import late_imports
from apps.agents.sandbox.late_imports import HIDDEN, Late

Importing = Callable[[str, Mapping[str, Late]], ModuleType]
LIBRARY = "def double(number):\n    return 2 * number\n\n\nBASE = 10\n"


@pytest.fixture
def importing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Importing]:
    """Imports a module of the given text beside the library `slow.parts`, with these of its imports late."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow/__init__.py").write_text("")
    (tmp_path / "slow/parts.py").write_text(LIBRARY)

    def imported(text: str, wanted: Mapping[str, Late]) -> ModuleType:
        (tmp_path / "user_of_slow.py").write_text(text)
        late_imports.install(wanted)
        return import_module("user_of_slow")

    yield imported
    for name in ("slow", "slow.parts", "user_of_slow"):
        sys.modules.pop(name, None)


def is_loaded() -> bool:
    return "slow" in sys.modules or "slow.parts" in sys.modules


LATE = {"user_of_slow": {"slow.parts": ("double",)}}


def test_a_function_is_there_at_once_and_its_library_when_it_is_called(importing: Importing) -> None:
    user = importing("from slow.parts import double\n", LATE)
    assert not is_loaded()
    assert user.double(21) == 42
    assert is_loaded()


def test_the_library_is_the_real_one_to_everybody_else(importing: Importing) -> None:
    user = importing("from slow.parts import double\n", LATE)
    library = import_module("slow.parts")
    assert (library.BASE, Path(str(library.__file__)).name) == (10, "parts.py")
    assert user.double(1) == library.double(1)


def test_whatever_else_is_asked_of_the_library_loads_it_at_once(importing: Importing) -> None:
    user = importing("from slow.parts import BASE, double\nTWENTY = double(BASE)\n", LATE)
    assert user.TWENTY == 20
    assert import_module("slow.parts").double(2) == user.double(2)


def test_a_whole_module_is_loaded_with_the_first_use_of_it(importing: Importing) -> None:
    text = """
import slow
from importlib.util import find_spec
from slow import parts
INSTALLED = find_spec("slow.parts") is not None

def base():
    return parts.BASE
"""
    user = importing(text, {"user_of_slow": {"slow.parts": ()}})
    assert user.INSTALLED
    assert "slow.parts" not in sys.modules
    assert user.base() == 10
    assert "slow.parts" in sys.modules


def test_a_hidden_library_is_missing_to_the_module_alone(importing: Importing) -> None:
    text = "try:\n    from slow import parts\nexcept ImportError:\n    parts = None\n"
    user = importing(text, {"user_of_slow": {"slow": HIDDEN}})
    assert user.parts is None
    assert import_module("slow.parts").double(2) == 4


def test_a_library_that_is_loaded_already_is_taken_as_it_is(importing: Importing) -> None:
    library = import_module("slow.parts")
    user = importing("from slow.parts import double\n", LATE)
    assert user.double is library.double


def test_a_module_that_fails_leaves_no_stand_in_behind(importing: Importing) -> None:
    with pytest.raises(ZeroDivisionError):
        importing("from slow.parts import double\n1 / 0\n", LATE)
    assert import_module("slow.parts").double(2) == 4
