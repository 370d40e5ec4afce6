"""How a process makes sure that it does not outlive the one that started it, even when that one is killed outright."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the one numbered `parent` ends. Linux only; elsewhere this does nothing.

    The kernel watches the *thread* that started this process: it must wait for it. Works whatever native code is doing,
    but reaches this process alone: every one it starts calls this, too.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # It ended before the kernel was told.
        os.kill(os.getpid(), signal.SIGKILL)


def die_at_end_of(fd: int) -> None:
    """Kill this process's whole group when the pipe at `fd` ends, which it does when nobody holds its other end.

    A thread waits for it, so native code that keeps the interpreter's lock delays it. Works on every POSIX system.
    """

    def wait() -> None:
        while os.read(fd, 4096):
            pass
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
