"""A PostgreSQL cluster of the tests' own, which may be killed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from lathe.processes import Child

USER = "lathe"
PATIENT = ("-c", "fsync=off", "-c", "max_connections=60")
"""Nobody takes the machine's power away, so nothing waits for the disk."""


def program(name: str) -> Path | None:
    """A program of PostgreSQL: of the newest version that Debian has installed, or one on the path."""
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    found = installed[-1] if installed else shutil.which(name)
    return Path(found) if found else None


class Cluster:
    """It refuses to run as root, so it then runs as the user of Debian's package."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.url = f"postgres://{USER}@127.0.0.1:{port}/{USER}"

    def create(self) -> None:
        self.folder.mkdir()
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        self._run("initdb", "-D", str(self.folder / "data"), "--username", USER, "--auth=trust", "--encoding=UTF8")
        single = ("--single", "-D", str(self.folder / "data"), "postgres")
        self._run("postgres", *single, stdin=f"CREATE DATABASE {USER};\n")

    def child(self) -> Child:
        """The server's process, not yet started."""
        where = ("-p", str(self.port), "-c", f"unix_socket_directories={self.folder}")
        command = self._command("postgres", "-D", str(self.folder / "data"), *where, *PATIENT)
        return Child("postgres", command, log=self.folder.parent / "postgres.log")

    def answers(self) -> bool:
        command = self._command("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port))
        return subprocess.run(command, check=False, cwd=self.folder).returncode == 0

    def _command(self, name: str, *arguments: str) -> list[str]:
        become = []
        if os.geteuid() == 0:
            become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--pdeathsig=TERM"]
        return [*become, str(program(name)), *arguments]

    def _run(self, name: str, *arguments: str, stdin: str = "") -> None:
        done = subprocess.run(
            self._command(name, *arguments), input=stdin, capture_output=True, text=True, check=False, cwd=self.folder
        )
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
