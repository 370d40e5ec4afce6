"""An S3 server of the tests' own (moto), and one that refuses whatever it is asked."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from lathe.processes import Child, python
from tests.live_portal import free_port

NAME = "lathe"
KEYS = {"AWS_ACCESS_KEY_ID": "of-the-tests", "AWS_SECRET_ACCESS_KEY": "of-the-tests"}


class Bucket:
    """It keeps its files in memory, so it must live as long as the installation."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.port = folder, free_port()

    def child(self) -> Child:
        """The server's process, not yet started."""
        command = python("-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port))
        return Child("bucket", command, log=self._folder / "bucket.log")

    def answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def make(self) -> None:
        """Makes the bucket itself."""
        import boto3

        keys = {name.lower(): value for name, value in KEYS.items()}
        boto3.client("s3", endpoint_url=endpoint(self.port), region_name="us-east-1", **keys).create_bucket(Bucket=NAME)


def endpoint(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def storage_url(port: int) -> str:
    """The value of STORAGE_URL with which a process reaches the bucket at this port."""
    return f"s3://{NAME}?endpoint={endpoint(port)}&region=us-east-1&addressing=path"


@contextmanager
def refusing(status: int, code: str) -> Iterator[int]:
    """The port of a server that answers everything with this status, and with S3's code for the reason."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _refuse(self) -> None:
            body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>As ordered.</Message></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")  # Whatever a request still sends need not be read.
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
            self.close_connection = True

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _refuse  # noqa: N815 (the names that http.server calls)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
