"""Metrics that web processes of one machine count together.

Each process writes its counts to files of its own, in one folder, and a scrape of any of them adds all up
(prometheus_client's multiprocess mode). Counts of processes that have ended stay, so sums never go back, until all have
ended: the first process of the next start empties the folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
import tempfile
from pathlib import Path
from typing import IO

import psutil

from lathe.redis import own_folder

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

_lock: IO[str] | None = None
"""Held, shared, as long as this process lives: whoever gets it alone is the first."""


def folder(var_dir: Path) -> Path:
    """On this machine only, and not in a shared `var_dir`: files are named by process ids."""
    digest = hashlib.sha256(os.fsencode(var_dir)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"lathe-{os.getuid()}-{digest}-metrics"


def share(var_dir: Path) -> None:
    """From now on this process counts with the others. Where `prometheus_client` is imported already, it is too late,
    and the process counts for itself.
    """
    global _lock
    if "prometheus_client" in sys.modules:
        return
    shared = folder(var_dir)
    own_folder(shared)
    _lock = (shared / "lock").open("a")
    try:
        fcntl.flock(_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass
    else:
        for file in shared.glob("*.db"):
            file.unlink(missing_ok=True)
    fcntl.flock(_lock, fcntl.LOCK_SH)
    os.environ[VARIABLE] = str(shared)


def shared_folder() -> Path | None:
    """The folder, if this process counts with others."""
    return Path(os.environ[VARIABLE]) if _lock is not None else None


def forget_the_dead(shared: Path) -> None:
    """Removes what processes that were killed had open, such as sockets."""
    for file in shared.glob("gauge_live*.db"):
        pid = file.stem.rpartition("_")[2]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            file.unlink(missing_ok=True)
