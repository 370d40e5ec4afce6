"""Waiting for what another thread or process does, on a machine that may be busy with other tests."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.processes import gone

HANGS_S = 60.0
"""Seconds after which something hangs. No measure of speed: a busy machine can pause a process for many seconds."""


def wait_until(
    ready: Callable[[], object], what: str = "it", within_s: float = HANGS_S, standing: Callable[[], str] | None = None
) -> None:
    """Return once `ready()` is true. Fails with `what` did not come to pass, and how things are `standing` then."""
    deadline = time.monotonic() + within_s
    while not ready():
        if time.monotonic() > deadline:
            told = f": {standing()}" if standing else ""
            raise AssertionError(f"{what} did not come to pass within {within_s:.0f} s{told}")
        time.sleep(0.02)


def wait_until_gone(*pids: int) -> None:
    """Return once these processes have ended, reaped or not."""
    for pid in pids:
        wait_until(lambda pid=pid: gone(pid), f"the end of process {pid}")  # type: ignore[misc]
