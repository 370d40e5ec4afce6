"""What a process gives up for good: privileges, core dumps, files and processes without number."""

from __future__ import annotations

import ctypes
import resource

from apps.agents.sandbox.walls.kernel import LINUX, libc, must, prctl

MOST_TASKS = 16_384
"""Processes and threads of the worker's user, all together. The kernel does not count those of root."""
_SET_DUMPABLE, _SET_NO_NEW_PRIVILEGES = 4, 38
_SYS_NICE = 1 << 23
_CAPABILITIES_VERSION = 0x2008_0522
_RESTING_NICE = 30
"""Of the limit `RLIMIT_NICE`: nice −10, which measurements ask for."""
_REAL_TIME_PRIORITY = 1


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def give_up_privileges(largest_file_bytes: int | None) -> None:
    """Keep none but the right to measure with priority, if there is one. Raises `OSError`."""
    must(prctl(_SET_NO_NEW_PRIVILEGES, 1), "PR_SET_NO_NEW_PRIVS")
    for limit, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, largest_file_bytes),
        (resource.RLIMIT_NPROC, MOST_TASKS),
    ):
        if most is not None:
            _lower(limit, most)
    _keep_capabilities(_priority_by_limits())


def hide() -> None:
    """Keep this process's memory and environment from others of its user, where Landlock does not."""
    if LINUX:
        prctl(_SET_DUMPABLE, 0)


def _lower(limit: int, most: int) -> None:
    hard = resource.getrlimit(limit)[1]
    least = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(limit, (least, least))


def _priority_by_limits() -> int:
    """Turn the capability to raise priorities into limits, which hold for this process and not for others.

    Returns the capabilities that are still needed for it.
    """
    if not _capabilities()[0].effective & _SYS_NICE:
        return 0
    try:
        for limit, most in ((resource.RLIMIT_RTPRIO, _REAL_TIME_PRIORITY), (resource.RLIMIT_NICE, _RESTING_NICE)):
            resource.setrlimit(limit, (most, most))
    except (ValueError, OSError):  # The limits may not be raised here.
        return _SYS_NICE
    return 0


def _capabilities() -> ctypes.Array[_Sets]:
    sets = (_Sets * 2)()
    header = _Header(_CAPABILITIES_VERSION, 0)
    must(libc().capget(ctypes.byref(header), ctypes.byref(sets)), "capget")
    return sets


def _keep_capabilities(kept: int) -> None:
    sets = (_Sets * 2)(_Sets(kept, kept, kept))
    header = _Header(_CAPABILITIES_VERSION, 0)
    must(libc().capset(ctypes.byref(header), ctypes.byref(sets)), "capset")
