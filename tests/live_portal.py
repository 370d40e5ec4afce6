"""A real portal of a test's own: Redis, workers and web server in a folder that goes away with it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BESIDE_OTHERS = {"LATHE_QUIET_WAIT_S": "0", "LATHE_TIMING_S": "6"}
"""Other tests run at the same time: waiting for quiet is in vain, and speed-ups this large show soon."""
START_S = 180
STOP_S = 120
"""Its processes stop one after the other, each within `GRACE_S` and a moment."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment_in(var: Path, **more: str) -> dict[str, str]:
    """What a command of the portal in the folder `var` is told, and nothing that the tests are told."""
    bare = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LATHE_", "DJANGO_", "DATABASE_", "REDIS_", "STORAGE_", "EMAIL_"))
    }
    return {**bare, **BESIDE_OTHERS, **more, "LATHE_VAR_DIR": str(var), "PYTHONUNBUFFERED": "1"}


@contextmanager
def running_portal(*options: str, **environment: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """`manage.py run` with these options: the process and its log, in its folder. Stopped by Ctrl-C."""
    with tempfile.TemporaryDirectory(prefix="lathe-portal-") as var:
        log = Path(var) / "run.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "run", *options, "--port", str(free_port())],
                cwd=ROOT,
                env=environment_in(Path(var), **environment),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                yield process, log
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(STOP_S)
