"""A process that has loaded its libraries, and forks a child for each job: it starts in milliseconds, not in seconds.

`python -m apps.agents.fork_server SOCKET_FD MODULE …` imports the modules, runs nothing of them, and answers each
message on its socket (`apps.agents.warm` writes them), after a first word of its own that it is ready:

- `{"fork": FOLDER}` with the job's ends of three pipes: a child goes on in `apps.agents.child` with them, as a fresh
  one would: in a session and folder of its own, in the environment that this process was given. Answer: `{"pid": …}`.
- `{"reap": PID}`: waits for that child, which has ended or been killed; until then its number stays its own. Answer:
  `{"status": …}`, as `os.waitpid` has it.

It ends with its socket, that is, with its worker, and after `IDLE_S` without a child; its children end with it. Every
child is forked from the same clean state: no job ever runs in this process.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import socket
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from apps.agents import child

IDLE_S = 60.0
"""A loaded framework takes some hundred megabytes; this long it is kept for a next job."""
MESSAGE_BYTES = 1 << 16
READY = b"ready"
THREADS_THAT_BEAR_A_FORK = frozenset({"jemalloc_bg_thd"})
"""By the kernel's name: jemalloc ends its thread before a fork and starts it anew in the child (`pthread_atfork`)."""


class Server:
    """Answers until its socket ends. One message after the other, in the only thread there is."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._children: set[int] = set()

    def serve(self) -> None:
        self._connection.settimeout(IDLE_S)
        while True:
            try:
                message, ends, _, _ = socket.recv_fds(self._connection, MESSAGE_BYTES, 3)
            except TimeoutError:
                if self._children:
                    continue
                return
            if not message:
                return
            self._connection.sendall(json.dumps(self._answer(json.loads(message), ends)).encode())

    def _answer(self, request: dict[str, Any], ends: list[int]) -> dict[str, Any]:
        try:
            return self._reap(request["reap"]) if "reap" in request else self._fork(request["fork"], ends)
        except OSError as error:  # No memory or no process is left: the worker raises it, as when it starts one itself.
            return {"errno": error.errno, "strerror": error.strerror}
        finally:
            for end in ends:
                os.close(end)

    def _fork(self, folder: str, ends: list[int]) -> dict[str, Any]:
        own = os.getpid()
        under_way, begun = os.pipe()
        try:
            pid = os.fork()
            if pid == 0:
                self._connection.close()
                os.close(under_way)
                _become_child(folder, ends, begun, own)
        except OSError:
            os.close(under_way)
            raise
        finally:
            os.close(begun)
        self._children.add(pid)
        os.read(under_way, 1)  # Ends as soon as the child has a group of its own, by whose number it can be killed.
        os.close(under_way)
        return {"pid": pid}

    def _reap(self, pid: int) -> dict[str, Any]:
        _, status = os.waitpid(pid, 0)
        self._children.discard(pid)
        return {"status": status}


def _become_child(folder: str, ends: list[int], begun: int, server: int) -> NoReturn:
    """Go on as the child of one job, with standard input, output and the events' pipe at `ends`; never returns."""
    try:
        os.setsid()
        os.close(begun)
        received, printed, events = ends
        for end, wanted in ((received, 0), (printed, 1), (printed, 2)):
            os.dup2(end, wanted)
        os.close(received)
        os.close(printed)
        os.chdir(folder)
        os.environ["TMPDIR"] = folder
        child.main(events, server)
    except SystemExit as leaving:
        os._exit(leaving.code if isinstance(leaving.code, int) else 1)
    except BaseException:  # As the interpreter ends with what nobody has caught.
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(1)


def threads() -> list[str]:
    """The kernel's names of this process's other threads that a fork would lose."""
    own = os.getpid()
    names = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir() if int(task.name) != own]
    return [name for name in names if name not in THREADS_THAT_BEAR_A_FORK]


def main(fd: int, modules: list[str]) -> None:
    """Load what can be loaded and serve. Says on standard error, and ends with 1, why it must not fork."""
    for module in modules:
        with contextlib.suppress(ImportError):  # The job that needs what is missing says so.
            import_module(module)
    if lost := threads():
        sys.exit(f"These threads of libraries would be lost in a fork: {', '.join(lost)}")
    gc.collect()
    gc.freeze()  # Collecting garbage would otherwise copy every page that holds an object of the libraries.
    with socket.socket(fileno=fd) as connection:
        connection.set_inheritable(False)
        connection.sendall(READY)
        Server(connection).serve()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
