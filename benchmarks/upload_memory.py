"""How much memory a large upload and its download cost the web process.

    python -m benchmarks.upload_memory [--size 2GiB] [--way chunks|multipart]

Starts the portal's web server on a database and a store of its own (in a temporary folder, so there must be room for
four times the size), sends a file of pseudo-random bytes, fetches it again, and prints the process's peak resident
memory before and after. Exits with 1 when the growth passes 50 MB (10⁶ bytes).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.uploading import Door, by_chunks, by_form, bytes_of
from lathe.testing.data_sets import table_of_size

ROOT = Path(__file__).resolve().parents[1]
LIMIT_BYTES = 50 * 10**6
SETUP = """
from apps.accounts.models import Membership, Role, Team, TokenScope, User
from apps.accounts.services import create_token
user = User.objects.create_user("load@example.org", "x")
team = Team.objects.create(name="Load", slug="load")
Membership.objects.create(team=team, user=user, role=Role.ENGINEER)
print(create_token(user, name="load", scope=TokenScope.WRITE, days=1)[1])
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Portal:
    """A web server on a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.environment = {
            **os.environ,
            "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}",
            "LATHE_VAR_DIR": str(folder),
            "TMPDIR": str(folder),
            "DJANGO_SETTINGS_MODULE": "benchmarks_settings",
        }
        settings = "from lathe.settings import *\n"
        settings += 'CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}\n'
        settings += (
            'DRAMATIQ_BROKER = {**DRAMATIQ_BROKER, "BROKER": "dramatiq.brokers.stub.StubBroker", "OPTIONS": {}}\n'
        )
        (folder / "benchmarks_settings.py").write_text(settings)
        self.environment["PYTHONPATH"] += f":{folder}"

    def manage(self, *arguments: str) -> str:
        command = [sys.executable, str(ROOT / "manage.py"), *arguments]
        done = subprocess.run(command, env=self.environment, cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout

    def __enter__(self) -> Door:
        self.manage("migrate", "--verbosity", "0")
        token = self.manage("shell", "--no-imports", "--command", SETUP).split()[-1]
        command = [sys.executable, "-m", "uvicorn", "lathe.asgi:application", "--port", str(self.port)]
        self.server = subprocess.Popen([*command, "--log-level", "warning"], env=self.environment, cwd=ROOT)
        door = Door(self.port, self.server.pid, token)
        for _ in range(200):
            try:
                door.request("GET", "/health/")
                return door
            except OSError:
                time.sleep(0.1)
        raise SystemExit("The web server did not start.")

    def __exit__(self, *_: object) -> None:
        self.server.terminate()
        self.server.wait(timeout=20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="2GiB", help="such as 300MiB or 2GiB")
    parser.add_argument("--way", default="chunks", choices=("chunks", "multipart"))
    options = parser.parse_args()
    size_bytes = bytes_of(options.size)
    expected = hashlib.sha256()
    for piece in table_of_size(size_bytes):
        expected.update(piece)
    with tempfile.TemporaryDirectory() as folder, Portal(Path(folder)) as door:
        # The first requests import and compile what every later one uses.
        send = by_chunks if options.way == "chunks" else by_form
        door.request("GET", "/api/v1/me/")
        warm = door.request("GET", "/api/v1/datasets/")
        assert warm["count"] == 0
        before = door.peak_bytes()
        start = time.monotonic()
        dataset = send(door, size_bytes)
        sent = door.peak_bytes()
        seconds = time.monotonic() - start
        if door.digest_of(f"/api/v1/datasets/{dataset}/file/") != expected.hexdigest():
            raise SystemExit("What came back is not what was sent.")
        fetched = door.peak_bytes()
        rss = psutil.Process(door.pid).memory_info().rss
    print(f"{options.size} by {options.way}: {seconds:.0f} s, {size_bytes / seconds / 1e6:.0f} MB/s")
    print(
        f"peak memory before {before / 1e6:.1f} MB, after the upload {sent / 1e6:.1f} MB, after the download ", end=""
    )
    print(f"{fetched / 1e6:.1f} MB; resident now {rss / 1e6:.1f} MB")
    growth = fetched - before
    print(f"growth {growth / 1e6:.1f} MB of at most {LIMIT_BYTES / 1e6:.0f} MB")
    sys.exit(growth > LIMIT_BYTES)


if __name__ == "__main__":
    main()
