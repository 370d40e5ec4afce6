"""Ensures that a process ends with the process that started it, even if that one is killed."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when the process `parent` ends. Linux only; does nothing elsewhere.

    The kernel watches the *thread* that started this process, so that thread must wait for it. Works whatever native
    code is running, but only for this process: every process it starts must call this, too.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # It ended before the call above.
        os.kill(os.getpid(), signal.SIGKILL)


def die_at_end_of(fd: int) -> None:
    """Kill this process's whole group when the pipe at `fd` ends, because nobody holds its other end any more.

    A thread waits for it, so native code that keeps the interpreter's lock delays it. Works on every POSIX system.
    """

    def wait() -> None:
        while os.read(fd, 4096):
            pass
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
