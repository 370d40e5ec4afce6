"""Seccomp: system calls that neither a model nor its libraries need fail, with no effect.

Refused are connections (even to sockets in the file system, such as a database's), other processes' memory, kernel
keys, namespaces, mounts, shared memory by number, memory that no limit counts, changing attributes and flags of files,
and calls with many bugs in their history. Some do nothing and report success, because harmless code calls them: leaving
the process group (so that ending the group ends everything), and changing modes, owners and times of files. None of
what is changed about a file here does Landlock guard.

The kernel's interface: `Documentation/userspace-api/seccomp_filter.rst` of Linux.
"""

from __future__ import annotations

import ctypes
import errno
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from apps.agents.sandbox.walls.kernel import LINUX, MACHINE, call, must

_ALLOW: Final = 0x7FFF_0000
_ERRNO: Final = 0x0005_0000
_KILL: Final = 0x8000_0000
_SET_FILTER, _ACTION_AVAILABLE = 1, 2
_NOT_SLOWER = 1 << 2
"""`SECCOMP_FILTER_FLAG_SPEC_ALLOW`: before Linux 5.16 a filter would otherwise slow down the code of the process."""
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_NUMBER_AT, _MACHINE_AT, _ARGUMENTS_AT = 0, 4, 16
_OTHER_INTERFACE = 0x4000_0000
"""Numbers from here on are those of x32, a second interface to the same calls."""
_UNIX, _STREAM, _SEQPACKET = 1, 1, 5
_TYPE_BITS = 0xF
_NEW_NAMESPACES = 0x7E02_0000

REFUSED = (
    *("connect", "ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd", "process_madvise"),
    *("bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register"),
    *("add_key", "request_key", "keyctl", "unshare", "setns", "mount", "umount2", "pivot_root", "chroot"),
    *("open_tree", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr"),
    *("open_tree_attr", "shmget", "semget", "msgget", "mq_open", "memfd_secret", "name_to_handle_at"),
    *("open_by_handle_at", "truncate", "setxattr", "lsetxattr", "fsetxattr", "setxattrat", "removexattr"),
    *("lremovexattr", "fremovexattr", "removexattrat", "file_setattr"),
)
WITHOUT_EFFECT = (
    *("setsid", "setpgid"),
    *("chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat"),
    *("utime", "utimes", "futimesat", "utimensat"),
)
REFUSED_REQUESTS = {
    "FS_IOC_SETFLAGS": 0x4008_6602,
    "FS_IOC_FSSETXATTR": 0x401C_5820,
    "FS_IOC_SETVERSION": 0x4008_7602,
    "FS_IOC_ENABLE_VERITY": 0x4080_6685,
}
"""Of `ioctl`: they change what a file system keeps of a file, and are content with one that is open for reading."""
# fmt: off
_COMMON = {
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "clone3": 435, "pidfd_getfd": 438,
    "process_madvise": 440, "mount_setattr": 442, "memfd_secret": 447, "fchmodat2": 452, "setxattrat": 463,
    "removexattrat": 466, "open_tree_attr": 467, "file_setattr": 469,
}


@dataclass(frozen=True)
class Machine:
    """The numbers of the calls on one kind of processor, which `audit` stands for."""

    audit: int
    seccomp: int
    numbers: dict[str, int]


MACHINES = {
    "x86_64": Machine(
        audit=0xC000_003E,
        seccomp=317,
        numbers={
            **_COMMON,
            "ioctl": 16, "shmget": 29, "socket": 41, "connect": 42, "socketpair": 53, "clone": 56, "semget": 64,
            "msgget": 68, "truncate": 76, "chmod": 90, "fchmod": 91, "chown": 92, "fchown": 93, "lchown": 94,
            "ptrace": 101, "setpgid": 109, "setsid": 112, "utime": 132, "pivot_root": 155, "chroot": 161, "mount": 165,
            "umount2": 166, "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190, "removexattr": 197,
            "lremovexattr": 198, "fremovexattr": 199, "utimes": 235, "mq_open": 240, "add_key": 248,
            "request_key": 249, "keyctl": 250, "fchownat": 260, "futimesat": 261, "fchmodat": 268, "unshare": 272,
            "utimensat": 280, "perf_event_open": 298, "prlimit64": 302, "name_to_handle_at": 303,
            "open_by_handle_at": 304, "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312,
            "bpf": 321, "userfaultfd": 323,
        },
    ),
    "aarch64": Machine(
        audit=0xC000_00B7,
        seccomp=277,
        numbers={
            **_COMMON,
            "setxattr": 5, "lsetxattr": 6, "fsetxattr": 7, "removexattr": 14, "lremovexattr": 15, "fremovexattr": 16,
            "ioctl": 29, "umount2": 39, "mount": 40, "pivot_root": 41, "truncate": 45, "chroot": 51, "fchmod": 52,
            "fchmodat": 53, "fchownat": 54, "fchown": 55, "utimensat": 88, "unshare": 97, "ptrace": 117,
            "setpgid": 154, "setsid": 157, "mq_open": 180, "msgget": 186, "semget": 190, "shmget": 194, "socket": 198,
            "socketpair": 199, "connect": 203, "add_key": 217, "request_key": 218, "keyctl": 219, "clone": 220,
            "perf_event_open": 241, "prlimit64": 261, "name_to_handle_at": 264, "open_by_handle_at": 265, "setns": 268,
            "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272, "bpf": 280, "userfaultfd": 282,
        },
    ),
}
# fmt: on


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))


