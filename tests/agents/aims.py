"""What the ways out of a child (`tests.agents.escapes`) aim at: real listeners, a real process, files to spoil."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tests.agents.escapes import Aims

FILE_BYTES = 2**20


@contextmanager
def aims_in(folder: Path) -> Iterator[Aims]:
    """They stand in `folder`, which is outside of every scratch folder, and end with the context."""
    for name in ("secret", "database", "blob", "victim", "doomed"):
        (folder / name).write_text(f"the {name}")
    with suppress(OSError):  # Not every file system keeps attributes.
        os.setxattr(folder / "victim", "user.kept", b"x")
    with ExitStack() as stack:
        tcp, udp = stack.enter_context(socket.socket()), stack.enter_context(_datagrams(socket.AF_INET))
        for one in (tcp, udp):
            one.bind(("127.0.0.1", 0))
        # Short enough for the address of a socket, wherever the test runs.
        short = stack.enter_context(tempfile.TemporaryDirectory(prefix="aims-", dir="/tmp"))
        stream, mailbox, hidden = (
            stack.enter_context(one)
            for one in (socket.socket(socket.AF_UNIX), _datagrams(socket.AF_UNIX), socket.socket(socket.AF_UNIX))
        )
        stream.bind(f"{short}/stream")
        mailbox.bind(f"{short}/mailbox")
        abstract = f"lathe-test-{os.getpid()}"
        hidden.bind("\0" + abstract)
        for one in (tcp, stream, hidden):
            one.listen(100)
        bystander = stack.enter_context(_bystander())
        yield {
            **{name: str(folder / name) for name in ("secret", "database", "blob", "victim", "doomed")},
            "var": str(folder),
            "outside": str(folder),
            "home": pwd.getpwuid(os.getuid()).pw_dir,
            "tcp": tcp.getsockname()[1],
            "udp": udp.getsockname()[1],
            "socket": f"{short}/stream",
            "mailbox": f"{short}/mailbox",
            "abstract": abstract,
            "worker": os.getpid(),
            "bystander": bystander.pid,
            "file_bytes": FILE_BYTES,
        }


def _datagrams(family: socket.AddressFamily) -> socket.socket:
    return socket.socket(family, socket.SOCK_DGRAM)


@contextmanager
def _bystander() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()
