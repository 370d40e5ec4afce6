"""Ways out of a child, as code that a member may upload: each is tried, and whatever works is told by name.

Only Python's own library is imported, because hostile uploads carry this file (`tests.doors.test_hostile_uploads`).
What they aim at is a mapping (`tests.agents.aims`): harmless stand-ins, and real files that are only read.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import signal
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

Aims = dict[str, Any]
_SEIZE = 0x4206
_NEW_USER = 0x10000000
_GET_FLAGS, _SET_FLAGS, _NOT_DUMPED = 0x80086601, 0x40086602, 0x40
_SECRET = 447
_TRIED: dict[str, Callable[[Aims], object]] = {}


def attempt(way: Callable[[Aims], object]) -> Callable[[Aims], object]:
    _TRIED[way.__name__] = way
    return way


def names() -> set[str]:
    return set(_TRIED)


def successes(aims: Aims) -> list[str]:
    """The ways out that were open. A way fails by `OSError`, or by returning false."""
    found = []
    for name, way in _TRIED.items():
        try:
            if way(aims):
                found.append(name)
        except OSError:
            continue
    return found


# --- files ------------------------------------------------------------------------------------------------------------


@attempt
def reads_the_secret_key(aims: Aims) -> object:
    return Path(aims["secret"]).read_bytes()


@attempt
def reads_the_database(aims: Aims) -> object:
    return Path(aims["database"]).read_bytes()


@attempt
def reads_another_teams_blob(aims: Aims) -> object:
    return Path(aims["blob"]).read_bytes()


@attempt
def lists_the_var_folder(aims: Aims) -> object:
    return os.listdir(aims["var"])


@attempt
def writes_outside_scratch(aims: Aims) -> object:
    return Path(aims["outside"], "written").write_text("x")


@attempt
def writes_to_the_home_of_the_worker(aims: Aims) -> object:
    note = Path(aims["home"], ".lathe-escape")
    note.write_text("x")
    note.unlink()
    return True


@attempt
def changes_a_file(aims: Aims) -> object:
    with open(aims["victim"], "ab") as file:
        return file.write(b"x")


@attempt
def empties_a_file(aims: Aims) -> object:
    os.truncate(aims["victim"], 0)
    return True


@attempt
def changes_a_mode(aims: Aims) -> object:
    before = os.stat(aims["victim"]).st_mode
    os.chmod(aims["victim"], 0o777 if before & 0o777 != 0o777 else 0o700)
    return os.stat(aims["victim"]).st_mode != before


@attempt
def changes_a_time(aims: Aims) -> object:
    """What is old may be swept, and what has another time is read again."""
    os.utime(aims["victim"], (1, 1))
    return os.stat(aims["victim"]).st_mtime == 1


@attempt
def gives_a_file_an_attribute(aims: Aims) -> object:
    os.setxattr(aims["victim"], "user.escape", b"x")
    return True


@attempt
def takes_an_attribute_from_a_file(aims: Aims) -> object:
    os.removexattr(aims["victim"], "user.kept")
    return True


@attempt
def changes_the_flags_of_a_file(aims: Aims) -> object:
    """A file system keeps them beside the mode, and is content with a file that is open for reading."""
    with open(aims["victim"], "rb") as file:
        before = struct.unpack("i", fcntl.ioctl(file, _GET_FLAGS, bytes(4)))[0]
        fcntl.ioctl(file, _SET_FLAGS, struct.pack("i", before ^ _NOT_DUMPED))
        return True


@attempt
def moves_a_file_in(aims: Aims) -> object:
    os.link(aims["victim"], "stolen")
    return Path("stolen").exists()


@attempt
def opens_a_file_by_a_link(aims: Aims) -> object:
    if not os.path.islink("link"):
        os.symlink(aims["secret"], "link")
    return Path("link").read_bytes()


@attempt
def removes_a_file(aims: Aims) -> object:
    os.unlink(aims["doomed"])
    return True


@attempt
def writes_a_file_without_end(aims: Aims) -> object:
    with open("huge", "wb") as file:
        file.truncate(aims["file_bytes"] + 1)
    os.unlink("huge")
    return True


# --- the network ------------------------------------------------------------------------------------------------------


@attempt
def connects_by_tcp(aims: Aims) -> object:
    with socket.create_connection(("127.0.0.1", aims["tcp"]), 2):
        return True


@attempt
def sends_a_datagram(aims: Aims) -> object:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        return one.sendto(b"x", ("127.0.0.1", aims["udp"]))


@attempt
def listens(aims: Aims) -> object:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        return True


@attempt
def connects_to_a_socket_in_a_folder(aims: Aims) -> object:
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(aims["socket"])
        return True


@attempt
def sends_to_a_socket_in_a_folder(aims: Aims) -> object:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        return one.sendto(b"x", aims["mailbox"])


@attempt
def connects_to_an_abstract_socket(aims: Aims) -> object:
    with socket.socket(socket.AF_UNIX) as one:
        one.connect("\0" + aims["abstract"])
        return True


# --- other processes --------------------------------------------------------------------------------------------------


@attempt
def reads_the_workers_environment(aims: Aims) -> object:
    return Path(f"/proc/{aims['worker']}/environ").read_bytes()


@attempt
def reads_the_workers_memory(aims: Aims) -> object:
    with open(f"/proc/{aims['worker']}/mem", "rb"):
        return True


@attempt
def opens_the_workers_files(aims: Aims) -> object:
    return os.readlink(f"/proc/{aims['worker']}/fd/0")


@attempt
def traces_a_process(aims: Aims) -> object:
    return ctypes.CDLL(None).ptrace(_SEIZE, ctypes.c_long(aims["bystander"]), None, None) == 0


@attempt
def limits_a_process(aims: Aims) -> object:
    resource.prlimit(aims["bystander"], resource.RLIMIT_CORE, (0, 0))
    return True


@attempt
def signals_the_worker(aims: Aims) -> object:
    os.kill(aims["worker"], 0)
    return True


@attempt
def ends_a_process(aims: Aims) -> object:
    os.kill(aims["bystander"], signal.SIGTERM)
    return True


@attempt
def leaves_its_group(aims: Aims) -> object:
    pid = os.fork()
    if not pid:
        os.setsid()
        os._exit(int(os.getpgid(0) == os.getpid()))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


# --- privileges -------------------------------------------------------------------------------------------------------


@attempt
def becomes_root_of_a_namespace(aims: Aims) -> object:
    pid = os.fork()
    if not pid:
        os._exit(int(ctypes.CDLL(None).unshare(_NEW_USER) == 0))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@attempt
def may_gain_privileges(aims: Aims) -> object:
    return "NoNewPrivs:\t0" in Path("/proc/self/status").read_text()


@attempt
def makes_a_ring_of_calls(aims: Aims) -> object:
    """io_uring, which carries out calls that no filter sees."""
    return ctypes.CDLL(None).syscall(425, 1, ctypes.create_string_buffer(struct.calcsize("30I"))) >= 0


@attempt
def takes_memory_that_no_limit_counts(aims: Aims) -> object:
    """Secret memory, which is neither anonymous nor shared for the kernel's own counts."""
    file = ctypes.CDLL(None).syscall(_SECRET, 0)
    if file < 0:
        return False
    os.close(file)
    return True
