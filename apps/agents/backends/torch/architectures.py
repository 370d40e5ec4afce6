"""From a description to a module: an architecture of an installed package, or the upload's own file.

A package offers one by an entry point of the group `lathe.architectures`; its value is the `module:factory`.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

from torch import nn

from apps.agents.backends.torch.description import IN_TRANSFORMERS, Description
from apps.agents.contracts.errors.torch_models import ArchitectureUnknown, DescriptionInvalid, FactoryFailed
from apps.agents.contracts.reports.model import CodeFile

GROUP = "lathe.architectures"
LARGEST_CODE_BYTES = 256 * 1024
COMPILED = frozenset({".pyc", ".pyo", ".pyd", ".so", ".dylib", ".dll"})
_BYTECODE = "__pycache__"
Factory = Callable[..., Any]


def known_architectures() -> dict[str, metadata.EntryPoint]:
    """Those that installed packages offer, by name."""
    return {point.name: point for point in sorted(metadata.entry_points(group=GROUP), key=lambda point: point.name)}


def build_installed(description: Description) -> nn.Module:
    """A module of an architecture that an installed package offers. Raises `ArchitectureUnknown`, `FactoryFailed`."""
    known = known_architectures()
    name = description.architecture or ""
    if name not in known:
        raise ArchitectureUnknown(architecture=name, known=", ".join([*known, f"{IN_TRANSFORMERS}BertModel and so on"]))
    return _called(known[name].load(), description, name, Path())


def build_uploaded(description: Description, folder: Path, code: Sequence[CodeFile]) -> nn.Module:
    """A module that the upload's own code builds: only in the child, and only of the `code` that was looked at.

    Raises `DescriptionInvalid` where that is not what the description names, and `FactoryFailed` with the line at which
    the code failed.
    """
    if description.file is None or description.factory is None or description.file not in {file.name for file in code}:
        raise DescriptionInvalid(reason=f"file is {description.file!r}, which is not code that may run")
    where = f"{description.factory} in {description.file}"
    try:
        module = _imported(folder, description.file)
    except (Exception, SystemExit) as error:
        raise FactoryFailed(factory=description.file, reason=_told(error, folder)) from error
    factory = getattr(module, description.factory, None)
    if not callable(factory):
        offered = ", ".join(name for name, value in vars(module).items() if callable(value) and name[0] != "_")
        raise FactoryFailed(factory=where, reason=f"there is no such function; the file defines {offered or 'none'}")
    return _called(factory, description, where, folder)


def uploaded_code(description: Description, folder: Path, brought: Iterable[str]) -> tuple[CodeFile, ...]:
    """The Python files of an upload that brings its own, the named one first. Raises `DescriptionInvalid`.

    `brought` are the archive's files: what lies in `folder` beside them was made here.
    """
    if description.file is None:
        return ()
    if description.file not in (files := sorted(brought)):
        raise DescriptionInvalid(reason=f"file is {description.file!r}, which is not in the archive")
    _refuse_compiled(files)
    others = [name for name in files if name.endswith(".py")]
    names = [description.file, *(name for name in others if name != description.file)]
    size_bytes = sum((folder / name).stat().st_size for name in names)
    if size_bytes > LARGEST_CODE_BYTES:
        reason = f"the archive's Python files have {size_bytes:,} bytes, and {LARGEST_CODE_BYTES:,} are allowed"
        raise DescriptionInvalid(reason=reason)
    return tuple(
        CodeFile(name=name, text=(folder / name).read_text(encoding="utf-8", errors="replace")) for name in names
    )


def files_in(folder: Path) -> list[str]:
    """What lies in an opened folder, but for the bytecode that Python has kept there of the sources."""
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(file.as_posix() for file in files if _BYTECODE not in file.parts)


def _refuse_compiled(files: Iterable[str]) -> None:
    """Python would take it before the source beside it, and what runs would not be what a page shows."""
    compiled = [name for name in files if PurePosixPath(name).suffix in COMPILED]
    if compiled:
        raise DescriptionInvalid(reason=f"the archive brings compiled code ({compiled[0]}); send the source alone")


def _imported(folder: Path, file: str) -> ModuleType:
    """`file` as a module of a package that is the folder, under a name that nothing else has."""
    package = f"_lathe_upload_{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]}"
    if package not in sys.modules:
        root = ModuleType(package)
        root.__path__ = [str(folder)]
        sys.modules[package] = root
    importlib.invalidate_caches()
    with _no_bytecode():
        return importlib.import_module(f"{package}.{file.removesuffix('.py').replace('/', '.')}")


@contextmanager
def _no_bytecode() -> Iterator[None]:
    """The folder stays as the archive was: it is packed again, and compiled code in it would look like the upload's."""
    usual, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = usual


def _called(factory: Factory, description: Description, where: str, folder: Path) -> nn.Module:
    try:
        module = factory(**description.arguments)
    except (Exception, SystemExit) as error:
        raise FactoryFailed(factory=where, reason=_told(error, folder)) from error
    if not isinstance(module, nn.Module):
        raise FactoryFailed(factory=where, reason=f"it returns a {type(module).__name__}, not a torch.nn.Module")
    return module


def _told(error: BaseException, folder: Path) -> str:
    """The error and the line of the upload's code at which it arose."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _within(frame.filename, folder)]
    line = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    text = " ".join(str(error).split())[:300].rstrip(". ")
    return f"{type(error).__name__}: {text}{line}" if text else f"{type(error).__name__}{line}"


def _within(filename: str, folder: Path) -> bool:
    return folder != Path() and Path(filename).is_relative_to(folder)
