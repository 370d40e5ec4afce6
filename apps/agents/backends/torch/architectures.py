"""Builds a module from a description: an architecture of an installed package, or the upload's own file.

A package offers an architecture as an entry point of the group `lathe.architectures`; its value is `module:factory`.
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
    """The architectures of installed packages, by name."""
    return {point.name: point for point in sorted(metadata.entry_points(group=GROUP), key=lambda point: point.name)}


def build_installed(description: Description) -> nn.Module:
    """Build an architecture of an installed package. Raises `ArchitectureUnknown`, `FactoryFailed`."""
    known = known_architectures()
    name = description.architecture or ""
    if name not in known:
        raise ArchitectureUnknown(architecture=name, known=", ".join([*known, f"{IN_TRANSFORMERS}BertModel and so on"]))
    return _called(known[name].load(), description, name, Path())


def build_uploaded(description: Description, folder: Path, code: Sequence[CodeFile]) -> nn.Module:
    """Build a module with the upload's own code: only in the child, and only from the `code` that was checked.

    Raises `DescriptionInvalid` if that is not the file in the description, and `FactoryFailed` with the line at which
    the code failed.
    """
    if description.file is None or description.factory is None or description.file not in {file.name for file in code}:
        raise DescriptionInvalid(reason=f"file is {description.file!r}, which is not code that may run")
    where = f"{description.factory} in {description.file}"
    try:
        module = _imported(folder, description.file)
    except (Exception, SystemExit) as error:
        raise FactoryFailed(factory=description.file, reason=_described(error, folder)) from error
    factory = getattr(module, description.factory, None)
    if not callable(factory):
        offered = ", ".join(name for name, value in vars(module).items() if callable(value) and name[0] != "_")
        raise FactoryFailed(
            factory=where, reason=f"the file does not define this function; it defines {offered or 'none'}"
        )
    return _called(factory, description, where, folder)


def uploaded_code(description: Description, folder: Path, brought: Iterable[str]) -> tuple[CodeFile, ...]:
    """The Python files of an upload with its own code, the named one first. Raises `DescriptionInvalid`.

    `brought` are the archive's files. Other files in `folder` were created here.
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
        reason = f"the archive's Python files have {size_bytes:,} bytes, but only {LARGEST_CODE_BYTES:,} are allowed"
        raise DescriptionInvalid(reason=reason)
    return tuple(
        CodeFile(name=name, text=(folder / name).read_text(encoding="utf-8", errors="replace")) for name in names
    )


def files_in(folder: Path) -> list[str]:
    """The files in an opened folder, without the bytecode that Python has stored there."""
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(file.as_posix() for file in files if _BYTECODE not in file.parts)


def _refuse_compiled(files: Iterable[str]) -> None:
    """Refuse compiled code: Python would prefer it to the source beside it, so a page would not show what runs."""
    compiled = [name for name in files if PurePosixPath(name).suffix in COMPILED]
    if compiled:
        raise DescriptionInvalid(reason=f"the archive contains compiled code ({compiled[0]}); upload only the source")


def _imported(folder: Path, file: str) -> ModuleType:
    """Import `file` as a module of a package that is the folder, under a unique name."""
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
    """Keep bytecode out of the folder: it is packed again, and compiled code in it would look like the upload's."""
    usual, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = usual


def _called(factory: Factory, description: Description, where: str, folder: Path) -> nn.Module:
    try:
        module = factory(**description.arguments)
    except (Exception, SystemExit) as error:
        raise FactoryFailed(factory=where, reason=_described(error, folder)) from error
    if not isinstance(module, nn.Module):
        raise FactoryFailed(factory=where, reason=f"it returns a {type(module).__name__}, not a torch.nn.Module")
    return module


def _described(error: BaseException, folder: Path) -> str:
    """The error, and the line of the upload's code that raised it."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _within(frame.filename, folder)]
    line = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    text = " ".join(str(error).split())[:300].rstrip(". ")
    return f"{type(error).__name__}: {text}{line}" if text else f"{type(error).__name__}{line}"


def _within(filename: str, folder: Path) -> bool:
    return folder != Path() and Path(filename).is_relative_to(folder)
