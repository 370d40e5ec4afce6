"""A folder on a disk of its own, which can be full, and can go away. Both need root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SIZE_MIB = 32
CAN_MOUNT = os.geteuid() == 0


class Disk:
    """A small file system in memory, mounted at `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def mount(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if CAN_MOUNT:
            _mount(self.folder, f"size={SIZE_MIB}m,mode=755")

    def unmount(self) -> None:
        if CAN_MOUNT:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=False)

    @contextmanager
    def full(self) -> Iterator[None]:
        """Not one byte is left."""
        ballast = self.folder / ".ballast"
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 12))
        try:
            yield
        finally:
            ballast.unlink()

    @contextmanager
    def away(self) -> Iterator[None]:
        """The folder is empty, and nothing can be written there: as where a shared disk was unmounted."""
        _mount(self.folder, "ro")
        try:
            yield
        finally:
            subprocess.run(["umount", str(self.folder)], check=True)


def _mount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "lathe-faults", str(folder)], check=True)
