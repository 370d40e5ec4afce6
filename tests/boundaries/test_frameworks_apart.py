"""TensorFlow and PyTorch never share a child process: what a session on either may load does not bring the other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from apps.agents.contracts.formats import FORMATS, Format, Framework
from apps.agents.techniques.catalogue import Family, catalogue
from apps.agents.techniques.compatibility import why_no_teacher

LOAD = """
import importlib, pkgutil, sys
from apps.agents import handlers
for module in pkgutil.iter_modules(handlers.__path__):
    importlib.import_module(f"apps.agents.handlers.{module.name}")
for path in sys.argv[1:]:
    module, _, name = path.partition(":")
    getattr(importlib.import_module(module), name)
loaded = {name.partition(".")[0] for name in sys.modules}
print(*sorted(loaded & {"torch", "tensorflow"}))
"""


def reached(start: Format) -> set[Format]:
    """The formats that a session on a model of the format `start` may have to do with."""
    exports = [spec for spec in catalogue().values() if spec.family is Family.EXPORT]
    return {start} | {Format(str(spec.output_format)) for spec in exports if start in spec.formats}


def code_for(start: Format) -> list[str]:
    """Dotted paths of all that opens, analyses or changes models in a session on a model of the format `start`."""
    formats = reached(start)
    opening = [path for format in formats for path in (FORMATS[format].engine, FORMATS[format].analysis_engine)]  # noqa: A001
    opening += [FORMATS[format].inspector for format in formats]  # noqa: A001
    usable = [spec for spec in catalogue().values() if why_no_teacher(spec, start) is None]
    changing = [spec.implementation for spec in usable if formats & set(spec.formats)]
    return sorted({*opening, *changing})


OWN: dict[str, tuple[Framework, ...]] = {
    "torch": (Framework.TORCH, Framework.ONNX),
    "tensorflow": (Framework.TENSORFLOW, Framework.LITERT),
}
"""What sessions on models of these frameworks load of the two: ONNX graphs are trained in PyTorch, and a TensorFlow
Lite model becomes ONNX by tf2onnx, which brings TensorFlow."""


def test_each_framework_has_its_case() -> None:
    assert sorted(framework for frameworks in OWN.values() for framework in frameworks) == sorted(Framework)


@pytest.mark.slow
@pytest.mark.parametrize("own", OWN)
def test_sessions_load_one_of_them_at_most(own: str) -> None:
    """All that they may load comes into one process: what the whole does not bring, no part of it brings."""
    starts = [start for start in Format if FORMATS[start].framework in OWN[own]]
    paths = sorted({path for start in starts for path in code_for(start)})
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *paths],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.split() == own.split(), f"{paths} load {done.stdout}"