def supported() -> bool:
    """Whether the kernel filters calls here, and this module knows their numbers."""
    machine = MACHINES.get(MACHINE)
    if not LINUX or machine is None:
        return False
    return call(machine.seccomp, _ACTION_AVAILABLE, 0, ctypes.byref(ctypes.c_uint32(_ERRNO))) == 0


def refuse_calls() -> None:
    """Refuse them to this thread, and to all that it starts from here on. Needs `PR_SET_NO_NEW_PRIVS`.

    Raises `OSError`.
    """
    machine = MACHINES[MACHINE]
    code = program(machine)
    buffer = ctypes.create_string_buffer(code, len(code))
    wanted = _Program(len(code) // 8, ctypes.addressof(buffer))
    must(call(machine.seccomp, _SET_FILTER, _NOT_SLOWER, ctypes.byref(wanted)), "seccomp")


def program(machine: Machine) -> bytes:
    """The filter in the kernel's own code (classic BPF)."""
    numbers = machine.numbers
    steps = [
        _step(_LOAD, _MACHINE_AT),
        _step(_EQUAL, machine.audit, 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER_AT),
        _step(_AT_LEAST, _OTHER_INTERFACE, 0, 1),
        _step(_RETURN, _KILL),
    ]
    for name in REFUSED:
        steps += _when(numbers[name], [_step(_RETURN, _ERRNO | errno.EPERM)])
    for name in WITHOUT_EFFECT:
        if name in numbers:
            steps += _when(numbers[name], [_step(_RETURN, _ERRNO)])
    # Its flags are in memory, which a filter cannot read. C libraries then use `clone`.
    steps += _when(numbers["clone3"], [_step(_RETURN, _ERRNO | errno.ENOSYS)])
    steps += _when(numbers["clone"], [_argument(0), _step(_ANY_BIT, _NEW_NAMESPACES, 0, 1), _refusal(), _passed()])
    # Limits of other processes: those of the same user could be ended by them.
    steps += _when(numbers["prlimit64"], [_argument(0), _step(_EQUAL, 0, 1, 0), _refusal(), _passed()])
    steps += _when(numbers["ioctl"], _no_changed_files())
    for name in ("socket", "socketpair"):
        steps += _when(numbers[name], _only_local_streams())
    return b"".join([*steps, _passed()])


def _only_local_streams() -> list[bytes]:
    """Pipes between a library's own processes. Datagrams could be sent without a connection."""
    return [
        _argument(0),
        _step(_EQUAL, _UNIX, 0, 4),
        _argument(1),
        _step(_AND, _TYPE_BITS),
        _step(_EQUAL, _STREAM, 2, 0),
        _step(_EQUAL, _SEQPACKET, 1, 0),
        _refusal(),
        _passed(),
    ]


def _no_changed_files() -> list[bytes]:
    """Devices take other requests. The kernel looks at the lower half of a request only, as this does."""
    requests = list(REFUSED_REQUESTS.values())
    compared = [_step(_EQUAL, request, len(requests) - at, 0) for at, request in enumerate(requests)]
    return [_argument(1), *compared, _passed(), _refusal()]


def _when(number: int, then: Iterable[bytes]) -> list[bytes]:
    steps = list(then)
    return [_step(_EQUAL, number, 0, len(steps)), *steps]


def _argument(index: int) -> bytes:
    """Load the lower half of an argument: on both machines the first one."""
    return _step(_LOAD, _ARGUMENTS_AT + 8 * index)


def _refusal() -> bytes:
    return _step(_RETURN, _ERRNO | errno.EPERM)


def _passed() -> bytes:
    return _step(_RETURN, _ALLOW)


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
