"""A file that a running child hands over, held open: whatever the child does to its name afterwards has no effect."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import PurePosixPath
from typing import IO

from apps.agents.contracts.job import Job


class Handed:
    """The bytes are in `file`. `remove` closes it and removes its name."""

    file: IO[bytes]

    def __init__(self, job: Job, path: str) -> None:
        """`path` is relative to `job.scratch`. No link is followed, which could lead out of it.

        Raises `ValueError` for what is not a file there.
        """
        *folders, self._name = PurePosixPath(path).parts or (".",)
        self._folder = os.open(job.scratch, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        found = self._found(folders)
        if found is None:  # Not raised from the system's error: the disk is not at fault.
            os.close(self._folder)
            raise ValueError(f"the handler {job.handler} names a file outside its scratch folder, or none: {path!r}")
        self.file = found

    def remove(self) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self._name, dir_fd=self._folder)
        self.file.close()
        os.close(self._folder)

    def _found(self, folders: list[str]) -> IO[bytes] | None:
        try:
            for name in folders:
                self._enter(name)
            return self._opened()
        except OSError:
            return None

    def _enter(self, name: str) -> None:
        if name in ("..", "/"):
            raise FileNotFoundError(name)
        inside = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._folder)
        os.close(self._folder)
        self._folder = inside

    def _opened(self) -> IO[bytes]:
        # Not to wait for a pipe that somebody may write to.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(self._name, flags, dir_fd=self._folder)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise FileNotFoundError(self._name)
        return os.fdopen(descriptor, "rb")
