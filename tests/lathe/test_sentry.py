"""Errors are reported only to the operator's own address, and without what is private."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from lathe.env import PROJECT_ROOT, Environment, WrongVariable
from lathe.processes import python_path

BREAKING = """
import logging, sys
import django
django.setup()
from django.test import Client
from django.urls import path
from django.contrib.auth.decorators import login_not_required
from lathe import urls
from apps.ids import bind_ids

@login_not_required
def broken(request):
    secret = "a-secret-local"
    bind_ids(session="session-17")
    raise RuntimeError("it broke")

urls.urlpatterns.append(path("broken/", broken))
client = Client(raise_request_exception=False, headers={"Authorization": "Bearer a-secret-token"})
client.cookies["sessionid"] = "a-secret-cookie"
print(client.post("/broken/?q=a-secret-query", {"password": "a-secret-body"}).status_code)
sdk = sys.modules.get("sentry_sdk")
if sdk:
    sdk.flush(timeout=20)
print("imported" if sdk else "not imported")
"""


class Inbox(BaseHTTPRequestHandler):
    received: list[tuple[str, bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        zipped = self.headers.get("Content-Encoding") == "gzip"
        self.received.append((self.path, gzip.decompress(body) if zipped else body))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def sentry() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """The address of a server that takes reports, and what it has got."""
    Inbox.received = []
    server = HTTPServer(("127.0.0.1", 0), Inbox)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://key@127.0.0.1:{server.server_port}/7", Inbox.received
    server.shutdown()
    server.server_close()


def broken(folder: object, **variables: str) -> list[str]:
    """What a process prints in which a page breaks."""
    known = Environment.read({}).names
    bare = {name: value for name, value in os.environ.items() if name not in known}
    settings = {"DJANGO_SETTINGS_MODULE": "lathe.settings", "LATHE_VAR_DIR": str(folder), "PYTHONPATH": python_path()}
    done = subprocess.run(
        [sys.executable, "-c", BREAKING],
        cwd=PROJECT_ROOT,
        env={**bare, **settings, "LATHE_ALLOWED_HOSTS": "testserver", **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:2]


def test_an_error_arrives_with_ids_and_without_secrets(tmp_path, sentry):
    dsn, received = sentry
    assert broken(tmp_path, LATHE_SENTRY_DSN=dsn) == ["500", "imported"]
    reports = [body.decode() for path, body in received if "/7/" in path]
    (report,) = [report for report in reports if "it broke" in report]
    assert '"session":"session-17"' in report.replace(" ", "")
    assert "RuntimeError" in report
    assert "a-secret" not in "".join(reports)


def test_nothing_is_imported_without_an_address(tmp_path):
    assert broken(tmp_path) == ["500", "not imported"]


@pytest.mark.parametrize("wrong", ["https://sentry.example.org/7", "https://key@sentry.example.org/", "sentry:7"])
def test_an_address_without_key_or_project_is_refused(wrong):
    with pytest.raises(WrongVariable, match="LATHE_SENTRY_DSN"):
        Environment.read({"LATHE_SENTRY_DSN": wrong})
