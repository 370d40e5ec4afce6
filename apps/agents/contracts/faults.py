"""Why a step failed, if the cause was not the work itself.

A step that failed for one of these reasons shows nothing about the technique that it tried. Its candidate does not
count as tried, and the step may succeed if it is run again.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

_BLAMED = "_lathe_fault"
FULL_BYTES = 1 << 20
"""A disk with less than this left is full, which explains any write that failed."""
_DISK = frozenset({errno.ENOSPC, errno.EDQUOT})
_BROKEN = frozenset({errno.EIO, errno.EROFS, errno.ESTALE, errno.ENFILE, errno.EMFILE})
_DISK_WORDS = ("no space left on device", "disk quota exceeded")
"""The system's messages in lower case, as they appear in the errors of libraries that have no error type for them."""


class Fault(StrEnum):
    """Why the failure of a step does not count against the technique that it tried."""

    INFRASTRUCTURE = "infrastructure"
    """The disk, the store, the network, the database or the worker itself failed."""
    MEMORY = "memory"
    """Memory ran out, or the process was killed from outside."""
    CRASH = "crash"
    """A library ended the process with a signal, such as SIGSEGV."""
    ORIGINAL = "original"
    """The original itself fails on the data, so every candidate does."""


def disk_trouble(error: BaseException | None, folder: Path | None) -> str | None:
    """The problem with the disk of `folder` that caused `error`, in a few words, or `None` if there is none."""
    for cause in causes(error):
        number = cause.errno if isinstance(cause, OSError) else None
        if number in _DISK or any(words in str(cause).lower() for words in _DISK_WORDS):
            return "the disk is full"
        if isinstance(cause, OSError) and number in _BROKEN:
            return cause.strerror or str(cause)
    return "the disk is full" if folder is not None and is_full(folder) else None


def is_full(folder: Path) -> bool:
    """Whether the disk of `folder` is full."""
    try:
        return shutil.disk_usage(folder).free < FULL_BYTES
    except OSError:  # The folder is gone, which does not mean that the disk is full.
        return False


def blame(error: Exception, fault: Fault) -> Exception:
    """`error`, marked as due to `fault`."""
    setattr(error, _BLAMED, fault)
    return error


def blamed(error: Exception) -> Fault | None:
    """The fault that `error` was marked with, or `None`."""
    return getattr(error, _BLAMED, None)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, its cause, the cause of that, and so on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
