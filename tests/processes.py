"""Recognizing processes of Lathe from outside."""

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
