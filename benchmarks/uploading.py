"""A file of any size through the API, and back, without any of it in this process's memory."""

from __future__ import annotations

import hashlib
import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lathe.testing.data_sets import table_of_size

UNITS = {"MiB": 2**20, "GiB": 2**30}


def bytes_of(size: str) -> int:
    """300MiB or 2GiB as a number of bytes."""
    return int(size[:-3]) * UNITS[size[-3:]]


@dataclass(frozen=True)
class Door:
    """The API of the web server that is the process `pid`, on a port of this machine."""

    port: int
    pid: int
    token: str

    def request(self, method: str, path: str, body: object = None, **headers: str) -> dict[str, object]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        known = {
            "Authorization": f"Bearer {self.token}",
            **{k.replace("_", "-"): v for k, v in headers.items()},
        }
        connection.request(method, path, body=body, headers=known)  # type: ignore[arg-type]
        response = connection.getresponse()
        text = response.read()
        if response.status >= 400:
            raise SystemExit(f"{method} {path}: {response.status} {text[:500]!r}")
        return dict(json.loads(text)) if text else {}

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
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024


def by_chunks(door: Door, size_bytes: int) -> object:
    announced = json.dumps({"filename": "big.csv", "size_bytes": size_bytes})
    upload = door.request("POST", "/api/v1/uploads/", announced, Content_Type="application/json")["id"]
    offset = 0
    for piece in table_of_size(size_bytes):
        door.request(
            "PATCH",
            f"/api/v1/uploads/{upload}/",
            piece,
            Content_Type="application/octet-stream",
            Upload_Offset=str(offset),
        )
        offset += len(piece)
    body = json.dumps({"name": "big", "upload": upload, "spec": {"kind": "table", "task": "regression"}})
    return door.request("POST", "/api/v1/datasets/", body, Content_Type="application/json")["id"]


def by_form(door: Door, size_bytes: int) -> object:
    boundary = "benchmark"
    field = '--{}\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    spec = json.dumps({"kind": "table", "task": "regression"})
    head = field.format(boundary, "name", "big") + field.format(boundary, "spec", spec)
    head += f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="big.csv"\r\n\r\n'
    tail = f"\r\n--{boundary}--\r\n"

    def body() -> Iterator[bytes]:
        yield head.encode()
        yield from table_of_size(size_bytes)
        yield tail.encode()

    return door.request(
        "POST",
        "/api/v1/datasets/",
        body(),
        Content_Type=f"multipart/form-data; boundary={boundary}",
        Content_Length=str(len(head) + size_bytes + len(tail)),
    )["id"]
