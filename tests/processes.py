"""Recognizing processes from outside: what works for Lathe, and what has ended."""

from __future__ import annotations

import psutil


def works_on_a_step(process: psutil.Process) -> bool:
    """Whether it carries out a job: a new interpreter that does, or one forked off a process with libraries loaded.

    Raises `psutil.NoSuchProcess` if it has ended.
    """
    if "apps.agents.sandbox.child" in process.cmdline():
        return True
    parent = process.parent()
    return parent is not None and "apps.agents.sandbox.preloaded" in parent.cmdline()


def gone(pid: int) -> bool:
    """Whether the process has ended. A zombie has: whoever inherited an orphan may reap it late, or never."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
