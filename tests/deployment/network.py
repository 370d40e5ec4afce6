"""Hosts on a network of their own: one network namespace each, joined by a bridge in another."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

NETWORK = "10.77.0"


class Network:
    """Names get addresses in the order in which they are given."""

    def __init__(self, names: Sequence[str]) -> None:
        self._prefix = f"lathe{os.getpid()}"
        self.addresses = {name: f"{NETWORK}.{number}" for number, name in enumerate(names, start=10)}

    def namespace(self, name: str) -> str:
        return f"{self._prefix}-{name}"

    @property
    def hosts_file(self) -> str:
        """What `/etc/hosts` says on each of them."""
        return "127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for name, address in self.addresses.items())

    @contextmanager
    def up(self) -> Iterator[None]:
        try:
            self._join()
            yield
        finally:
            for name in ("switch", *self.addresses):
                with suppress(subprocess.CalledProcessError):
                    _ip("netns", "del", self.namespace(name))

    def _join(self) -> None:
        switch = self.namespace("switch")
        _ip("netns", "add", switch)
        _ip("-n", switch, "link", "add", "bridge0", "type", "bridge")
        _ip("-n", switch, "link", "set", "bridge0", "up")
        for number, (name, address) in enumerate(self.addresses.items()):
            own, port = self.namespace(name), f"port{number}"
            _ip("netns", "add", own)
            _ip("link", "add", "eth0", "netns", own, "type", "veth", "peer", "name", port, "netns", switch)
            _ip("-n", switch, "link", "set", port, "master", "bridge0", "up")
            _ip("-n", own, "addr", "add", f"{address}/24", "dev", "eth0")
            for link in ("lo", "eth0"):
                _ip("-n", own, "link", "set", link, "up")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
