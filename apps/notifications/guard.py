"""Connections to addresses that members chose: checked at the moment of the connection, for whatever code makes it.

`checked_socket` resolves a name, checks each address, and connects to a checked one itself, so a name that resolves
differently a moment later (DNS rebinding) gains nothing. `guarded` does the same for a library that makes its own
connections: Python's audit events (PEP 578) show the address of each, after its name was resolved.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from django.conf import settings

from apps.notifications import failures
from apps.notifications.addresses import Network, is_listed, literal, may_reach

if TYPE_CHECKING:
    from requests import Response


class NotPublic(OSError):
    """A connection was refused, because its address is inside and the operator has not listed it."""

    def __init__(self) -> None:
        super().__init__(failures.NOT_PUBLIC)


class NotEncrypted(OSError):
    """Plain HTTP to an address that the operator has not listed."""

    def __init__(self) -> None:
        super().__init__(failures.NOT_ENCRYPTED)


def listed() -> tuple[Network, ...]:
    """The networks that the operator lets members' channels reach although they are not public."""
    networks: tuple[Network, ...] = settings.LATHE.webhook_networks
    return networks


def checked_socket(host: str, port: int, *, tls: bool, deadline: float) -> socket.socket:
    """A connection to `host`, to one of the addresses that it resolves to and that may be reached.

    `deadline` is a time of `time.monotonic`. Raises `NotPublic`, `NotEncrypted`, or another `OSError`.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    allowed = [one for one in found if may_reach(str(one[4][0]), listed())]
    if not allowed:
        raise NotPublic
    if not tls:
        allowed = [one for one in allowed if _is_listed(str(one[4][0]))]
    if not allowed:
        raise NotEncrypted
    trouble: OSError = TimeoutError("The connection took too long.")
    for family, kind, protocol, _, address in allowed:
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(max(0.1, deadline - time.monotonic()))
            connection.connect(address)
        except OSError as error:
            connection.close()
            trouble = error
        else:
            return connection
    raise trouble


def _is_listed(address: str) -> bool:
    ip = literal(address.partition("%")[0])
    return ip is not None and is_listed(ip, listed())


# --- other people's connections --------------------------------------------------------------------------------------

MOST_S = 30.0
"""How long a guarded block may be connected, however slowly the other side drips."""
MOST_BYTES = 1_000_000
"""The longest answer that a guarded block reads, unpacked."""
_here = threading.local()
_PROGRAMS = ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn")


class TooLong(OSError):
    """An answer was longer than `MOST_BYTES`."""


class _Block:
    """What happens inside one guarded block."""

    def __init__(self) -> None:
        self.networks = listed()
        self.trouble: OSError | None = None
        """What the block ends with."""
        self._timer = threading.Timer(MOST_S, self._cut)
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._connections: list[socket.socket] = []

    def connects(self, connection: socket.socket) -> None:
        """Notes a connection. The time runs from the first one on."""
        # A second handle, because TLS takes the first one over.
        handle = socket.fromfd(connection.fileno(), connection.family, connection.type)
        with self._lock:
            first = not self._connections
            self._connections.append(handle)
        if first:
            self._timer.start()

    def _cut(self) -> None:
        """Ends the connections under the thread that waits for them."""
        with self._lock:
            self.trouble = self.trouble or TimeoutError()
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        self._timer.cancel()
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()


@contextmanager
def guarded() -> Iterator[None]:
    """Refuses connections of this thread to addresses that may not be reached, and starting programs.

    The code inside sees an `OSError`, as if the network were down. Whatever it made of that, after a refusal the block
    ends with `NotPublic`, after `MOST_S` with `TimeoutError`, and after an answer of requests longer than `MOST_BYTES`
    with `TooLong`.
    """
    _watch()
    block = _here.block = _Block()
    try:
        yield
    finally:
        del _here.block
        block.end()
        if block.trouble is not None:
            raise block.trouble


@cache
def _watch() -> None:
    """Once per process: a hook cannot be taken away again."""
    from requests.adapters import HTTPAdapter  # slow to import, and only needed here

    sys.addaudithook(_look)
    send = HTTPAdapter.send

    def bounded(*arguments: Any, **options: Any) -> Response:
        answer = send(*arguments, **options)
        block: _Block | None = getattr(_here, "block", None)
        if block is not None:
            _read(answer, block)
        return answer

    HTTPAdapter.send = bounded  # type: ignore[method-assign]


def _read(answer: Response, block: _Block) -> None:
    """Reads the answer, or the beginning of one that is too long: then raises an error that requests may raise."""
    import requests

    content = bytearray()
    for part in answer.iter_content(8192):
        content += part
        if len(content) > MOST_BYTES:
            answer.close()
            block.trouble = block.trouble or TooLong()
            raise requests.ConnectionError
    answer._content = bytes(content)


def _look(event: str, arguments: tuple[Any, ...]) -> None:
    block: _Block | None = getattr(_here, "block", None)
    if block is None:
        return
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        connection, address = arguments
        if not (isinstance(address, tuple) and may_reach(str(address[0]), block.networks)):
            block.trouble = block.trouble or NotPublic()
            raise NotPublic
        if block.trouble is not None:
            raise block.trouble
        block.connects(connection)
    elif event in _PROGRAMS:
        block.trouble = block.trouble or NotPublic()
        raise NotPublic
