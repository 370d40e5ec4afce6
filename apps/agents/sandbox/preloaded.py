"""A process that has loaded a framework, and forks children that have it too.

`python -m apps.agents.sandbox.preloaded SOCKET_FD MODULE…` imports the modules, and answers on the socket: `READY`, or
the reason why it cannot fork. From then on each packet is a request for a child: the folder it works in and, as file
descriptors, its standard input, its output, its pipe of events, and a socket for its status. The child's
id is sent on that socket, and its exit code when it has ended. It is reaped only when the other end is closed, so
its id cannot belong to another process before.

No model and no data set is ever opened in this process. It has a single thread, because a fork has only the thread that
forks. It ends with the process that started it, or after some minutes without a request.
"""

from __future__ import annotations

import contextlib
import gc
import os
import selectors
import signal
import socket
import struct
import sys
import tempfile
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from apps.agents.sandbox import child
from apps.agents.sandbox.walls import reach

READY = b"ready"
LEAVE = b"leave"
"""Instead of a folder: start no child any more, and end after the last one."""
IDLE_S = 300.0
"""Seconds without a request after which this process ends."""
NUMBER = struct.Struct("i")
"""A child's id, or its exit code."""
LONGEST_PACKET = 1 << 16
_DESCRIPTORS = 4
_FAILED = 70
"""The exit code of a child that failed before it could read its job (EX_SOFTWARE)."""
_BLAS_COPIES = 2
"""NumPy's and SciPy's: each starts threads when it is imported, and is prepared for a fork."""


def main(control: socket.socket, modules: Sequence[str]) -> None:
    """Load `modules`, and fork children for as long as somebody may ask for them."""
    reason = _load(modules)
    control.send(reason.encode()[:LONGEST_PACKET] or READY)
    if not reason:
        gc.collect()
        gc.freeze()  # So garbage collection in children does not copy the pages of loaded modules.
        Server(control).serve()


def _load(modules: Sequence[str]) -> str:
    """Import `modules`. Returns why this process cannot fork with them; empty if it can."""
    try:
        os.close(os.pidfd_open(os.getpid()))
        for name in modules:
            import_module(name)
        reach.everywhere()  # Found once for all children.
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    threads = len(os.listdir("/proc/self/task"))
    if threads > 1 + _BLAS_COPIES * (int(os.environ.get("OPENBLAS_NUM_THREADS", "1")) - 1):
        return f"{threads} threads run in it"
    return ""


class Server:
    """Forks children, says how they ended, and reaps them."""

    def __init__(self, control: socket.socket) -> None:
        self._control, self._leaving = control, False
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ, self._serve_request)

    def serve(self) -> None:
        while not (self._leaving and self._childless):
            ready = self._selector.select(IDLE_S if self._childless else None)
            if not ready:
                return
            for key, _ in ready:
                if key.fd in self._selector.get_map():  # The one before may have taken it away.
                    key.data()

    @property
    def _childless(self) -> bool:
        return len(self._selector.get_map()) == 1

    def _serve_request(self) -> None:
        message, descriptors, _, _ = socket.recv_fds(self._control, LONGEST_PACKET, _DESCRIPTORS)
        if not descriptors:
            if message:
                self._leaving = True
                return
            os._exit(0)  # The worker has ended. The kernel ends the children with this process.
        parent, pid = os.getpid(), os.fork()
        if not pid:
            _become_child(message.decode(), descriptors, parent, self._selector)
        with contextlib.suppress(OSError):  # The child does so too: its group can be killed once its id is known.
            os.setpgid(pid, pid)
        *pipes, status = descriptors
        for descriptor in pipes:
            os.close(descriptor)
        Watched(pid, socket.socket(fileno=status), self._selector)


class Watched:
    """A child, and the socket of the worker that waits for its end."""

    def __init__(self, pid: int, status: socket.socket, selector: selectors.BaseSelector) -> None:
        self._pid, self._status, self._selector = pid, status, selector
        self._ended = os.pidfd_open(pid)
        self._send(pid)
        selector.register(self._ended, selectors.EVENT_READ, self._report)
        selector.register(status, selectors.EVENT_READ, self._reap)

    def _report(self) -> None:
        """The child has ended. It stays a zombie until the worker has seen that."""
        self._selector.unregister(self._ended)
        found = os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT)
        assert found is not None
        self._send(found.si_status if found.si_code == os.CLD_EXITED else -found.si_status)

    def _reap(self) -> None:
        """The worker does not wait for the child any more."""
        self._selector.unregister(self._status)
        if self._ended in self._selector.get_map():
            self._selector.unregister(self._ended)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._ended)
        self._status.close()

    def _send(self, number: int) -> None:
        with contextlib.suppress(OSError):  # The other end is closed: `_reap` comes next.
            self._status.send(NUMBER.pack(number), socket.MSG_NOSIGNAL)


def _become_child(folder: str, descriptors: list[int], parent: int, selector: selectors.BaseSelector) -> NoReturn:
    """Take the pipes and the folder, lead a process group, and run the job."""
    try:
        os.setpgid(0, 0)
        stdin, output, events, status = descriptors
        for source, target in ((stdin, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        for inherited in (stdin, output, status, *(key.fd for key in selector.get_map().values())):
            os.close(inherited)
        selector.close()
        os.chdir(folder)
        os.environ["TMPDIR"] = os.environ["HOME"] = folder
        tempfile.tempdir = None
        child.main(events, parent)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(_FAILED)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
