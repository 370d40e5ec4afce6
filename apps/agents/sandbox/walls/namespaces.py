"""A network of its own, without an interface: for systems that cannot filter system calls."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from apps.agents.sandbox.walls.kernel import LINUX, libc, must

_NEW_USER, _NEW_NETWORK = 0x1000_0000, 0x4000_0000


@cache
def allowed() -> bool:
    """Whether a process may have one here. Asked by one that ends right after it."""
    if not LINUX:
        return False
    pid = os.fork()
    if not pid:
        try:
            own_network()
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0


def own_network() -> None:
    """Leave the network. Without the privilege for that, in a user namespace of one's own. Raises `OSError`.

    The calling process must have a single thread.
    """
    if libc().unshare(_NEW_NETWORK) == 0:
        return
    user, group = os.getuid(), os.getgid()
    must(libc().unshare(_NEW_USER | _NEW_NETWORK), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
