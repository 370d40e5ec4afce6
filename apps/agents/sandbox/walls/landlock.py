"""Landlock: only named paths are open to this process and those that it starts; no TCP; no signals to others.

The kernel's interface: `Documentation/userspace-api/landlock.rst` and `include/uapi/linux/landlock.h` of Linux. The
system calls have the same numbers on all machines.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from apps.agents.contracts.sandbox import DEVICES_ABI, NETWORK_ABI, SIGNALS_ABI, TRUNCATING_ABI
from apps.agents.sandbox.walls.kernel import LINUX, call, must

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = (1 << bit for bit in range(4))
MAKE_CHAR, MAKE_BLOCK = 1 << 6, 1 << 11
TRUNCATE, IOCTL_DEVICE = 1 << 14, 1 << 15
_FIRST_RIGHTS = (1 << 14) - 1
"""All rights on files up to the second version, renames between folders included."""
_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEVICE
"""The rights that a path which is not a folder can have."""
_TCP = 0b11
_SCOPES = 0b11
"""Abstract sockets and signals."""
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION = 1
_PATH_BENEATH = 1

READ = READ_FILE | READ_DIR
RUN = READ | EXECUTE
USE = READ | WRITE_FILE | TRUNCATE | IOCTL_DEVICE
"""Of devices."""
OWN = _FIRST_RIGHTS & ~(EXECUTE | MAKE_CHAR | MAKE_BLOCK) | TRUNCATE
"""All that a folder of one's own is for. What was uploaded cannot be run as a program from there."""


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("rights", ctypes.c_uint64), ("folder", ctypes.c_int32))


@dataclass(frozen=True)
class Rule:
    """`rights` on what is at or beneath `path`."""

    path: Path
    rights: int


def abi() -> int:
    """The version of the interface here; 0 where there is none."""
    return max(0, call(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))) if LINUX else 0


def restrict(rules: Iterable[Rule], version: int) -> None:
    """Leave this thread, and all that it starts from here on, only what `rules` grant. Raises `OSError`.

    A path that does not exist grants nothing. Needs `PR_SET_NO_NEW_PRIVS`.
    """
    if version > abi():
        raise OSError(errno.ENOSYS, f"Landlock has no version {version} here")
    handled = _FIRST_RIGHTS
    handled |= TRUNCATE if version >= TRUNCATING_ABI else 0
    handled |= IOCTL_DEVICE if version >= DEVICES_ABI else 0
    wanted = _Ruleset(handled, _TCP if version >= NETWORK_ABI else 0, _SCOPES if version >= SIGNALS_ABI else 0)
    size = 24 if version >= SIGNALS_ABI else 16 if version >= NETWORK_ABI else 8
    ruleset = must(
        call(_CREATE, ctypes.byref(wanted), ctypes.c_size_t(size), ctypes.c_uint32(0)), "landlock_create_ruleset"
    )
    try:
        for rule in rules:
            _grant(ruleset, rule, handled)
        must(call(_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint32(0)), "landlock_restrict_self")
    finally:
        os.close(ruleset)


def _grant(ruleset: int, rule: Rule, handled: int) -> None:
    try:
        place = os.open(rule.path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        rights = rule.rights & handled
        if not os.path.isdir(rule.path):
            rights &= _OF_FILES
        beneath = _Beneath(rights, place)
        must(
            call(_ADD, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), ctypes.byref(beneath), ctypes.c_uint32(0)),
            f"landlock_add_rule for {rule.path}",
        )
    finally:
        os.close(place)
