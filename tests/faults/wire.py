"""A wire between a process and a server, which may lose what it carries, be slow, or break. It needs no privileges."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """What is wrong with a connection."""

    delay_s: float = 0.0
    """Of each piece, in either direction."""
    breaks_after_bytes: int | None = None
    """It ends once it has carried so many in one direction."""


class Wire:
    """Listens at `port`, and carries every connection on to a server of this machine.

    While it is `silent`, nothing passes in either direction, new connections included, and nobody is told: as where
    packets are dropped, and TCP sends them again once they pass.
    """

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._fault = Fault()
        self._passing = threading.Event()
        self._passing.set()
        self._ends: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._listen, daemon=True).start()

    @contextmanager
    def silent(self) -> Iterator[None]:
        self._passing.clear()
        try:
            yield
        finally:
            self._passing.set()

    @contextmanager
    def faulty(self, fault: Fault) -> Iterator[None]:
        """Connections that are made meanwhile have the fault; those that were there are cut."""
        self._fault = fault
        self.cut()
        try:
            yield
        finally:
            self._fault = Fault()
            self.cut()

    @contextmanager
    def elsewhere(self, port: int) -> Iterator[None]:
        """Leads to another server, or to none."""
        usual, self._to_port = self._to_port, port
        self.cut()
        try:
            yield
        finally:
            self._to_port = usual
            self.cut()

    def cut(self) -> None:
        """Breaks every connection. New ones can be made at once."""
        for end in tuple(self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()
        self._passing.set()
        self.cut()

    def _listen(self) -> None:
        with suppress(OSError):  # It was closed.
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near: socket.socket) -> None:
        self._passing.wait()
        try:
            far = socket.create_connection(("127.0.0.1", self._to_port))
        except OSError:
            near.close()
            return
        for source, target in ((near, far), (far, near)):
            self._ends.add(source)
            threading.Thread(target=self._carry, args=(source, target, self._fault), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, fault: Fault) -> None:
        left = fault.breaks_after_bytes
        with suppress(OSError):
            while (left is None or left > 0) and (data := source.recv(left or 1 << 16)):
                self._passing.wait()
                time.sleep(fault.delay_s)
                target.sendall(data)
                left = None if left is None else left - len(data)
        self._ends.discard(source)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        time.sleep(0.1)  # The other direction may still be reading.
        source.close()
