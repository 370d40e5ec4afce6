"""How much memory a large upload and its download cost the web process.

    python benchmarks/upload_memory.py [--size 2GiB] [--way chunks|multipart]

Starts the portal's web server on a database and a store of its own (in a temporary folder, so there must be room for
four times the size), sends a file of pseudo-random bytes, fetches it again, and prints the process's peak resident
memory before and after. Exits with 1 when the growth passes 50 MB (10⁶ bytes).
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
LIMIT_BYTES = 50 * 10**6
PIECE_BYTES = 8 * 2**20
UNITS = {"MiB": 2**20, "GiB": 2**30}
SETUP = """
from apps.accounts.models import Membership, Role, Team, TokenScope, User
from apps.accounts.services import create_token
user = User.objects.create_user("load@example.org", "x")
team = Team.objects.create(name="Load", slug="load")
Membership.objects.create(team=team, user=user, role=Role.ENGINEER)
print(create_token(user, name="load", scope=TokenScope.WRITE, days=1)[1])
"""


def pieces(size_bytes: int) -> Iterator[bytes]:
    """A CSV of `size_bytes`: the store takes tables of any length, and looks only at their beginning."""
    yield b"a,b\n"
    row = b"0.125,0.250,0.375,0.500,0.625,0.750,0.875\n"
    block = row * (PIECE_BYTES // len(row))
    sent = 4
    while sent < size_bytes:
        piece = block[: size_bytes - sent]
        yield piece
        sent += len(piece)


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

    def __enter__(self) -> Portal:
        self.manage("migrate", "--verbosity", "0")
        self.token = self.manage("shell", "--no-imports", "--command", SETUP).split()[-1]
        command = [sys.executable, "-m", "uvicorn", "lathe.asgi:application", "--port", str(self.port)]
        self.server = subprocess.Popen([*command, "--log-level", "warning"], env=self.environment, cwd=ROOT)
        for _ in range(200):
            try:
                self.request("GET", "/health/")
                return self
            except OSError:
                time.sleep(0.1)
        raise SystemExit("The web server did not start.")

    def __exit__(self, *_: object) -> None:
        self.server.terminate()
        self.server.wait(timeout=20)

    def request(self, method: str, path: str, body: object = None, **headers: str) -> dict[str, object]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        known = {
            "Authorization": f"Bearer {getattr(self, 'token', '')}",
            **{k.replace("_", "-"): v for k, v in headers.items()},
        }
        connection.request(method, path, body=body, headers=known)  # type: ignore[arg-type]
        response = connection.getresponse()
        text = response.read()
        if response.status >= 400:
            raise SystemExit(f"{method} {path}: {response.status} {text[:500]!r}")
        return json.loads(text)

    def digest_of(self, path: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        connection.request("GET", path, headers={"Authorization": f"Bearer {self.token}"})
        response = connection.getresponse()
        digest = hashlib.sha256()
        while piece := response.read(2**20):
            digest.update(piece)
        return digest.hexdigest()

    def peak_bytes(self) -> int:
        """The highest resident memory so far (VmHWM) of the server."""
        status = Path(f"/proc/{self.server.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024


def by_chunks(portal: Portal, size_bytes: int) -> object:
    announced = json.dumps({"filename": "big.csv", "size_bytes": size_bytes})
    upload = portal.request("POST", "/api/v1/uploads/", announced, Content_Type="application/json")["id"]
    offset = 0
    for piece in pieces(size_bytes):
        portal.request(
            "PATCH",
            f"/api/v1/uploads/{upload}/",
            piece,
            Content_Type="application/octet-stream",
            Upload_Offset=str(offset),
        )
        offset += len(piece)
    body = json.dumps({"name": "big", "upload": upload, "spec": {"kind": "table", "task": "regression"}})
    return portal.request("POST", "/api/v1/datasets/", body, Content_Type="application/json")["id"]


def by_form(portal: Portal, size_bytes: int) -> object:
    boundary = "benchmark"
    field = '--{}\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    spec = json.dumps({"kind": "table", "task": "regression"})
    head = field.format(boundary, "name", "big") + field.format(boundary, "spec", spec)
    head += f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="big.csv"\r\n\r\n'
    tail = f"\r\n--{boundary}--\r\n"

    def body() -> Iterator[bytes]:
        yield head.encode()
        yield from pieces(size_bytes)
        yield tail.encode()

    return portal.request(
        "POST",
        "/api/v1/datasets/",
        body(),
        Content_Type=f"multipart/form-data; boundary={boundary}",
        Content_Length=str(len(head) + size_bytes + len(tail)),
    )["id"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="2GiB", help="such as 300MiB or 2GiB")
    parser.add_argument("--way", default="chunks", choices=("chunks", "multipart"))
    options = parser.parse_args()
    size_bytes = int(options.size[:-3]) * UNITS[options.size[-3:]]
    expected = hashlib.sha256()
    for piece in pieces(size_bytes):
        expected.update(piece)
    with tempfile.TemporaryDirectory() as folder, Portal(Path(folder)) as portal:
        # The first requests import and compile what every later one uses.
        send = by_chunks if options.way == "chunks" else by_form
        portal.request("GET", "/api/v1/me/")
        warm = portal.request("GET", "/api/v1/datasets/")
        assert warm["count"] == 0
        before = portal.peak_bytes()
        start = time.monotonic()
        dataset = send(portal, size_bytes)
        sent = portal.peak_bytes()
        seconds = time.monotonic() - start
        if portal.digest_of(f"/api/v1/datasets/{dataset}/file/") != expected.hexdigest():
            raise SystemExit("What came back is not what was sent.")
        fetched = portal.peak_bytes()
        rss = psutil.Process(portal.server.pid).memory_info().rss
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
