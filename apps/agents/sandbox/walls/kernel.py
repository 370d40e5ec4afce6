"""The kernel's calls that Python does not wrap."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from functools import cache

LINUX = sys.platform == "linux"
MACHINE = platform.machine()


@cache
def libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def call(number: int, *arguments: object) -> int:
    """The result of a system call; −1 if it failed, and `ctypes.get_errno()` says why."""
    return int(libc().syscall(ctypes.c_long(number), *arguments))


def must(result: int, what: str) -> int:
    """`result`, unless it is −1. Raises `OSError`, which names `what` failed."""
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def prctl(option: int, *arguments: int) -> int:
    """Arguments are passed as long as the kernel reads them."""
    filled = [*arguments, 0, 0, 0, 0][:4]
    return int(libc().prctl(option, *(ctypes.c_ulong(one) for one in filled)))
