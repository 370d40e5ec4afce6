"""A file over the API in pieces, over connections that break, until it is a version and a data set."""

from __future__ import annotations

import socket
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.models import User
from apps.models.models import DataSet, ModelVersion, RegisteredModel, StoreSettings, Upload
from tests.api.conftest import Api
from tests.api.contract import Client
from tests.models.conftest import SPEC, linear_model, npz

pytestmark = pytest.mark.django_db

UPLOADS = "/api/v1/uploads/"
BYTES = "application/octet-stream"


@pytest.fixture
def mine(api: Api, engineer: User) -> Client:
    return api(engineer)


def begin(client: Client, data: bytes, filename: str = "net.onnx") -> str:
    made = client.post(UPLOADS, {"filename": filename, "size_bytes": len(data)})
    assert (made.status_code, made["Upload-Offset"], made["Upload-Length"]) == (201, "0", str(len(data)))
    return f"{UPLOADS}{made.json()['id']}/"


def send(client: Client, upload: str, offset: int | str, data: bytes) -> Any:
    return client.generic("PATCH", upload, data, BYTES, headers={"Upload-Offset": str(offset)})


def stands_at(client: Client, upload: str) -> int:
    return int(client.head(upload)["Upload-Offset"])


def test_a_model_arrives_over_connections_that_break(api: Api, engineer: User) -> None:
    data, client = linear_model(features=40), api(engineer)
    upload = begin(client, data)
    assert send(client, upload, 0, data[:100]).json()["received_bytes"] == 100

    again = api(engineer)  # another machine of the same member, another token
    assert stands_at(again, upload) == 100
    early = send(again, upload, 150, data[150:])
    assert (early.status_code, early.json()["code"], early["Upload-Offset"]) == (409, "upload.offset_mismatch", "100")
    done = send(again, upload, int(early["Upload-Offset"]), data[100:])
    assert (done.status_code, done.json()["sha256"]) == (200, sha256(data).hexdigest())

    model = again.post("/api/v1/models/", {"name": "net"}).json()["id"]
    made = again.post("/api/v1/versions/", {"model": model, "upload": done.json()["id"]}).json()
    assert (made["sha256"], made["size_bytes"], made["filename"]) == (done.json()["sha256"], len(data), "net.onnx")
    assert again.get(upload).status_code == 404, "an upload serves once"
    assert RegisteredModel.objects.get().versions.get().blob_id == made["sha256"]


@pytest.mark.django_db(transaction=True)
def test_of_a_piece_that_is_cut_nothing_is_kept(live_server: Any, mine: Client) -> None:
    upload = begin(mine, b"x" * 300)
    assert send(mine, upload, 0, b"x" * 100).status_code == 200
    head = [
        f"PATCH {upload} HTTP/1.1",
        f"Host: {live_server.thread.host}",
        f"Authorization: {mine._credentials['HTTP_AUTHORIZATION']}",
        f"Content-Type: {BYTES}",
        "Upload-Offset: 100",
        "Content-Length: 200",
        "Connection: close",
    ]
    with socket.create_connection((live_server.thread.host, live_server.thread.port), timeout=20) as line:
        line.sendall("\r\n".join([*head, "", ""]).encode() + b"x" * 50)
        line.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: line.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 400")
    assert b'"upload.chunk_cut"' in answer
    assert stands_at(mine, upload) == 100


def test_a_data_set_arrives_the_same_way(mine: Client) -> None:
    data = npz({"x": ("<f4", (40, 4)), "y": ("<i8", (40,))})
    upload = begin(mine, data, "test.npz")
    while (offset := stands_at(mine, upload)) < len(data):
        assert send(mine, upload, offset, data[offset : offset + 300]).status_code == 200
    made = mine.post("/api/v1/datasets/", {"name": "Set", "spec": SPEC, "upload": upload.split("/")[4]})
    assert made.status_code == 201
    assert made.json()["spec"]["task"] == "classification"
    assert DataSet.objects.get().blob_id == sha256(data).hexdigest()


def test_a_version_is_not_made_of_half_an_upload(mine: Client) -> None:
    data = linear_model()
    upload = begin(mine, data)
    send(mine, upload, 0, data[:50])
    model = mine.post("/api/v1/models/", {"name": "net"}).json()["id"]
    answer = mine.post("/api/v1/versions/", {"model": model, "upload": upload.split("/")[4]})
    assert (answer.status_code, answer.json()["code"]) == (409, "upload.incomplete")
    assert not ModelVersion.objects.exists()
    assert stands_at(mine, upload) == 50


def test_more_than_was_announced_is_refused(mine: Client) -> None:
    upload = begin(mine, b"x" * 10)
    answer = send(mine, upload, 0, b"x" * 11)
    assert (answer.status_code, answer.json()["code"]) == (422, "upload.overrun")
    assert stands_at(mine, upload) == 0


def test_a_file_over_the_limit_is_refused_before_a_byte_comes(mine: Client) -> None:
    limits = StoreSettings.current()
    answer = mine.post(UPLOADS, {"filename": "f", "size_bytes": limits.max_upload_bytes + 1})
    assert (answer.status_code, answer.json()["code"]) == (413, "upload.too_large")
    assert answer.json()["errors"][0]["field"] == "size_bytes"


def test_an_upload_that_was_left_is_gone(mine: Client) -> None:
    upload = begin(mine, b"x" * 10)
    Upload.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
    answer = send(mine, upload, 0, b"x")
    assert (answer.status_code, answer.json()["code"]) == (410, "upload.expired")


def test_a_piece_is_bytes_and_says_where_it_begins(mine: Client) -> None:
    upload = begin(mine, b"x" * 10)
    assert mine.patch(upload, {"a": 1}, headers={"Upload-Offset": "0"}).json()["code"] == (
        "request.unsupported_media_type"
    )
    assert mine.generic("PATCH", upload, b"x", BYTES).json()["code"] == "upload.header_missing"


def test_a_place_longer_than_any_number_is_refused(mine: Client) -> None:
    refused = send(mine, begin(mine, b"abc"), "9" * 5000, b"abc")
    assert (refused.status_code, refused.json()["code"]) == (400, "upload.header_missing")
