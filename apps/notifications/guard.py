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
from contextlib import contextmanager
from functools import cache
from typing import Any

from django.conf import settings

from apps.notifications.addresses import Network, is_listed, literal, may_reach


class NotPublic(OSError):
    """A connection was refused, because its address is inside and the operator has not listed it."""

    def __init__(self) -> None:
        super().__init__(
            "The address is not on the public internet, and no operator has listed its network in "
            "LATHE_WEBHOOK_NETWORKS."
        )


class NotEncrypted(OSError):
    """Plain HTTP to an address that the operator has not listed."""

    def __init__(self) -> None:
        super().__init__("Only https:// may be used outside of the networks in LATHE_WEBHOOK_NETWORKS.")


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

_here = threading.local()
_PROGRAMS = ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn")


@contextmanager
def guarded() -> Iterator[None]:
    """Refuses connections of this thread to addresses that may not be reached, and starting programs.

    The code inside sees an `OSError`, as if the network were down. After a refusal the block ends with `NotPublic`,
    whatever that code made of it.
    """
    _watch()
    _here.networks, _here.refused = listed(), False
    try:
        yield
    finally:
        refused = _here.refused
        del _here.networks, _here.refused
        if refused:
            raise NotPublic


@cache
def _watch() -> None:
    """Once per process: a hook cannot be taken away again."""
    sys.addaudithook(_look)


def _look(event: str, arguments: tuple[Any, ...]) -> None:
    networks = getattr(_here, "networks", None)
    if networks is None:
        return
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        if not (isinstance(address, tuple) and may_reach(str(address[0]), networks)):
            _here.refused = True
            raise NotPublic
    elif event in _PROGRAMS:
        _here.refused = True
        raise NotPublic
