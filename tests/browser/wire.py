"""A wire between browser and portal that a test can cut, as a network does: without a word of farewell."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

PIECE = 65536


class Wire:
    """Forwards connections on `port` to the portal's port while it is whole."""

    def __init__(self, portal_port: int) -> None:
        self._portal_port = portal_port
        self._whole = True
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._door.close()
        self.cut()

    def cut(self) -> None:
        """Ends every connection, and refuses new ones until `mend`."""
        with self._lock:
            self._whole = False
            broken, self._open = self._open, set()
        for end in broken:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def mend(self) -> None:
        self._whole = True

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                browser, _address = self._door.accept()
                if not self._whole:
                    browser.close()
                    continue
                portal = socket.create_connection(("127.0.0.1", self._portal_port))
                with self._lock:
                    self._open |= {browser, portal}
                for source, sink in ((browser, portal), (portal, browser)):
                    threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    @staticmethod
    def _carry(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(PIECE):
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)
