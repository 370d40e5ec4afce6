"""What made a step fail, where it was not the work itself.

A step that failed for one of these reasons says nothing about the technique it tried: its candidate does not count as
tried, and doing the step again may well succeed.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

_BLAMED = "_lathe_fault"
FULL_BYTES = 1 << 20
"""With less than this left a disk is full: whatever a library says that it could not write, this is why."""
_DISK = frozenset({errno.ENOSPC, errno.EDQUOT})
_BROKEN = frozenset({errno.EIO, errno.EROFS, errno.ESTALE, errno.ENFILE, errno.EMFILE})
_DISK_WORDS = ("no space left on device", "disk quota exceeded")
"""As libraries pass the system's words on that have no error of their own for it, in lower case."""


class Fault(StrEnum):
    """Why a failed step is not held against what it tried."""

    INFRASTRUCTURE = "infrastructure"
    """The disk, the store, the network, the database or the worker itself failed."""
    MEMORY = "memory"
    """Memory ran out, or the process was killed from outside."""
    CRASH = "crash"
    """A library ended the process with a signal of its own, such as SIGSEGV."""
    ORIGINAL = "original"
    """The original fails on the data as well, whatever is made of it."""


def disk_trouble(error: BaseException | None, folder: Path | None) -> str | None:
    """What is wrong with the disk under `folder` that made `error`, in a few words; `None` where nothing is."""
    for cause in causes(error):
        number = cause.errno if isinstance(cause, OSError) else None
        if number in _DISK or any(words in str(cause).lower() for words in _DISK_WORDS):
            return "the disk is full"
        if isinstance(cause, OSError) and number in _BROKEN:
            return cause.strerror or str(cause)
    return "the disk is full" if folder is not None and is_full(folder) else None


def is_full(folder: Path) -> bool:
    """Whether nothing more can be written under `folder`."""
    try:
        return shutil.disk_usage(folder).free < FULL_BYTES
    except OSError:  # The folder is gone, which is no sign of a full disk.
        return False


def blame(error: Exception, fault: Fault) -> Exception:
    """`error`, from now on known to be due to `fault`."""
    setattr(error, _BLAMED, fault)
    return error


def blamed(error: Exception) -> Fault | None:
    """What `error` is known to be due to."""
    return getattr(error, _BLAMED, None)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what caused it, what caused that, and so on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
