"""A wire between a process and a server, which may lose what it carries, or be cut. It needs no privileges."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Wire:
    """Listens at `port`, and carries every connection on to a server of this machine.

    While it is `silent`, nothing passes in either direction, new connections included, and nobody is told: as where
    packets are dropped, and TCP sends them again once they pass.
    """

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
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
            threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                self._passing.wait()
                target.sendall(data)
        self._ends.discard(source)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        time.sleep(0.1)  # The other direction may still be reading.
        source.close()
