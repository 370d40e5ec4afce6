"""Finding the means to close a child in, and using them."""

from __future__ import annotations

import os
import sys
from functools import cache

from apps.agents.contracts.job import Job
from apps.agents.contracts.sandbox import Sandbox, SandboxRule
from apps.agents.sandbox.walls import landlock, namespaces, seccomp
from apps.agents.sandbox.walls.kernel import LINUX
from apps.agents.sandbox.walls.privileges import give_up_privileges
from apps.agents.sandbox.walls.reach import linked_packages, rules


@cache
def detect() -> Sandbox:
    """The means of this machine. The first call may start a process."""
    filtered = seccomp.supported()
    return Sandbox(landlock_abi=landlock.abi(), call_filter=filtered, namespace=not filtered and namespaces.allowed())


def means(rule: SandboxRule) -> Sandbox:
    """What closes children in here under `rule`."""
    return Sandbox() if rule is SandboxRule.OFF else detect()


def close_in(job: Job, sandbox: Sandbox) -> None:
    """Close this process in, with all of `sandbox`. Raises `OSError` if the kernel refuses any of it.

    Afterwards it reaches what the job is about, and so does every process that it starts. Threads that run already
    would stay outside, so there must be none.
    """
    if not LINUX:
        return
    granted = tuple(rules(job))
    if sandbox.files:
        links = str(linked_packages(job.scratch))
        sys.path.insert(0, links)
        os.environ["PYTHONPATH"] = os.pathsep.join((links, os.environ.get("PYTHONPATH", "")))
    if sandbox.namespace:
        namespaces.own_network()
    give_up_privileges(job.largest_file_bytes)
    if sandbox.files:
        landlock.restrict(granted, sandbox.landlock_abi)
    if sandbox.call_filter:
        seccomp.refuse_calls()
