"""Downloads over ASGI: piece by piece, also where Django would read a file whole."""

from __future__ import annotations

import asyncio

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.http import StreamingHttpResponse
from django.test import RequestFactory

from apps.models import download
from apps.models.download import blob_response
from apps.models.errors import RangeUnsatisfiable
from apps.models.storage import put_stream

pytestmark = [pytest.mark.django_db, pytest.mark.portable]


def asgi_request(method: str = "GET") -> ASGIRequest:
    scope = {"type": "http", "method": method, "path": "/", "headers": [], "query_string": b""}
    return ASGIRequest(scope, None)


def test_the_bytes_come_in_pieces(monkeypatch):
    monkeypatch.setattr(download, "CHUNK_BYTES", 4)
    response = blob_response(asgi_request(), put_stream([b"0123456789"]), "net.onnx")
    assert isinstance(response, StreamingHttpResponse)
    assert response.is_async

    async def pieces() -> list[bytes]:
        return [piece async for piece in response]

    assert asyncio.run(pieces()) == [b"0123", b"4567", b"89"]


def test_head_tells_and_sends_nothing():
    for request in (asgi_request("HEAD"), RequestFactory().head("/")):
        response = blob_response(request, put_stream([b"0123456789"]), "net.onnx")
        assert response["Content-Length"] == "10"
        assert response.content == b""


def test_a_name_that_is_not_ascii_is_encoded():
    response = blob_response(asgi_request("HEAD"), put_stream([b"x"]), "Prüfung.onnx")
    assert response["Content-Disposition"] == "attachment; filename*=utf-8''Pr%C3%BCfung.onnx"


def bytes_of(response) -> bytes:
    return b"".join(response.streaming_content)


@pytest.mark.parametrize(
    ("asked", "sent", "told"),
    [
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-2", b"89", "bytes 8-9/10"),
        ("bytes=8-99", b"89", "bytes 8-9/10"),
    ],
)
def test_a_part_is_sent_alone(monkeypatch, asked, sent, told):
    monkeypatch.setattr(download, "CHUNK_BYTES", 2)
    blob = put_stream([b"0123456789"])
    response = blob_response(RequestFactory().get("/", headers={"Range": asked}), blob, "net.onnx")
    assert (response.status_code, response["Content-Range"]) == (206, told)
    assert (bytes_of(response), response["Content-Length"]) == (sent, str(len(sent)))


@pytest.mark.parametrize(
    "headers",
    [
        {"Range": "bytes=0-1,4-5"},
        {"Range": "lines=0-1"},
        {"Range": "bytes=-"},
        {"Range": "bytes=0-1", "If-Range": '"another file"'},
        {},
    ],
)
def test_everything_is_sent_where_no_single_part_of_this_file_is_asked_for(headers):
    response = blob_response(RequestFactory().get("/", headers=headers), put_stream([b"0123456789"]), "net.onnx")
    assert (response.status_code, response["Accept-Ranges"], bytes_of(response)) == (200, "bytes", b"0123456789")


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=5-4", "bytes=-0"])
def test_a_part_that_is_not_there_is_refused(asked):
    with pytest.raises(RangeUnsatisfiable, match="10 bytes"):
        blob_response(RequestFactory().get("/", headers={"Range": asked}), put_stream([b"0123456789"]), "net.onnx")
