"""What closes a child in on one machine: which of the kernel's means there are, and what they keep shut."""

from __future__ import annotations

from enum import StrEnum

from apps.agents.contracts.values import Value

FIRST_USEFUL_ABI = 2
"""Landlock's first version with renames between folders, which steps need within their own (Linux 5.19)."""
TRUNCATING_ABI = 3
NETWORK_ABI = 4
DEVICES_ABI = 5
SIGNALS_ABI = 6


OPENING_QUEUES = frozenset({"checks", "cpu", "gpu"})
"""The queues whose work opens uploads."""


class SandboxRule(StrEnum):
    """What operators ask of the sandbox (LATHE_SANDBOX)."""

    OFF = "off"
    """Nothing is shut, for a driver that does not run inside. Uploads can then do what the worker can."""
    BEST = "best"
    """A child is closed in as far as its kernel allows."""
    REQUIRED = "required"
    """Nothing is opened where files or network would stay open."""


class Level(StrEnum):
    """How far a child is closed in."""

    FULL = "full"
    ENOUGH = "enough"
    """Files and network are shut, which `LATHE_SANDBOX=required` asks for."""
    PARTIAL = "partial"
    NONE = "none"


class Sandbox(Value):
    """The kernel's means on one machine. The default has none."""

    landlock_abi: int = 0
    """The version of Landlock's interface; 0 without it."""
    call_filter: bool = False
    """Whether system calls can be refused (seccomp)."""
    namespace: bool = False
    """Whether a process may have a network of its own. Asked only where calls cannot be refused."""

    @property
    def files(self) -> bool:
        """Whether a child reaches only the files of its job and the libraries."""
        return self.landlock_abi >= TRUNCATING_ABI or (self.landlock_abi >= FIRST_USEFUL_ABI and self.call_filter)

    @property
    def network(self) -> bool:
        """Whether a child can open no connection at all, not even to a socket in the file system."""
        return self.call_filter

    @property
    def signals(self) -> bool:
        """Whether a child can send no signal to a process outside."""
        return self.files and self.landlock_abi >= SIGNALS_ABI

    @property
    def enough(self) -> bool:
        return self.files and self.network

    @property
    def level(self) -> Level:
        if self.enough:
            return Level.FULL if self.signals else Level.ENOUGH
        return Level.PARTIAL if self.files or self.network or self.namespace else Level.NONE

    @property
    def gaps(self) -> tuple[str, ...]:
        """What uploaded code can do all the same, and what the machine lacks; empty at the full level."""
        found = []
        if not self.files:
            found.append("read and change every file that the worker can (Landlock of Linux 5.19 or newer)")
        if not self.network:
            found.append(self._open_network)
        if not self.signals:
            found.append("end processes of the worker's user (Landlock of Linux 6.12 or newer)")
        return tuple(found)

    @property
    def _open_network(self) -> str:
        if self.namespace:
            return "connect to sockets in the file system (seccomp)"
        if self.files and self.landlock_abi >= NETWORK_ABI:
            return "use the network, except for TCP (seccomp)"
        return "use the network (seccomp)"
